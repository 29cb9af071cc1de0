//! The log of a program's output, of bounded size: the beginning and the end go into a file, the beginning to
//! the terminal.
//!
//! A program whose output never ends fills neither disk nor memory.

use std::fs::File;
use std::io::{self, Write};

use crate::terminal;

/// Bytes of the beginning and of the end that are written; an upgrade of a thousand packages outputs less than
/// one MiB.
const HEAD_MAX: u64 = 4 << 20;
const TAIL_MAX: usize = 4 << 20;
/// Bytes that are echoed to the terminal.
const ECHO_MAX: u64 = 16 << 20;

/// A log being written.
#[derive(Debug)]
pub(super) struct Log {
    file: File,
    /// Escape sequences are removed: the program was not given the terminal.
    echo: Option<terminal::Stream>,
    received: u64,
    /// The latest output after the head; at most twice `TAIL_MAX`.
    tail: Vec<u8>,
}

impl Log {
    /// Writes at the file's current position, and to stderr too with `echo`.
    pub(super) fn new(file: File, echo: bool) -> Self {
        Self {
            file,
            echo: echo.then(terminal::Stream::default),
            received: 0,
            tail: Vec::new(),
        }
    }

    /// Returns how many bytes were received, written or not.
    pub(super) fn written(&self) -> u64 {
        self.received
    }

    /// Logs a piece of output; the end of a long log is written by [`Self::finish`].
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.echo(bytes);
        let room = usize::try_from(HEAD_MAX.saturating_sub(self.received)).unwrap_or(0);
        self.received += bytes.len() as u64;
        let (head, rest) = bytes.split_at(room.min(bytes.len()));
        self.tail.extend_from_slice(rest);
        if self.tail.len() > 2 * TAIL_MAX {
            self.tail.drain(..self.tail.len() - TAIL_MAX);
        }
        self.file.write_all(head)
    }

    fn echo(&mut self, bytes: &[u8]) {
        let Some(echo) = self.echo.as_mut().filter(|_| self.received < ECHO_MAX) else {
            return;
        };
        terminal::show(&echo.clean(bytes));
        if self.received + bytes.len() as u64 >= ECHO_MAX {
            terminal::show(b"\n[further output is in the log only]\n");
        }
    }

    /// Writes the end of a long output.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let from = self.tail.len().saturating_sub(TAIL_MAX);
        let tail = std::mem::take(&mut self.tail);
        let left_out =
            (self.received.saturating_sub(HEAD_MAX)).saturating_sub((tail.len() - from) as u64);
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

    fn logged(parts: &[&[u8]]) -> Vec<u8> {
        let mut file = tempfile::tempfile().unwrap();
        let mut log = Log::new(file.try_clone().unwrap(), false);
        for part in parts {
            log.write(part).unwrap();
        }
        log.finish().unwrap();
        let mut text = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut text).unwrap();
        text
    }

    #[test]
    fn short_output_is_logged_whole_and_in_order() {
        assert_eq!(logged(&[b"one\n", b"two\n"]), b"one\ntwo\n");
        assert_eq!(logged(&[]), b"");
        let (head, rest) = (vec![b'a'; (HEAD_MAX - 1) as usize], vec![b'b'; TAIL_MAX]);
        assert_eq!(logged(&[&head, &rest]), [head, rest].concat());
    }

    #[test]
    fn of_endless_output_the_beginning_and_the_end_are_logged() {
        let line = b"y\n".repeat(32 << 10);
        let mut parts: Vec<&[u8]> = vec![b"begin\n"];
        parts.extend(std::iter::repeat_n(&*line, 1000));
        parts.push(b"end\n");
        let text = logged(&parts);
        assert!(
            text.len() < HEAD_MAX as usize + TAIL_MAX + 100,
            "{}",
            text.len()
        );
        assert!(text.starts_with(b"begin\ny\n") && text.ends_with(b"y\nend\n"));
        let text = String::from_utf8(text).unwrap();
        let received = 10 + 1000 * line.len();
        let left_out = received - HEAD_MAX as usize - TAIL_MAX;
        assert!(text.contains(&format!("\n[{left_out} bytes are left out here]\n")));
    }
}
