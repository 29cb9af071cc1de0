//! A text as lines that keep their ends: `\n`, `\r\n`, or none at all for the last.
//!
//! Putting a line in and taking it out again gives the same bytes. Not for what lines say.

use std::fmt;
use std::ops::{Deref, DerefMut};

/// The lines of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Text(Vec<TextLine>);

/// A line and how it ends.
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

/// Puts a line behind another, or at the end, ended as its neighbours are.
///
/// Where the last line has no end the new last one has none either, which [`remove`] knows.
pub(super) fn insert_after(text: &mut Text, place: Option<usize>, body: &str) {
    let place = place.or(text.0.len().checked_sub(1));
    let usual = text.0.first().map_or("\n", |l| l.end);
    let usual = if usual.is_empty() { "\n" } else { usual };
    let mut end = usual;
    let mut at = 0;
    if let Some(place) = place {
        end = text.0[place].end;
        if end.is_empty() {
            text.0[place].end = usual;
        }
        at = place + 1;
    }
    let body = body.to_string();
    text.0.insert(at, TextLine { body, end });
}

/// Takes a line out; where it was an unended last one, the line before it becomes that again.
pub(super) fn remove(text: &mut Text, at: usize) {
    let gone = text.0.remove(at);
    let usual = match text.0.as_slice() {
        [first, _, ..] => first.end,
        _ => "\n",
    };
    if gone.end.is_empty()
        && let Some(last) = text.0.last_mut()
    {
        // A lone carriage return at its end has become half of that end.
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
