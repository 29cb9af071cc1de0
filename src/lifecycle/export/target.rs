//! The target of a stream: standard output, or a file that is complete or absent.
//!
//! A stream contains host keys and password hashes: a new file is accessible to its owner only.

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

use crate::failure::Failure;
use crate::fs::{atomic, interruptible_io};
use crate::pool::Environment;

/// The target of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// A file, replaced atomically; a device or pipe is written to.
    File(PathBuf),
}

/// The last step after the whole stream was written.
#[derive(Debug)]
pub(super) enum Landing {
    /// None.
    There,
    /// Renaming the file.
    Beside(NamedTempFile, PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::File(path) => write!(f, "'{}'", path.display()),
        }
    }
}

impl Target {
    /// Refuses a terminal.
    pub(super) fn require_ready(&self, env: &Environment) -> Result<()> {
        if *self == Self::Stdout && io::stdout().is_terminal() {
            return Err(
                Failure::usage("standard output is a terminal, and a stream is binary")
                    .hint(format!(
                        "netbe export {env} -o {}-{}.netbe",
                        env.node, env.name
                    ))
                    .into(),
            );
        }
        Ok(())
    }

    /// Opens it; a new file has no name before it is complete.
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
                // The file is replaced, not a link to it.
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
    /// Renames a new file to its name, durably.
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

/// Returns an interruptible writer: writing to a full pipe must not block SIGINT.
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
