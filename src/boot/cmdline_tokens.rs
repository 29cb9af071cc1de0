//! Parses a kernel command line into tokens, without loss.
//!
//! A [`Line`] splits as the kernel (`lib/cmdline.c`): blanks separate tokens, `"` protects them and cannot be escaped,
//! `-` and `_` are equal in names, tokens after `--` are for init. A parsed line prints the same bytes; a change of
//! one token leaves all others as they were. Does not know what tokens mean.

use std::fmt;

use anyhow::{Result, bail};

/// A kernel command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    parts: Vec<Part>,
    /// Blanks after the last token, with the final newline.
    tail: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    /// The blanks before the token.
    blank: String,
    token: String,
}

impl Line {
    /// Parses a text of one line; anything but blanks after the first newline is an error.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let (first, rest) = text.split_at(text.find('\n').unwrap_or(text.len()));
        if !rest.trim_matches(is_blank).is_empty() {
            bail!("it has more than one line, and a loader reads only the first");
        }
        let mut parts = Vec::new();
        let mut left = first;
        loop {
            let token = left.trim_start_matches(is_blank);
            if token.is_empty() {
                break;
            }
            let (blank, _) = left.split_at(left.len() - token.len());
            let end = token_end(token)?;
            parts.push(Part {
                blank: blank.to_string(),
                token: token[..end].to_string(),
            });
            left = &token[end..];
        }
        Ok(Self {
            parts,
            tail: format!("{left}{rest}"),
        })
    }

    /// Returns the kernel's tokens, as written, in order, without those after `--`.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = &str> {
        self.parts
            .iter()
            .map(|p| p.token.as_str())
            .take_while(|t| *t != "--")
    }

    /// Returns the tokens after `--`.
    pub(crate) fn for_init(&self) -> impl Iterator<Item = &str> {
        let skip = self.tokens().count() + 1;
        self.parts.iter().skip(skip).map(|p| p.token.as_str())
    }

    /// Returns the positions of the kernel's tokens of a name.
    pub(crate) fn find(&self, name: &str) -> Vec<usize> {
        let found = self.tokens().enumerate();
        found
            .filter(|(_, t)| same_name(name_of(t), name))
            .map(|(i, _)| i)
            .collect()
    }

    /// Returns the value of the last token of a name, which the kernel uses.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.find(name)
            .last()
            .and_then(|&i| value_of(&self.parts[i].token))
    }

    /// Returns whether the kernel's tokens include one; `-` and `_` are equal in its name.
    pub(crate) fn has(&self, token: &str) -> bool {
        self.tokens().any(|t| same_token(t, token))
    }

    /// Returns the token at a position from [`Self::find`].
    pub(crate) fn get(&self, at: usize) -> &str {
        &self.parts[at].token
    }

    /// Replaces the token at a position.
    pub(crate) fn set(&mut self, at: usize, token: &str) {
        self.parts[at].token = token.to_string();
    }

    /// Removes the token at a position, with the blanks before it.
    pub(crate) fn remove(&mut self, at: usize) {
        let removed = self.parts.remove(at);
        if at == 0
            && let Some(first) = self.parts.first_mut()
        {
            first.blank = removed.blank;
        }
    }

    /// Inserts a token at a position.
    pub(crate) fn insert(&mut self, at: usize, token: &str) {
        let mut blank = " ".to_string();
        if at == 0 {
            blank = match self.parts.first_mut() {
                Some(first) => std::mem::replace(&mut first.blank, blank),
                None => String::new(),
            };
        }
        let token = token.to_string();
        self.parts.insert(at, Part { blank, token });
    }

    /// Appends a token to the kernel's.
    pub(crate) fn push(&mut self, token: &str) {
        self.insert(self.tokens().count(), token);
    }

    /// Returns the number of bytes that a loader passes to the kernel.
    pub(crate) fn width(&self) -> usize {
        let parts = self.parts.iter();
        parts.map(|p| p.blank.len() + p.token.len()).sum()
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            f.write_str(&part.blank)?;
            f.write_str(&part.token)?;
        }
        f.write_str(&self.tail)
    }
}

/// Returns a token's name without quotes: `root` of `"root=LABEL=my disk"`.
pub(crate) fn name_of(token: &str) -> &str {
    let token = token.strip_prefix('"').unwrap_or(token);
    let name = token.split('=').next().unwrap_or(token);
    name.trim_end_matches('"')
}

/// Returns a token's value without quotes; `None` without `=`.
pub(crate) fn value_of(token: &str) -> Option<&str> {
    let whole = token.strip_prefix('"');
    let (_, value) = whole.unwrap_or(token).split_once('=')?;
    let value = match whole {
        Some(_) => value.strip_suffix('"').unwrap_or(value),
        None => value,
    };
    Some(match value.strip_prefix('"') {
        Some(value) => value.strip_suffix('"').unwrap_or(value),
        None => value,
    })
}

