//! Command lines in Markdown: of code blocks, and in running text.
//!
//! Text in, lines out. In a block with lines that begin with `$ `, those are the commands and the rest is what they print.
//! Not for what a line means, and no Markdown beyond code: README and docs have nothing else that hides a command.

use super::line::{Found, Kind, typed};

/// Returns the command lines of a page.
pub(crate) fn lines(file: &str, text: &str) -> Vec<Found> {
    let all: Vec<&str> = text.lines().collect();
    let is_code = code(&all);
    let mut found = inline(file, &all, &is_code);
    let mut at = 0;
    while at < all.len() {
        if !is_code[at] {
            at += 1;
            continue;
        }
        let end = (at..all.len()).find(|&i| !is_code[i]);
        let end = end.unwrap_or(all.len());
        block(file, &all[at..end], at + 1, &mut found);
        at = end;
    }
    found.sort_by_key(|line| line.number);
    found
}

/// Returns which lines are code: fenced, or indented by four or more after an empty line, as deep in a list.
fn code(all: &[&str]) -> Vec<bool> {
    let mut is_code = vec![false; all.len()];
    let (mut fence, mut was_code, mut was_empty) = (None::<&str>, false, true);
    for (at, line) in all.iter().enumerate() {
        let text = line.trim_start();
        let indented = line.starts_with("    ");
        match fence {
            Some(mark) if text.starts_with(mark) => fence = None,
            Some(_) => is_code[at] = true,
            None if text.starts_with("```") => fence = Some("```"),
            None => is_code[at] = indented && !text.is_empty() && (was_code || was_empty),
        }
        was_empty = text.is_empty();
        was_code = is_code[at] || (was_code && was_empty);
    }
    is_code
}

/// Takes the commands of one block, continued lines joined.
fn block(file: &str, block: &[&str], first: usize, found: &mut Vec<Found>) {
    let is_transcript = block.iter().any(|line| line.trim_start().starts_with("$ "));
    let mut pending: Option<(usize, String)> = None;
    for (at, line) in block.iter().enumerate() {
        let line = line.trim();
        let line = match (&pending, is_transcript) {
            (None, true) => match line.strip_prefix("$ ") {
                Some(line) => line,
                None => continue,
            },
            _ => line,
        };
        let (number, text) = match pending.take() {
            Some((number, before)) => (number, before + line),
            None => (first + at, line.to_string()),
        };
        match text.strip_suffix('\\') {
            Some(part) => pending = Some((number, part.to_string())),
            None if text.ends_with('|') => pending = Some((number, text + " ")),
            None if text.starts_with('#') || text.is_empty() => {}
            None => found.push(Found::new(file, number, &typed(&text), Kind::Block(first))),
        }
    }
}

/// Takes `code` in running text, which may go on in the next line.
fn inline(file: &str, all: &[&str], is_code: &[bool]) -> Vec<Found> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (at, line) in all.iter().enumerate() {
        // A paragraph ends what was left open by a single mark.
        if is_code[at] || line.trim().is_empty() || line.trim_start().starts_with("```") {
            open = None;
            continue;
        }
        for (part, text) in line.split('`').enumerate() {
            if part > 0 {
                open = match open.take() {
                    Some((number, span)) => {
                        found.push(Found::new(file, number, &span, Kind::Inline));
                        None
                    }
                    None => Some((at + 1, String::new())),
                };
            }
            if let Some((_, span)) = &mut open {
                span.push_str(text);
            }
        }
        if let Some((_, span)) = &mut open {
            span.push(' ');
        }
    }
    found
}

#[test]
fn a_page_gives_its_commands() {
    let page = "# A page\n\nRun `netbe\nlist` or `x`.\n\n    netbe init    # a pool\n    netbe a \\\n      b\n\n- item\n\n      netbe c\n\n\
                ```sh\nnetbe d\n```\n\n    $ netbe e\n    netbe says\n";
    let found = lines("p", page);
    let texts: Vec<&str> = found.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "netbe list",
            "x",
            "netbe init",
            "netbe a b",
            "netbe c",
            "netbe d",
            "netbe e"
        ]
    );
}
