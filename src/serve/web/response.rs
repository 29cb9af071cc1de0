//! A response as it is sent: its head, then a part of a file.
//!
//! Not for when it is sent, nor for whether it arrives.

use std::fs::File;
use std::io::{self, Write};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::time::Instant;

/// A response.
#[derive(Debug)]
pub(super) struct Response {
    pub(super) head: Vec<u8>,
    pub(super) file: Option<File>,
    /// The number of the request for the file.
    pub(super) number: Option<u64>,
    /// The rest of the file that is to be sent.
    pub(super) at: u64,
    pub(super) end: u64,
    /// Whether it contains the whole file: a part does not count as a fetch, even if it ends at the end of the file.
    pub(super) is_whole: bool,
    pub(super) closes: bool,
    pub(super) due: Instant,
}

impl Response {
    /// Sends the next part; returns its length, 0 at the end.
    pub(super) fn send_some(&mut self, stream: &mut TcpStream) -> io::Result<usize> {
        if !self.head.is_empty() {
            let sent = stream.write(&self.head)?;
            self.head.drain(..sent);
            return Ok(sent);
        }
        let Some(file) = self.file.as_ref().filter(|_| self.at < self.end) else {
            return Ok(0);
        };
        let mut bytes = [0; 64 << 10];
        let room = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let room = room.min(bytes.len());
        let read = file.read_at(&mut bytes[..room], self.at)?;
        if read == 0 {
            // The file was truncated: what was sent is incomplete.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let sent = stream.write(&bytes[..read])?;
        self.at += sent as u64;
        Ok(sent)
    }
}