/// Returns whether two names are equal for the kernel.
pub(crate) fn same_name(one: &str, other: &str) -> bool {
    let plain = |b: u8| if b == b'-' { b'_' } else { b };
    one.bytes().map(plain).eq(other.bytes().map(plain))
}

/// Returns whether two tokens are equal for the kernel.
pub(crate) fn same_token(one: &str, other: &str) -> bool {
    same_name(name_of(one), name_of(other)) && value_of(one) == value_of(other)
}

/// Returns whether a text is exactly one token, with its quotes closed.
pub(crate) fn is_one_token(text: &str) -> bool {
    !text.is_empty() && !text.starts_with(is_blank) && token_end(text).ok() == Some(text.len())
}

fn token_end(text: &str) -> Result<usize> {
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            c if is_blank(c) && !quoted => return Ok(at),
            _ => {}
        }
    }
    if quoted {
        bail!("it has an opening quote without a closing one");
    }
    Ok(text.len())
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tokens_are_the_kernels() {
        let text = " a  b=c\td=\"e f\" \"g=h i\" \"j\"  -- init args\n";
        let line = Line::parse(text).unwrap();
        assert_eq!(
            line.tokens().collect::<Vec<_>>(),
            ["a", "b=c", "d=\"e f\"", "\"g=h i\"", "\"j\""]
        );
        assert_eq!(line.for_init().collect::<Vec<_>>(), ["init", "args"]);
        assert_eq!(line.value("d"), Some("e f"));
        assert_eq!(line.value("g"), Some("h i"));
        assert_eq!(name_of("\"j\""), "j");
        assert_eq!(value_of("a"), None);
        assert_eq!(value_of("a="), Some(""));
        assert_eq!(line.to_string(), text);
    }

    #[test]
    fn dashes_and_underscores_are_equal_in_names_only() {
        let line = Line::parse("a-b=c-d").unwrap();
        assert_eq!(line.find("a_b"), [0]);
        assert!(line.has("a_b=c-d"));
        assert!(!line.has("a_b=c_d"));
    }

    #[test]
    fn one_line_or_an_error() {
        for fine in ["", "\n", "a", "a\n", "a\r\n", "a\n\n  \n", "  \n"] {
            assert_eq!(Line::parse(fine).unwrap().to_string(), fine);
        }
        for broken in ["a\nb", "\na", "a\n\nb\n", "a \"b", "a=\"b\n\""] {
            assert!(Line::parse(broken).is_err(), "{broken:?}");
        }
    }

    #[test]
    fn edits_keep_the_ends() {
        for (text, at, expected) in [
            ("  a  b   c \n", 0, "  b   c \n"),
            ("  a  b   c \n", 1, "  a   c \n"),
            ("  a  b   c \n", 2, "  a  b \n"),
            ("a", 0, ""),
        ] {
            let mut line = Line::parse(text).unwrap();
            line.remove(at);
            assert_eq!(line.to_string(), expected);
        }
        for (text, expected) in [
            ("", "x"),
            ("\n", "x\n"),
            (" a\n", " a x\n"),
            ("a -- b", "a x -- b"),
        ] {
            let mut line = Line::parse(text).unwrap();
            line.push("x");
            assert_eq!(line.to_string(), expected);
        }
        let mut line = Line::parse("  a\n").unwrap();
        line.insert(0, "x");
        assert_eq!(line.to_string(), "  x a\n");
    }

    proptest! {
        #[test]
        fn a_parsed_line_prints_the_same(text in "[a-c=\"\\- \t\r\n]{0,40}") {
            if let Ok(line) = Line::parse(&text) {
                prop_assert_eq!(line.to_string(), text);
            }
        }

        #[test]
        fn changing_one_token_leaves_the_others(
            blanks in proptest::collection::vec("[ \t]{1,3}", 6),
            tokens in proptest::collection::vec("[a-z]{1,4}(=[a-z\".]{0,0}[a-z0-9,:/]{0,6})?", 5),
            at in 0usize..5,
        ) {
            let print = |tokens: &[String]| {
                let pairs = blanks.iter().zip(tokens);
                let text: String = pairs.map(|(b, t)| format!("{b}{t}")).collect();
                text + &blanks[5] + "\n"
            };
            let mut line = Line::parse(&print(&tokens)).unwrap();
            line.set(at, "changed");
            let mut expected = tokens.clone();
            expected[at] = "changed".into();
            prop_assert_eq!(line.to_string(), print(&expected));
        }
    }
}
