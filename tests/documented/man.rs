//! Command lines in manual pages: of unfilled blocks, and in bold.
//!
//! roff in, lines out; of roff no more than these pages use. Not for what a line means.

use super::line::{Found, Kind, typed};

/// Returns the command lines of a page.
pub(crate) fn lines(file: &str, text: &str) -> Vec<Found> {
    let mut found = Vec::new();
    let mut block = None;
    let mut begun: Option<(usize, String)> = None;
    for (at, line) in text.lines().enumerate() {
        let number = at + 1;
        let (request, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (request, block) {
            (".nf" | ".EX", _) => block = Some(number),
            (".fi" | ".EE", _) => block = None,
            (_, Some(first)) if !line.starts_with('.') => {
                let (number, text) = match begun.take() {
                    Some((number, before)) => (number, before + plain(line).trim_start()),
                    None => (number, plain(line)),
                };
                // Another line goes on with it.
                match text.strip_suffix('\\') {
                    Some(text) => begun = Some((number, text.to_string())),
                    None if text.ends_with('|') => begun = Some((number, text + " ")),
                    None => found.push(Found::new(file, number, &typed(&text), Kind::Block(first))),
                }
            }
            (".B", None) => {
                found.push(Found::new(
                    file,
                    number,
                    &plain(&arguments(rest).join(" ")),
                    Kind::Inline,
                ));
            }
            (".BR" | ".BI", None) => {
                let bold = arguments(rest).into_iter().step_by(2);
                found
                    .extend(bold.map(|text| Found::new(file, number, &plain(&text), Kind::Inline)));
            }
            _ => {
                for bold in line.split("\\fB").skip(1) {
                    let text = bold.split("\\f").next().unwrap_or_default();
                    found.push(Found::new(file, number, &plain(text), Kind::Inline));
                }
            }
        }
    }
    found
}

/// Returns the arguments of a macro: words, or what stands in double quotes, in which two stand for one.
fn arguments(rest: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut is_quoted = false;
    let mut marks = rest.chars().peekable();
    while let Some(mark) = marks.next() {
        match mark {
            '"' if is_quoted && marks.peek() == Some(&'"') => {
                marks.next();
                all.last_mut().expect("there is one").push('"');
            }
            '"' => is_quoted = !is_quoted,
            ' ' if !is_quoted => all.push(String::new()),
            mark => all.last_mut().expect("there is one").push(mark),
        }
    }
    all
}

/// Returns a text without roff's escapes.
fn plain(text: &str) -> String {
    let mut text = text.to_string();
    for (escape, mark) in [
        ("\\-", "-"),
        ("\\*(Aq", "'"),
        ("\\(aq", "'"),
        ("\\(dq", "\""),
        ("\\(ha", "^"),
        ("\\(ti", "~"),
        ("\\&", ""),
        ("\\fB", ""),
        ("\\fI", ""),
        ("\\fR", ""),
        ("\\fP", ""),
        ("\\e", "\\"),
        ("\\\\", "\\"),
    ] {
        text = text.replace(escape, mark);
    }
    text
}

#[test]
fn a_page_gives_its_commands() {
    let page = ".SH EXAMPLES\n.nf\nnetbe init \\-\\-file 64G      a pool\nnetbe describe nog/a \\e\n  \\*(Aqx\\*(Aq\n.fi\n\
                Run\n.BR \"netbe check\" ,\nor \\fBnetbe list\\fR.\n.B netbe get\n";
    let texts: Vec<String> = lines("p", page).into_iter().map(|line| line.text).collect();
    assert_eq!(
        texts,
        [
            "netbe init --file 64G",
            "netbe describe nog/a 'x'",
            "netbe check",
            "netbe list",
            "netbe get"
        ]
    );
}
