//! Splits a text into lines with their ends: `\n`, `\r\n`, or none for the last.
//!
//! Inserting a line and removing it restores the same bytes.

use std::fmt;
use std::ops::{Deref, DerefMut};

/// The lines of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text(Vec<TextLine>);

/// A line and its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TextLine {
    body: String,
    end: &'static str,
}

impl TextLine {
    pub(super) fn body(&self) -> &str {
        &self.body
    }

    pub(super) fn set_body(&mut self, body: &str) {
        self.body = body.to_string();
    }
}

impl Text {
    pub(super) fn split(text: &str) -> Self {
        let lines = text.split_inclusive('\n').map(|line| {
            let end = if line.ends_with("\r\n") {
                "\r\n"
            } else if line.ends_with('\n') {
                "\n"
            } else {
                ""
            };
            TextLine {
                body: line[..line.len() - end.len()].to_string(),
                end,
            }
        });
        Self(lines.collect())
    }
}

/// Inserts a line after another, or at the end, with the end of its neighbours.
///
/// If the last line has no end, a new last one has none either; [`remove`] relies on that.
pub(super) fn insert_after(text: &mut Text, position: Option<usize>, body: &str) {
    let position = position.or(text.0.len().checked_sub(1));
    let usual = text.0.first().map_or("\n", |l| l.end);
    let usual = if usual.is_empty() { "\n" } else { usual };
    let mut end = usual;
    let mut at = 0;
    if let Some(position) = position {
        end = text.0[position].end;
        if end.is_empty() {
            text.0[position].end = usual;
        }
        at = position + 1;
    }
    let body = body.to_string();
    text.0.insert(at, TextLine { body, end });
}

/// Removes a line; if it was the last and had no end, the line before it has none again.
pub(super) fn remove(text: &mut Text, at: usize) {
    let removed = text.0.remove(at);
    let usual = match text.0.as_slice() {
        [first, _, ..] => first.end,
        _ => "\n",
    };
    if removed.end.is_empty()
        && let Some(last) = text.0.last_mut()
    {
        // A lone carriage return at the end of the line was merged into its end.
        if last.end == "\r\n" && usual == "\n" {
            last.body.push('\r');
        }
        last.end = "";
    }
}

impl Deref for Text {
    type Target = [TextLine];

    fn deref(&self) -> &[TextLine] {
        &self.0
    }
}

impl DerefMut for Text {
    fn deref_mut(&mut self) -> &mut [TextLine] {
        &mut self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.0 {
            f.write_str(&line.body)?;
            f.write_str(line.end)?;
        }
        Ok(())
    }
}
