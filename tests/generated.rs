//! Man pages and completions are made from `commands/`, committed, and compared here; so is the version in recipes of packages.
//!
//! `NETBE_REGENERATE=1 cargo test --test generated` writes them anew.

// clippy.toml allows this in tests, and knows them by an attribute that what they call has not.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use netbe::commands::Cli;
use netbe::commands::completions;
use netbe::commands::completions::ShellName;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Compares a file with what it should be, or writes it.
fn hold(path: &Path, want: &str) {
    if std::env::var_os("NETBE_REGENERATE").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, want).unwrap();
        return;
    }
    let have = fs::read_to_string(path).unwrap_or_default();
    assert!(
        have == want,
        "{} is not what it is made from; NETBE_REGENERATE=1 cargo test --test generated writes it",
        path.display()
    );
}

/// Returns a page: the parts clap knows, then examples, then what holds for every command.
fn page(command: &Command, name: &str) -> String {
    let mut command = command.clone().version(env!("CARGO_PKG_VERSION"));
    let after = command
        .get_after_long_help()
        .or(command.get_after_help())
        .map(ToString::to_string);
    command = command.after_help("").after_long_help("");
    let display = name.replace(' ', "-");
    command = command
        .name(display.clone())
        .bin_name(name.to_string())
        .disable_version_flag(true);
    let man = Man::new(command.clone())
        .title(display.to_uppercase())
        .section("8")
        .date("")
        .source(format!("netbe {}", env!("CARGO_PKG_VERSION")))
        .manual("netbe");
    let mut text = Vec::new();
    man.render_title(&mut text).unwrap();
    man.render_name_section(&mut text).unwrap();
    man.render_synopsis_section(&mut text).unwrap();
    man.render_description_section(&mut text).unwrap();
    man.render_options_section(&mut text).unwrap();
    if command.has_subcommands() {
        commands(&command).to_writer(&mut text).unwrap();
    }
    for (heading, body) in sections(&after.unwrap_or_default()) {
        verbatim(&heading, &body).to_writer(&mut text).unwrap();
    }
    verbatim("EXIT STATUS", &exit_status(name))
        .to_writer(&mut text)
        .unwrap();
    let mut more = Roff::new();
    more.control("SH", ["SEE ALSO"]);
    more.text([bold("netbe"), roman("(8)")]);
    more.to_writer(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// Returns the parts of an after-help: `Examples:` and the indented lines below it, and so on.
fn sections(after: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for line in after.lines() {
        match line.strip_suffix(':') {
            Some(heading) if !line.starts_with(' ') => {
                found.push((heading.to_uppercase(), String::new()));
            }
            _ => {
                if found.is_empty() {
                    found.push(("NOTES".to_string(), String::new()));
                }
                let (_, body) = found.last_mut().unwrap();
                body.push_str(line.strip_prefix("  ").unwrap_or(line));
                body.push('\n');
            }
        }
    }
    found
}

/// Returns the commands that are for people: the others are called by what netbe installs.
fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|sub| !sub.is_hide_set())
}

fn commands(command: &Command) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["COMMANDS"]);
    for sub in shown(command) {
        roff.control("TP", []);
        roff.text([bold(format!("netbe-{}", sub.get_name())), roman("(8)")]);
        roff.text([roman(sub.get_about().unwrap().to_string())]);
    }
    roff
}

fn verbatim(heading: &str, body: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [heading]);
    roff.control("nf", []);
    for line in body.trim_end().lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff
}

fn exit_status(name: &str) -> String {
    let mut text = String::from(
        "0  done, or there was nothing to do\n\
         1  failed; nothing was changed, or the message says what was\n\
         2  usage\n\
         3  refused by a safety rule; nothing was changed\n\
         4  no such pool, node or environment\n\
         5  another netbe holds the lock\n",
    );
    match name {
        "netbe run" | "netbe shell" => text.push_str(
            "\nOtherwise the status of the command; 125: netbe itself failed, 126: the command cannot be run, 127: it was not found.\n",
        ),
        "netbe check" => text.push_str("\n0 without findings, 1 with findings.\n"),
        _ => {}
    }
    text
}

#[test]
fn man_pages() {
    let mut cli = Cli::command();
    // Only a built command has the options that hold for all.
    cli.build();
    hold(&root().join("man/netbe.8"), &page(&cli, "netbe"));
    let mut wanted = vec!["netbe.8".to_string()];
    for sub in shown(&cli) {
        let file = format!("netbe-{}.8", sub.get_name());
        hold(
            &root().join("man").join(&file),
            &page(sub, &format!("netbe {}", sub.get_name())),
        );
        wanted.push(file);
    }
    for entry in fs::read_dir(root().join("man")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            wanted.contains(&name),
            "man/{name} is the page of no command"
        );
    }
}

#[test]
fn completion_scripts() {
    for (shell, file) in [
        (ShellName::Bash, "netbe.bash"),
        (ShellName::Zsh, "_netbe"),
        (ShellName::Fish, "netbe.fish"),
        (ShellName::Elvish, "netbe.elv"),
        (ShellName::PowerShell, "_netbe.ps1"),
    ] {
        let script = completions::script(shell).unwrap();
        hold(&root().join("completions").join(file), &script);
    }
}

#[test]
fn every_command_teaches() {
    Cli::command().debug_assert();
    for sub in shown(&Cli::command()) {
        let name = sub.get_name();
        assert!(sub.get_about().is_some(), "{name} says nothing of itself");
        let after = sub
            .get_after_long_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(after.contains("Examples:\n  "), "{name} shows no example");
        let mut short = sub.clone().bin_name(format!("netbe {name}")).term_width(80);
        for line in short.render_help().to_string().lines() {
            assert!(line.chars().count() <= 80, "{name}: {line}");
        }
    }
}

/// Those of Debian are given it by `scripts/package`.
#[test]
fn the_recipes_of_packages_have_this_version() {
    for (file, key) in [
        ("dist/rpm/netbe.spec", "Version:        "),
        ("dist/arch/PKGBUILD", "pkgver="),
    ] {
        let path = root().join(file);
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<String> = text
            .lines()
            .map(|line| match line.strip_prefix(key) {
                Some(_) => format!("{key}{}", env!("CARGO_PKG_VERSION")),
                None => line.to_string(),
            })
            .collect();
        assert!(lines.iter().any(|line| line.starts_with(key)), "{file}");
        hold(&path, &(lines.join("\n") + "\n"));
    }
}
