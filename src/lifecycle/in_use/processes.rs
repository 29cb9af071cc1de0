//! The files that the processes of this machine use below a directory, read once from proc(5).
//!
//! A process that has ended, or may not be read, uses nothing. Not for what counts as use of an environment.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::fs::path_error::is_system_error;
use crate::pool::layout;

/// A process, and what it uses.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// The mounts of its namespace, if it is the first process found in a namespace other than that of this process.
    pub(super) mounts: Option<String>,
    /// Its working directory, root and executable.
    places: Vec<PathBuf>,
    /// Its open files.
    open: Vec<PathBuf>,
}

/// Returns the processes, with what they use below a directory; of this process, only its mounts.
///
/// # Errors
/// When the system failed: a process may use the directory.
pub(super) fn processes_using(dir: &Path) -> Result<Vec<Process>> {
    let this = std::process::id();
    let namespace = std::fs::read_link("/proc/self/ns/mnt").context("reading /proc/self/ns/mnt")?;
    let mut seen = HashSet::from([namespace]);
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").context("reading /proc")? {
        let entry = entry.context("reading /proc")?;
        let Some(pid) = number(&entry.file_name()) else {
            continue;
        };
        let process = Process::look(pid, dir, pid == this, &mut seen)
            .with_context(|| format!("looking in /proc/{pid} at what that process uses"))?;
        found.push(process);
    }
    Ok(found)
}

impl Process {
    fn look(
        pid: u32,
        dir: &Path,
        is_this: bool,
        namespaces: &mut HashSet<PathBuf>,
    ) -> io::Result<Self> {
        let proc = proc_of(pid);
        let namespace = if_readable(proc.join("ns/mnt").read_link())?;
        let mounts = match namespace.is_some_and(|namespace| namespaces.insert(namespace)) {
            true => if_readable(std::fs::read_to_string(proc.join("mountinfo")))?,
            false => None,
        };
        let mut process = Self {
            pid,
            mounts,
            places: Vec::new(),
            open: Vec::new(),
        };
        if is_this {
            return Ok(process);
        }
        let below = |link: PathBuf| -> io::Result<Option<PathBuf>> {
            let target = if_readable(link.read_link())?;
            Ok(target.filter(|target| target.starts_with(dir)))
        };
        for link in ["cwd", "root", "exe"] {
            process.places.extend(below(proc.join(link))?);
        }
        for fd in if_readable(std::fs::read_dir(proc.join("fd")))?
            .into_iter()
            .flatten()
        {
            if let Some(fd) = if_readable(fd)? {
                process.open.extend(below(fd.path())?);
            }
        }
        Ok(process)
    }

    /// Returns whether it has its working directory, root or executable in an environment, or an open file of its halves.
    ///
    /// The record beside the halves does not count: every `netbe list` reads it.
    pub(super) fn is_user(&self, dir: &Path) -> bool {
        let halves = [layout::ROOT, layout::BOOT].map(|half| dir.join(half));
        let is_in_half = |file: &PathBuf| halves.iter().any(|half| file.starts_with(half));
        self.places.iter().any(|place| place.starts_with(dir)) || self.open.iter().any(is_in_half)
    }

    /// Returns the name of the program that it runs now; empty if it has ended.
    pub(super) fn command(&self) -> String {
        let comm = std::fs::read_to_string(proc_of(self.pid).join("comm"));
        comm.map_or(String::new(), |command| command.trim().to_string())
    }
}

fn proc_of(pid: u32) -> PathBuf {
    Path::new("/proc").join(pid.to_string())
}

fn number(name: &OsString) -> Option<u32> {
    name.to_str()?.parse().ok()
}

/// Returns the result of reading about a process; `None` if the process has ended, or may not be read.
///
/// # Errors
/// When the system failed: the process may use the environment.
fn if_readable<T>(read: io::Result<T>) -> io::Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied || !is_system_error(&e) => Ok(None),
        Err(e) => Err(e),
    }
}
