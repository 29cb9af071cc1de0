//! All output to a terminal, cleaned of characters that it would interpret.
//!
//! Names, versions, descriptions and messages come from nodes, images and repositories. A terminal would interpret
//! control sequences in them: move the cursor, change the title, simulate input, reorder text. So control characters
//! (C0, DEL, C1), bidirectional overrides and invisible characters are shown as `?`; newlines and tabs stay in texts of
//! several lines. In JSON they are escaped instead. Not for `run` and `shell`, which give the terminal to the program,
//! nor for logs, which are unfiltered.

mod messages;

use std::io::{self, Write, stderr, stdout};

pub use messages::{beginning, colour_messages, draw, fitting, name_pool, say, undraw, with_pool};

/// The replacement of a removed character.
const HIDDEN: char = '?';

/// netbe's escape sequences: bold, colours, and reset.
const OWN: [&str; 6] = [
    "\x1b[0m", "\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[35m", "\x1b[36m",
];

/// Returns whether a terminal would interpret a character, hide it, or reorder others because of it.
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Soft hyphen, joiners and fillers of no or blank width.
            '\u{ad}' | '\u{34f}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{3164}' | '\u{ffa0}'
            // Bidirectional overrides, line separators, invisible operators, byte order mark.
            | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}'
            // Format characters of hieroglyphs, shorthand and music; tags and variation selectors.
            | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1345f}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// Returns a text cleaned, as one line or table cell.
pub fn line(text: &str) -> String {
    text.chars()
        .map(|c| if is_harmful(c) { HIDDEN } else { c })
        .collect()
}

/// Returns a text cleaned, with newlines and tabs kept.
pub fn text(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            c if is_harmful(c) => HIDDEN,
            c => c,
        })
        .collect()
}

/// Returns the same with netbe's colours kept, for text that was drawn from clean pieces.
fn painted(all: &str) -> String {
    let mut clean = String::with_capacity(all.len());
    let mut rest = all;
    while let Some(at) = rest.find('\x1b') {
        clean.push_str(&text(&rest[..at]));
        rest = &rest[at..];
        let own = OWN.iter().find(|own| rest.starts_with(**own));
        clean.push_str(own.unwrap_or(&"?"));
        rest = &rest[own.map_or(1, |own| own.len())..];
    }
    clean.push_str(&text(rest));
    clean
}

/// Returns a JSON document with such characters escaped; they occur only inside its strings.
pub fn json(document: &str) -> String {
    let mut escaped = String::with_capacity(document.len());
    for c in document.chars() {
        if c == '\n' || !is_harmful(c) {
            escaped.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            escaped.push_str(&format!("\\u{unit:04x}"));
        }
    }
    escaped
}

/// Prints an answer to standard output; `coloured` keeps netbe's colours.
///
/// # Errors
/// The system's; a closed pipe is `BrokenPipe`.
pub fn answer(all: &str, coloured: bool) -> io::Result<()> {
    let clean = if coloured { painted(all) } else { text(all) };
    let mut out = stdout().lock();
    out.write_all(clean.as_bytes()).and_then(|()| out.flush())
}

/// Prints clean text to standard error: drawn by netbe, or cleaned by [`line()`], [`text`] or a [`Stream`].
pub fn show(clean: &[u8]) {
    // A closed standard error is ignored.
    let _ = stderr().write_all(clean);
    let _ = stderr().flush();
}

/// Cleans a program's output while it runs.
///
/// A line that is redrawn in place becomes several lines.
#[derive(Debug, Default)]
pub struct Stream {
    /// The beginning of an incomplete character.
    begun: Vec<u8>,
    /// Whether the last byte was a carriage return, which a newline may follow.
    returned: bool,
}

impl Stream {
    /// Returns the cleaned text of the next bytes.
    pub fn clean(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.begun);
        all.extend_from_slice(bytes);
        let whole = all.len() - cut_off(&all);
        self.begun = all.split_off(whole);
        let mut clean = String::with_capacity(all.len());
        for c in String::from_utf8_lossy(&all).chars() {
            match c {
                '\n' if self.returned => {}
                '\r' => clean.push('\n'),
                c => clean.push_str(&text(c.encode_utf8(&mut [0; 4]))),
            }
            self.returned = c == '\r';
        }
        clean.into_bytes()
    }
}

