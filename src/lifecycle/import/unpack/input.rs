//! An open file, disk or pipe, with its first bytes read ahead.

use std::fs::File;
use std::io::{self, Cursor, IsTerminal, Read, Seek};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result};

use super::Source;
use crate::failure::Failure;
use crate::formats::detect::{self, NETBE_STREAM};
use crate::fs::{interrupt, interruptible_io};

/// An open source.
#[derive(Debug)]
pub struct Input {
    pub(super) source: Source,
    file: File,
    /// The bytes read ahead.
    head: Vec<u8>,
    /// Its length in bytes, if known.
    pub total: Option<u64>,
}

impl Input {
    /// Opens a source; a file as standard input has a size too, but is not read from its start again.
    pub(super) fn open(source: &Source) -> Result<Self> {
        let (mut file, total) = match source {
            Source::Directory(path) | Source::File(path) => {
                let (file, size) = detect::open_file(path)?;
                (file, Some(size))
            }
            Source::Stdin => {
                let stdin = io::stdin();
                if stdin.is_terminal() {
                    return Err(Failure::usage("standard input is a terminal: - takes an archive that comes through a pipe")
                        .hint("netbe import --help")
                        .into());
                }
                let file = stdin.as_fd().try_clone_to_owned();
                (File::from(file.context("reading standard input")?), None)
            }
        };
        let mut head = first_bytes(&mut file)
            .with_context(|| format!("reading {}", super::detect::shown(source)))?;
        if total.is_some() {
            file.rewind()?;
            let is_stream = head == NETBE_STREAM;
            head.clear();
            if is_stream {
                file.seek(io::SeekFrom::Start(NETBE_STREAM.len() as u64))?;
                head.extend(NETBE_STREAM);
            }
        }
        Ok(Self {
            source: source.clone(),
            file,
            head,
            total,
        })
    }

    /// Returns whether it is a stream of `netbe export`.
    pub fn is_stream(&self) -> bool {
        self.head == NETBE_STREAM
    }

    /// Returns its name in messages.
    pub fn shown(&self) -> String {
        super::detect::shown(&self.source)
    }

    /// Returns the file, and its content from the start.
    pub(super) fn into_parts(self) -> Result<(File, impl Read)> {
        let rest = self.file.try_clone();
        let rest = rest.with_context(|| format!("reading {}", self.shown()))?;
        Ok((self.file, Cursor::new(self.head).chain(rest)))
    }

    /// Returns its content from the start, and a flag that ends the reading.
    pub fn into_patient(self) -> (impl Read + Send + 'static, Arc<AtomicBool>) {
        let (rest, enough) = interruptible_io::Reader::new(self.file);
        (Cursor::new(self.head).chain(rest), enough)
    }
}

/// Reads enough bytes to recognise a stream, or all there are.
fn first_bytes(file: &mut File) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let most = NETBE_STREAM.len() as u64;
    interrupt::Reader::new(file)
        .take(most)
        .read_to_end(&mut head)?;
    Ok(head)
}
