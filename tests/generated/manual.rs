//! A command's manual page, in the macros of man(7): what clap knows of it, and what holds for every command.
//!
//! Formatted for 80 columns no line is wider, which `man_pages_fit_a_terminal` holds.

mod tables;

use clap::builder::StyledStr;
use clap::{Arg, ArgAction, Command};
use netbe::pool::properties;
use tables::{CONCEPTS, ENVIRONMENT, FILES, GROUPS, SEE_ALSO};

/// How wide a line is that is not filled, of a page for 80 columns.
const VERBATIM: usize = 72;

/// What a text is in a page: escaped, so that nothing in it is a request.
fn escaped(text: &str) -> String {
    let text = text
        .replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('\'', "\\(aq")
        .replace('^', "\\(ha")
        .replace('~', "\\(ti")
        .replace('`', "\\(ga")
        .replace('…', "...");
    match text.starts_with('.') {
        true => format!("\\&{text}"),
        false => text,
    }
}

/// Returns a page.
pub(crate) fn page(command: &Command, name: &str) -> String {
    let mut page = Page::default();
    let title = name.replace(' ', "-");
    let version = env!("CARGO_PKG_VERSION");
    page.line(&format!(
        ".\\\" Made from commands/ by NETBE_REGENERATE=1 cargo test --test generated\n\
         .TH {} 8 \"\" \"netbe {version}\" \"netbe\"\n.nh\n.ad l",
        escaped(&title.to_uppercase())
    ));
    let about = command.get_about().map(plain).unwrap_or_default();
    page.head("NAME");
    page.line(&format!("{} \\- {}", escaped(&title), escaped(&about)));
    page.head("SYNOPSIS");
    page.line(&synopsis(command, name));
    page.head("DESCRIPTION");
    page.paragraphs(&command.get_long_about().map(plain).unwrap_or(about));
    match name {
        "netbe" => whole_program(&mut page, command),
        _ => one_command(&mut page, command, name),
    }
    page.text
}

fn one_command(page: &mut Page, command: &Command, name: &str) {
    page.options("OPTIONS", command, |arg| !arg.is_global_set());
    page.line(
        "The options of every command are in netbe(8)."
            .replace('-', "\\-")
            .as_str(),
    );
    let verb = name.trim_start_matches("netbe ");
    if verb == "set" {
        page.head("PROPERTIES");
        for property in properties::ALL {
            page.term(&bold(property.name));
            page.fill(&format!("{}.", sentence(property.help)));
            page.fill(&format!("Value: {}.", property.value));
            page.fill(&match property.default {
                "-" => "No default.".to_string(),
                default => format!("Default: {default}."),
            });
        }
    }
    page.examples(command);
    page.head("EXIT STATUS");
    match verb {
        "run" | "shell" => {
            page.term("");
            page.fill("That of the command; else:");
            page.terms(&[
                ("125", "netbe itself failed, or refused"),
                ("126", "the command cannot be run"),
                ("127", "the command was not found"),
            ]);
        }
        "check" => {
            page.terms(&[("0", "there is no finding"), ("1", "there is one, or more")]);
            page.fill("The others are in netbe(8).");
        }
        _ => {
            page.fill("As in netbe(8).");
        }
    }
    page.head("SEE ALSO");
    let more = SEE_ALSO.iter().find(|(of, _)| *of == verb);
    page.references(more.map_or("", |(_, pages)| pages));
}

fn whole_program(page: &mut Page, command: &Command) {
    page.head("CONCEPTS");
    page.terms(CONCEPTS);
    page.head("COMMANDS");
    let mut named = Vec::new();
    for (group, verbs) in GROUPS {
        page.line(&format!(".SS \"{}\"", escaped(group)));
        for verb in *verbs {
            let sub = command.find_subcommand(verb).expect("a command");
            page.term(&format!("{}(8)", bold(&format!("netbe-{verb}"))));
            page.fill(&plain(sub.get_about().expect("it says what it is")));
            named.push(*verb);
        }
    }
    for sub in super::shown(command) {
        assert!(
            named.contains(&sub.get_name()),
            "{} is in no group",
            sub.get_name()
        );
    }
    page.options("OPTIONS", command, |_| true);
    page.head("ENVIRONMENT");
    page.terms(ENVIRONMENT);
    page.head("FILES");
    page.terms(FILES);
    page.head("EXIT STATUS");
    page.terms(&[
        ("0", "done, or there was nothing to do"),
        (
            "1",
            "failed; nothing was changed, or the message says what was",
        ),
        ("2", "usage"),
        ("3", "refused by a safety rule; nothing was changed"),
        ("4", "no such pool, node or environment"),
        ("5", "another netbe holds the lock; the message names it"),
    ]);
    page.fill("A command over several nodes does all it can, and ends with the worst.");
    page.examples(command);
    page.head("SEE ALSO");
    page.references(
        "netbe-pool(7) netbe-networking(7) netbe-troubleshooting(7) btrfs(8) dnsmasq(8) exports(5)",
    );
}

