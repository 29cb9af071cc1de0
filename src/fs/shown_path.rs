//! Paths in messages.

use std::path::Path;

/// Longest path shown, in bytes.
const SHOWN: usize = 300;

/// Returns a path for a message; of a long one, both ends.
pub fn shortened(path: &Path) -> String {
    let text = path.display().to_string();
    if text.len() <= SHOWN {
        return text;
    }
    let half = |mut at: usize, step: fn(usize) -> usize| {
        while !text.is_char_boundary(at) {
            at = step(at);
        }
        at
    };
    let (start, end) = (
        half(SHOWN / 2, |at| at - 1),
        half(text.len() - SHOWN / 2, |at| at + 1),
    );
    format!("{}…{}", &text[..start], &text[end..])
}

/// Returns a path as a word of a shell, for a command that is printed.
pub fn quoted(path: &Path) -> String {
    quoted_word(&path.to_string_lossy())
}

/// Quotes a word for a shell.
pub fn quoted_word(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._+-=:,@%".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_string(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn a_long_path_is_shown_with_both_ends() {
        let path = PathBuf::from(format!("begin{}end", "ä".repeat(4000)));
        let shown = shortened(&path);
        assert!(shown.starts_with("begin") && shown.ends_with("end") && shown.len() < 400);
        assert_eq!(shortened(Path::new("a/b")), "a/b");
    }

    #[test]
    fn words_are_read_by_a_shell_as_they_were_given() {
        for (word, shown) in [
            ("nog/a", "nog/a"),
            ("cmdline=quiet splash", "'cmdline=quiet splash'"),
            ("", "''"),
            ("it's", "'it'\\''s'"),
        ] {
            assert_eq!(quoted_word(word), shown);
        }
    }
}