/// Returns how many bytes at the end are an incomplete character.
fn cut_off(bytes: &[u8]) -> usize {
    match std::str::from_utf8(&bytes[bytes.len().saturating_sub(3)..]) {
        Ok(_) => 0,
        Err(_) => (1..=bytes.len().min(3))
            .find(|back| {
                let first = bytes[bytes.len() - back];
                let length = match first {
                    0xc2..=0xdf => 2,
                    0xe0..=0xef => 3,
                    0xf0..=0xf4 => 4,
                    _ => 0,
                };
                length > *back
            })
            .unwrap_or(0),
    }
}

/// Returns a human-readable size, in powers of 1024.
pub fn bytes(count: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count;
    let mut unit = 0;
    let mut rest = 0;
    while value >= 1024 && unit + 1 < units.len() {
        rest = value % 1024 * 10 / 1024;
        value /= 1024;
        unit += 1;
    }
    match unit {
        0 => format!("{value} B"),
        _ => format!("{value}.{rest} {}", units[unit]),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn harmful_characters_are_shown_as_question_marks() {
        for (harmful, shown) in [
            ("a\x1b]0;title\x07b", "a?]0;title?b"),
            ("\r\x08\x7f\u{9b}31m", "????31m"),
            ("abc\u{202e}fed\u{2066}\u{200b}", "abc?fed??"),
            ("\u{feff}\u{e0041}\u{ad}", "???"),
            ("grün ▸ 日本 └─ 🙂", "grün ▸ 日本 └─ 🙂"),
        ] {
            assert_eq!(line(harmful), shown);
            assert_eq!(text(harmful), shown);
        }
        assert_eq!(line("a\tb\nc"), "a?b?c");
        assert_eq!(text("a\tb\nc"), "a\tb\nc");
    }

    #[test]
    fn only_netbes_own_colours_pass() {
        assert_eq!(
            painted("\x1b[1mNODE\x1b[0m \x1b[5mx\x1b]0;y\x07\x1b"),
            "\x1b[1mNODE\x1b[0m ?[5mx?]0;y??"
        );
    }

    #[test]
    fn a_json_document_keeps_its_meaning_without_harmful_characters() {
        let said = "a\u{202e}\u{9b}\u{7f}\u{e0041}\u{1b}\nb";
        let document = serde_json::to_string_pretty(&[said]).unwrap();
        let clean = json(&document);
        assert!(
            clean.chars().all(|c| c == '\n' || !is_harmful(c)),
            "{clean:?}"
        );
        let again: Vec<String> = serde_json::from_str(&clean).unwrap();
        assert_eq!(again, [said]);
    }

    #[test]
    fn a_stream_is_cleaned_across_its_pieces() {
        let mut stream = Stream::default();
        let mut shown = Vec::new();
        // CSI as one character of C1, in two pieces; a letter in two pieces; a bare byte of C1.
        for piece in [
            &b"a\xc2"[..],
            b"\x9b1m\xc3",
            b"\xbc\r",
            b"\nb\rc",
            b"\x9b",
            b"d\xff\x1b",
        ] {
            shown.extend(stream.clean(piece));
        }
        assert_eq!(
            String::from_utf8(shown).unwrap(),
            "a?1mü\nb\nc\u{fffd}d\u{fffd}?"
        );
    }

    #[test]
    fn sizes_are_read_with_one_digit_after_the_point() {
        for (count, want) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1535, "1.4 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (12_949_914, "12.3 MiB"),
            (88 << 20, "88.0 MiB"),
            (3 << 40, "3.0 TiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(bytes(count), want, "{count}");
        }
    }

    proptest! {
        #[test]
        fn a_stream_has_no_harmful_characters(pieces: Vec<Vec<u8>>) {
            let mut stream = Stream::default();
            for piece in pieces {
                let shown = String::from_utf8(stream.clean(&piece)).unwrap();
                prop_assert!(shown.chars().all(|c| c == '\n' || c == '\t' || !is_harmful(c)));
            }
        }
    }
}
