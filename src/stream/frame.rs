//! Writes frames, and reads and verifies them.

use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};

use super::{PLAIN, Part, WITH_DATA};
use crate::formats::detect::NETBE_STREAM;

/// How much is read at once, in bytes: a claimed length allocates nothing before the data arrives.
const STEP: u64 = 64 << 10;

/// The longest first line, in bytes.
const LINE_LIMIT: usize = 32;

/// Writes frames.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    previous: [u8; 32],
    written: u64,
}

impl<W: Write> Writer<W> {
    /// Starts a stream of this version.
    pub fn begin(mut out: W, version: u64) -> io::Result<Self> {
        let line = first_line(version);
        out.write_all(&line)?;
        Ok(Self {
            out,
            previous: Sha256::digest(&line).into(),
            written: line.len() as u64,
        })
    }

    /// Writes one frame.
    ///
    /// # Errors
    /// Also if the payload is too long for its type.
    pub fn frame(&mut self, part: Part, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len())
            .ok()
            .filter(|_| payload.len() <= part.limit())
            .ok_or_else(|| io::Error::other("more than fits into one frame of a stream"))?;
        self.previous = checksum(&self.previous, part.tag(), length, payload);
        let mut head = Vec::with_capacity(40);
        head.extend(part.tag());
        head.extend(length.to_le_bytes());
        head.extend(self.previous);
        self.out.write_all(&head)?;
        self.out.write_all(payload)?;
        self.written += (head.len() + payload.len()) as u64;
        Ok(())
    }

    /// Returns how many bytes were written.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Returns the underlying writer.
    pub fn into_inner(self) -> W {
        self.out
    }
}

/// Reads frames.
#[derive(Debug)]
pub struct Reader<R> {
    stream: R,
    previous: [u8; 32],
    /// The frame read last.
    last: Option<Part>,
    version: u64,
}

impl<R: Read> Reader<R> {
    /// Starts reading a stream.
    ///
    /// # Errors
    /// If it is not a stream, or of another format version.
    pub fn begin(mut stream: R) -> io::Result<Self> {
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') && line.len() < LINE_LIMIT {
            let mut byte = [0];
            fill(&mut stream, &mut byte)?;
            line.extend(byte);
        }
        let version = line
            .strip_prefix(NETBE_STREAM)
            .and_then(|rest| str::from_utf8(rest).ok())
            .and_then(|rest| rest.strip_prefix(' ')?.strip_suffix('\n')?.parse().ok());
        let version = match version {
            Some(newer) if newer > WITH_DATA => {
                return Err(invalid(format!(
                    "the stream is of format {newer}, made by a newer netbe; this one knows up to format {WITH_DATA}"
                )));
            }
            Some(known @ PLAIN..) if line == first_line(known) => known,
            _ => return Err(damaged()),
        };
        Ok(Self {
            stream,
            previous: Sha256::digest(&line).into(),
            last: None,
            version,
        })
    }

    /// Reads the next frame's payload into `payload`, and returns its type; `None` after the last frame.
    ///
    /// # Errors
    /// If the frame is incomplete, changed or out of order; `payload` is empty then.
    pub fn frame(&mut self, payload: &mut Vec<u8>) -> io::Result<Option<Part>> {
        payload.clear();
        if self.last == Some(Part::Done) {
            return self.at_end().map(|()| None);
        }
        let mut head = [0; 40];
        fill(&mut self.stream, &mut head)?;
        let (tag, length, sum) = split_header(&head);
        let part = Part::from_tag(tag).ok_or_else(damaged)?;
        if !part.may_follow(self.last, self.version) || length as usize > part.limit() {
            return Err(damaged());
        }
        let result = self.payload(length, payload);
        let is_valid = result.is_ok() && checksum(&self.previous, tag, length, payload) == sum;
        if !is_valid {
            payload.clear();
            return Err(result.err().unwrap_or_else(damaged));
        }
        self.previous = sum;
        self.last = Some(part);
        Ok(Some(part))
    }

    fn payload(&mut self, length: u32, payload: &mut Vec<u8>) -> io::Result<()> {
        let mut remaining = u64::from(length);
        while remaining > 0 {
            let step = remaining.min(STEP);
            let count = self.stream.by_ref().take(step).read_to_end(payload)? as u64;
            if count < step {
                return Err(cut_short());
            }
            remaining -= step;
        }
        Ok(())
    }

    fn at_end(&mut self) -> io::Result<()> {
        match self.stream.by_ref().take(1).read_to_end(&mut Vec::new())? {
            0 => Ok(()),
            _ => Err(invalid("there is something behind the stream's end")),
        }
    }
}

fn first_line(version: u64) -> Vec<u8> {
    let mut line = NETBE_STREAM.to_vec();
    line.extend(format!(" {version}\n").bytes());
    line
}

fn split_header(head: &[u8; 40]) -> ([u8; 4], u32, [u8; 32]) {
    let (mut tag, mut length, mut sum) = ([0; 4], [0; 4], [0; 32]);
    tag.copy_from_slice(&head[..4]);
    length.copy_from_slice(&head[4..8]);
    sum.copy_from_slice(&head[8..]);
    (tag, u32::from_le_bytes(length), sum)
}

fn checksum(previous: &[u8; 32], tag: [u8; 4], length: u32, payload: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update(previous)
        .chain_update(tag)
        .chain_update(length.to_le_bytes())
        .chain_update(payload)
        .finalize()
        .into()
}

fn fill(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<()> {
    stream.read_exact(buffer).map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof => cut_short(),
        _ => e,
    })
}

fn cut_short() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the stream is cut short: its end is missing",
    )
}

fn damaged() -> io::Error {
    invalid("the stream is damaged: it is not what was written")
}

pub(super) fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

#[cfg(test)]
mod tests;
