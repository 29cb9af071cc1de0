//! Where a stream goes: standard output, or a file that is whole or not there.
//!
//! A stream holds all that its environment does, host keys and password hashes too: a new file is its owner's alone.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

use crate::failure::Failure;
use crate::fs::{atomic, interruptible_io};
use crate::pool::Environment;

/// Where a stream goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// This file, replaced in one step; a device or pipe is written to.
    File(PathBuf),
}

/// What is left to do when all of a stream was written.
#[derive(Debug)]
pub(super) enum Landing {
    /// Nothing: whoever reads it has it.
    There,
    /// Giving it its name.
    Beside(NamedTempFile, PathBuf),
}

impl Target {
    /// Refuses a terminal.
    pub(super) fn require_ready(&self, env: &Environment) -> Result<()> {
        if *self == Self::Stdout && io::stdout().is_terminal() {
            return Err(Failure::usage(
                "a stream is nothing for a terminal, and standard output is one",
            )
            .hint(format!(
                "netbe export {env} -o FILE, or: netbe export {env} | ssh HOST netbe import {}",
                env.node
            ))
            .into());
        }
        Ok(())
    }

    /// Opens it; nothing is seen of a new file before it has landed.
    pub(super) fn open(&self) -> Result<(Box<dyn Write>, Landing)> {
        let path = match self {
            Self::Stdout => {
                let out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
                return Ok((written_to(out)?, Landing::There));
            }
            Self::File(path) => path,
        };
        let opening = || format!("opening '{}'", path.display());
        match path.metadata() {
            Ok(found) if !found.is_file() => {
                let out = File::options()
                    .write(true)
                    .open(path)
                    .with_context(opening)?;
                Ok((written_to(out)?, Landing::There))
            }
            found => {
                // What a link leads to is replaced, not the link.
                let path = match found {
                    Ok(_) => path.canonicalize().with_context(opening)?,
                    Err(_) => path.clone(),
                };
                let beside = tempfile::Builder::new()
                    .prefix(".netbe-")
                    .suffix(".new")
                    .tempfile_in(directory_of(&path))
                    .with_context(|| format!("writing beside '{}'", path.display()))?;
                let out = Box::new(beside.as_file().try_clone()?);
                Ok((out, Landing::Beside(beside, path)))
            }
        }
    }
}

impl Landing {
    /// Gives a new file its name, durably.
    pub(super) fn finish(self, mut out: impl Write) -> Result<()> {
        out.flush()?;
        if let Self::Beside(file, path) = self {
            let landing = || format!("writing '{}'", path.display());
            file.as_file().sync_all().with_context(landing)?;
            file.persist(&path)
                .map_err(|e| e.error)
                .with_context(landing)?;
            atomic::directory(directory_of(&path)).with_context(landing)?;
        }
        Ok(())
    }
}

/// Returns what writes to something open: a pipe that nobody empties must not keep netbe from being stopped.
fn written_to(out: File) -> io::Result<Box<dyn Write>> {
    Ok(match out.metadata()?.is_file() {
        true => Box::new(out),
        false => Box::new(interruptible_io::Writer::new(out)),
    })
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
