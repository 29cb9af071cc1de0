//! What programs say, kept within bounds: a beginning and an end in the file, a beginning on the terminal.
//!
//! A program that never stops talking fills neither disk nor memory. Not for what is said to whom.

use std::fs::File;
use std::io::{self, Write};

use crate::terminal;

/// How much of the beginning is kept, and how much of the end, in bytes; an upgrade of a thousand packages says less
/// than one.
const HEAD: u64 = 4 << 20;
const TAIL: usize = 4 << 20;
/// How much is shown as it comes, in bytes.
const SHOWN: u64 = 16 << 20;

/// A log being written.
#[derive(Debug)]
pub(super) struct Log {
    file: File,
    /// Cleaned on the way: nobody has given the program the terminal.
    echo: Option<terminal::Stream>,
    said: u64,
    /// The latest of what is beyond the head; at most twice as long as it is to be.
    tail: Vec<u8>,
}

impl Log {
    /// Writes at the file's current position; shown on stderr as well where `echo` says so.
    pub(super) fn new(file: File, echo: bool) -> Self {
        Self {
            file,
            echo: echo.then(terminal::Stream::default),
            said: 0,
            tail: Vec::new(),
        }
    }

    /// Returns how much has been said, in bytes.
    pub(super) fn written(&self) -> u64 {
        self.said
    }

    /// Takes what was said; the end of a long log is written by [`Self::finish`].
    pub(super) fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.show(bytes);
        let room = usize::try_from(HEAD.saturating_sub(self.said)).unwrap_or(0);
        self.said += bytes.len() as u64;
        let (head, rest) = bytes.split_at(room.min(bytes.len()));
        self.tail.extend_from_slice(rest);
        if self.tail.len() > 2 * TAIL {
            self.tail.drain(..self.tail.len() - TAIL);
        }
        self.file.write_all(head)
    }

    fn show(&mut self, bytes: &[u8]) {
        let Some(echo) = self.echo.as_mut().filter(|_| self.said < SHOWN) else {
            return;
        };
        terminal::show(&echo.clean(bytes));
        if self.said + bytes.len() as u64 >= SHOWN {
            terminal::show(b"\n[the rest is not shown; the log has how it ends]\n");
        }
    }

    /// Writes the end of what was said.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let from = self.tail.len().saturating_sub(TAIL);
        let tail = std::mem::take(&mut self.tail);
        let left_out = (self.said.saturating_sub(HEAD)).saturating_sub((tail.len() - from) as u64);
        if left_out > 0 {
            let line = format!("\n[{left_out} bytes are left out here]\n");
            self.file.write_all(line.as_bytes())?;
        }
        self.file.write_all(&tail[from..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek};

    fn kept(parts: &[&[u8]]) -> Vec<u8> {
        let mut file = tempfile::tempfile().unwrap();
        let mut log = Log::new(file.try_clone().unwrap(), false);
        for part in parts {
            log.take(part).unwrap();
        }
        log.finish().unwrap();
        let mut text = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut text).unwrap();
        text
    }

    #[test]
    fn what_is_short_is_kept_whole_and_in_order() {
        assert_eq!(kept(&[b"one\n", b"two\n"]), b"one\ntwo\n");
        assert_eq!(kept(&[]), b"");
        let (head, rest) = (vec![b'a'; (HEAD - 1) as usize], vec![b'b'; TAIL]);
        assert_eq!(kept(&[&head, &rest]), [head, rest].concat());
    }

    #[test]
    fn of_what_has_no_end_the_beginning_and_the_latest_are_kept() {
        let line = b"y\n".repeat(32 << 10);
        let mut parts: Vec<&[u8]> = vec![b"begin\n"];
        parts.extend(std::iter::repeat_n(&*line, 1000));
        parts.push(b"end\n");
        let text = kept(&parts);
        assert!(text.len() < HEAD as usize + TAIL + 100, "{}", text.len());
        assert!(text.starts_with(b"begin\ny\n") && text.ends_with(b"y\nend\n"));
        let text = String::from_utf8(text).unwrap();
        let said = 10 + 1000 * line.len();
        let left_out = said - HEAD as usize - TAIL;
        assert!(text.contains(&format!("\n[{left_out} bytes are left out here]\n")));
    }
}