/// A page as it grows.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn head(&mut self, head: &str) {
        self.line(&format!(".SH \"{head}\""));
    }

    fn term(&mut self, term: &str) {
        self.line(".TP");
        self.line(if term.is_empty() { "\\&" } else { term });
    }

    fn fill(&mut self, text: &str) {
        self.line(&escaped(text));
    }

    fn terms(&mut self, terms: &[(&str, &str)]) {
        for (term, text) in terms {
            self.term(&bold(term));
            self.fill(&ended(text));
        }
        self.line(".PP");
    }

    fn paragraphs(&mut self, text: &str) {
        for (i, paragraph) in text.split("\n\n").enumerate() {
            if i > 0 {
                self.line(".PP");
            }
            self.fill(&ended(&paragraph.replace('\n', " ")));
        }
    }

    fn options(&mut self, head: &str, command: &Command, is_wanted: impl Fn(&Arg) -> bool) {
        self.head(head);
        let shown = |arg: &&Arg| !arg.is_hide_set() && is_wanted(arg);
        let positional = command.get_positionals().filter(shown);
        let named = command.get_arguments().filter(|arg| !arg.is_positional());
        for arg in positional.chain(named.filter(shown)) {
            self.term(&term(arg));
            let help = arg.get_long_help().or(arg.get_help());
            self.fill(&ended(
                &help.map(plain).unwrap_or_default().replace('\n', " "),
            ));
            let defaults: Vec<_> = arg
                .get_default_values()
                .iter()
                .map(|v| v.to_string_lossy())
                .collect();
            if !defaults.is_empty() && !arg.is_hide_default_value_set() && takes_value(arg) {
                self.fill(&format!("Default: {}.", defaults.join(", ")));
            }
        }
        self.line(".PP");
    }

    /// The examples, as they are.
    fn examples(&mut self, command: &Command) {
        let after = command.get_after_long_help().or(command.get_after_help());
        let after = after.map(plain).unwrap_or_default();
        let mut lines = after
            .lines()
            .skip_while(|line| !line.ends_with(':'))
            .skip(1);
        self.head("EXAMPLES");
        self.line(".nf");
        for line in lines.by_ref().take_while(|line| line.starts_with("  ")) {
            let line = line.strip_prefix("  ").expect("it was looked at");
            assert!(
                line.chars().count() <= VERBATIM,
                "{line}: too long for a page"
            );
            self.fill(line);
        }
        self.line(".fi");
    }

    fn references(&mut self, pages: &str) {
        let mut all: Vec<String> = std::iter::once("netbe")
            .chain(pages.split_whitespace())
            .map(|page| match page.split_once('(') {
                Some((name, section)) => format!("{}({section}", bold(name)),
                None => format!("{}(8)", bold(page)),
            })
            .collect();
        if self.text.contains(".TH NETBE 8") {
            all.remove(0);
        }
        self.line(&all.join(",\n"));
    }
}

fn plain(text: &StyledStr) -> String {
    text.to_string()
}

fn bold(text: &str) -> String {
    format!("\\fB{}\\fR", escaped(text))
}

fn italic(text: &str) -> String {
    format!("\\fI{}\\fR", escaped(text))
}

fn ended(text: &str) -> String {
    match text.ends_with(['.', ':', '?', ')']) || text.is_empty() {
        true => text.to_string(),
        false => format!("{text}."),
    }
}

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

fn takes_value(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
}

/// Returns the names of an option's values, or of an operand.
fn values(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    names.join(" ")
}

/// Returns what an option or an operand is called in the list of them.
fn term(arg: &Arg) -> String {
    if arg.is_positional() {
        return italic(&values(arg));
    }
    let mut names = Vec::new();
    names.extend(arg.get_short().map(|short| bold(&format!("-{short}"))));
    names.extend(arg.get_long().map(|long| bold(&format!("--{long}"))));
    format!("{}{}", names.join(", "), value(arg, "\\ "))
}

/// Returns an option's value as it is written after it.
fn value(arg: &Arg, blank: &str) -> String {
    let is_optional = arg.get_num_args().is_some_and(|n| n.min_values() == 0);
    match takes_value(arg) {
        true if is_optional => format!("[={}]", italic(&values(arg))),
        true => format!("{blank}{}", italic(&values(arg))),
        false => String::new(),
    }
}

/// Returns the line of a command with its options and operands.
fn synopsis(command: &Command, name: &str) -> String {
    let mut words = vec![bold(name)];
    if name == "netbe" {
        words.extend([
            "[\\fIOPTION\\fR ...]".to_string(),
            "\\fICOMMAND\\fR ...".to_string(),
        ]);
        return words.join("\n");
    }
    let is_shown =
        |arg: &&Arg| !arg.is_hide_set() && !arg.is_global_set() && arg.get_id() != "help";
    let named = command.get_arguments().filter(|arg| !arg.is_positional());
    for arg in named.filter(is_shown) {
        let option = arg.get_short().map(|short| format!("-{short}"));
        let option = option.or_else(|| arg.get_long().map(|long| format!("--{long}")));
        let option = option.expect("an option has a name");
        let word = format!("{}{}", bold(&option), value(arg, "\\ "));
        words.push(match arg.is_required_set() {
            true => word,
            false => format!("[{word}]"),
        });
    }
    for arg in command.get_positionals().filter(is_shown) {
        let more = match arg.get_num_args().is_some_and(|n| n.max_values() > 1) {
            true if !arg.to_string().contains('…') => "\\ ...",
            _ => "",
        };
        let front = if arg.is_last_set() || arg.is_trailing_var_arg_set() {
            "\\-\\-\\ "
        } else {
            ""
        };
        let word = format!("{front}{}{more}", italic(&values(arg)));
        words.push(match arg.is_required_set() {
            true => word,
            false => format!("[{word}]"),
        });
    }
    words.join("\n")
}
