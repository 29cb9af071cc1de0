//! Who may change what, now: one lock a node, one for what all nodes share; two more for who downloads,
//! and who shares files anew.
//!
//! A lock is `flock(2)` on a file under `locks` of the state directory, where no node and no user of the server reaches it, so the kernel releases it when its holder dies, however
//! it dies. Who holds it alone also marks the open file with a lock of the other kind, which readers can ask
//! for without taking anything (fcntl(2), "Open file description locks"). The functions that change something take the lock as an argument: the proof. Locks are taken
//! in one order, nodes by name, then the pool; the one for downloads is given back before the pool's. Reading
//! takes none.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::Mode;

use super::layout;
use super::name::NodeName;
use crate::failure::Failure;
use crate::fs::{atomic, opener};

/// How often a lock that is held is tried again.
const RETRY: Duration = Duration::from_millis(20);

/// Proof that nobody else changes what the nodes share: names, exports, the pool's properties.
#[derive(Debug)]
pub struct PoolLock {
    _file: File,
}

/// Proof that nobody else changes one node or its environments; the node need not exist yet.
#[derive(Debug)]
pub struct NodeLock {
    node: NodeName,
    _file: File,
}

/// Whether others may hold the same lock beside this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Nobody else: for changing.
    Alone,
    /// Others who only need it to stay: for making something from it.
    Together,
}

/// Proof that nobody else downloads packages that all nodes may want; nothing else is guarded by it.
#[derive(Debug)]
pub struct DownloadLock {
    _file: File,
}

impl DownloadLock {
    /// Takes the lock, waiting up to `wait`.
    ///
    /// # Errors
    /// `Locked`, naming the holder.
    pub fn take(state: &Path, wait: Duration) -> Result<Self> {
        let file = acquire(state, "PACKAGES", "the package cache", Share::Alone, wait)?;
        Ok(Self { _file: file })
    }
}

/// Proof that nobody else shares files anew; nothing else is guarded by it.
///
/// Two at once could each let go of what the other one took up, and gain nothing.
#[derive(Debug)]
pub struct DedupeLock {
    _file: File,
}

impl DedupeLock {
    /// Takes the lock, waiting up to `wait`.
    ///
    /// # Errors
    /// `Locked`, naming the holder.
    pub fn take(state: &Path, wait: Duration) -> Result<Self> {
        let file = acquire(state, "DEDUPE", "what files share", Share::Alone, wait)?;
        Ok(Self { _file: file })
    }
}

impl PoolLock {
    /// Takes the pool's lock, waiting up to `wait`.
    ///
    /// # Errors
    /// `Locked`, naming the holder.
    pub fn take(state: &Path, wait: Duration) -> Result<Self> {
        // Upper case: no node has this name.
        let file = acquire(state, "POOL", "the pool", Share::Alone, wait)?;
        Ok(Self { _file: file })
    }
}

impl NodeLock {
    /// Takes a node's lock, waiting up to `wait`.
    ///
    /// # Errors
    /// `Locked`, naming the holder.
    pub(super) fn take(
        state: &Path,
        node: &NodeName,
        share: Share,
        wait: Duration,
    ) -> Result<Self> {
        let file = acquire(state, node.as_str(), node.as_str(), share, wait)?;
        Ok(Self {
            node: node.clone(),
            _file: file,
        })
    }

    /// Takes a node's lock beside others, at once or not at all, without leaving a trace: for a dry run that has files open.
    ///
    /// `None` where nobody has ever taken it, or who looks may not: then nobody is kept out.
    ///
    /// # Errors
    /// `Locked`, naming the holder.
    pub(super) fn take_unnoticed(state: &Path, node: &NodeName) -> Result<Option<Self>> {
        let Ok(Some(mut file)) = opener::file(&layout::locks(state).join(node.as_str())) else {
            return Ok(None);
        };
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {
                Err(held(&mut file, node.as_str(), Duration::ZERO).into())
            }
            _ => Ok(Some(Self {
                node: node.clone(),
                _file: file,
            })),
        }
    }

    /// Takes the lock of the node that is changed and of the one something is made from.
    pub(super) fn take_both(
        state: &Path,
        changed: &NodeName,
        source: &NodeName,
        wait: Duration,
    ) -> Result<(Self, Option<Self>)> {
        if changed == source {
            return Ok((Self::take(state, changed, Share::Alone, wait)?, None));
        }
        if changed < source {
            let first = Self::take(state, changed, Share::Alone, wait)?;
            Ok((
                first,
                Some(Self::take(state, source, Share::Together, wait)?),
            ))
        } else {
            let first = Self::take(state, source, Share::Together, wait)?;
            Ok((Self::take(state, changed, Share::Alone, wait)?, Some(first)))
        }
    }

    /// Returns the node this is the lock of.
    pub fn node(&self) -> &NodeName {
        &self.node
    }
}

/// Returns whether somebody holds a node's lock now; false where it cannot be told.
pub fn is_held(state: &Path, node: &NodeName) -> bool {
    is_marked(&layout::locks(state).join(node.as_str()))
}

fn is_marked(path: &Path) -> bool {
    let Ok(Some(file)) = opener::file(path) else {
        return false;
    };
    let mut asked = mark(nix::libc::F_RDLCK);
    let answered = fcntl(&file, FcntlArg::F_OFD_GETLK(&mut asked)).is_ok();
    answered && i32::from(asked.l_type) == nix::libc::F_WRLCK
}

/// Returns the mark of the whole file; asked for with `F_RDLCK` it shows who holds it alone.
fn mark(kind: i32) -> nix::libc::flock {
    // Its fields are in another order on other processors.
    let mut mark = nix::libc::flock {
        l_type: 0,
        l_whence: 0,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    mark.l_type = i16::try_from(kind).unwrap_or_default();
    mark
}

/// Tells whether anybody changed the pool while something was read of it.
#[derive(Debug)]
pub struct Watch {
    locks: PathBuf,
    held: bool,
    marks: BTreeMap<OsString, SystemTime>,
}

impl Watch {
    /// Begins to watch.
    pub fn begin(state: &Path) -> Self {
        let locks = layout::locks(state);
        // In this order: what is taken between the two is seen by the mark at the latest.
        let marks = marks(&locks);
        let held = marks.keys().any(|name| is_marked(&locks.join(name)));
        Self { locks, held, marks }
    }

    /// Returns whether a lock was held when it began, or has been taken since.
    pub fn saw_a_change(&self) -> bool {
        // Whoever takes a lock writes into its file.
        self.held || marks(&self.locks) != self.marks
    }
}

fn marks(locks: &Path) -> BTreeMap<OsString, SystemTime> {
    let entries = std::fs::read_dir(locks).into_iter().flatten().flatten();
    entries
        .filter_map(|e| Some((e.file_name(), e.metadata().ok()?.modified().ok()?)))
        .collect()
}

fn acquire(state: &Path, name: &str, what: &str, share: Share, wait: Duration) -> Result<File> {
    let path = layout::locks(state).join(name);
    let mut file = open(&path)?;
    let until = Instant::now() + wait;
    loop {
        let tried = match share {
            Share::Alone => file.try_lock(),
            Share::Together => file.try_lock_shared(),
        };
        match tried {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if Instant::now() < until => {
                crate::fs::interrupt::check()?;
                std::thread::sleep(RETRY);
            }
            Err(TryLockError::WouldBlock) => return Err(held(&mut file, what, wait).into()),
            Err(TryLockError::Error(e)) if e.kind() == std::io::ErrorKind::Interrupted => {
                crate::fs::interrupt::check()?;
            }
            Err(TryLockError::Error(e)) => {
                return Err(e).with_context(|| format!("locking {}", path.display()));
            }
        }
    }
    if share == Share::Alone {
        // For those who only ask; nobody else marks it meanwhile.
        let _ = fcntl(&file, FcntlArg::F_OFD_SETLK(&mark(nix::libc::F_WRLCK)));
    }
    // For the message others print; not what makes the lock. So a full disk, which `destroy` has to be
    // able to free, must not end it here.
    let note = format!("{}\n{}\n", std::process::id(), command_line());
    let _ = file
        .set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(note.as_bytes()));
    Ok(file)
}

fn open(path: &Path) -> Result<File> {
    // Whatever was put there by hand: a pipe must not hang us, nor a link lead out of the pool.
    let open = || opener::file_or_new(path, OFlag::O_RDWR, Mode::from_bits_truncate(0o644));
    match open() {
        Ok(file) => Ok(file),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            // A pool made by hand or restored from a backup without its hidden directory.
            if let Some(dir) = path.parent() {
                atomic::directories(dir)?;
            }
            open().with_context(|| format!("opening {}", path.display()))
        }
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            let failure = Failure::failed(format!("opening the lock {}: {e}", path.display()));
            Err(match nix::unistd::geteuid().is_root() {
                true => failure.hint(format!(
                    "lsattr {0}; if it is immutable: chattr -i {0}",
                    path.display()
                )),
                false => failure.hint("changing a pool needs root: run it with sudo"),
            }
            .into())
        }
        Err(e) => Err(e).with_context(|| format!("opening {}", path.display())),
    }
}

fn held(file: &mut File, what: &str, wait: Duration) -> Failure {
    let mut note = String::new();
    // Best effort: without it the message just names nobody.
    let _ = file
        .rewind()
        .and_then(|()| file.take(4096).read_to_string(&mut note));
    let mut lines = note.lines();
    let who = match (lines.next(), lines.next()) {
        (Some(pid), Some(command)) => format!("pid {pid}, {command}"),
        _ => "another netbe".to_string(),
    };
    Failure::locked(format!(
        "{what} is being changed by another netbe ({who}); waited {} s",
        wait.as_secs()
    ))
    .hint("try again when it has ended, or wait longer with --wait SECONDS")
}

/// Returns this process' command line in one line of at most 200 characters, for people.
fn command_line() -> String {
    let mut words: Vec<String> = std::env::args_os()
        .map(|a| a.to_string_lossy().replace(|c: char| c.is_control(), " "))
        .collect();
    if let Some(first) = words.first_mut()
        && let Some((_, base)) = first.rsplit_once('/')
    {
        *first = base.to_string();
    }
    words.join(" ").chars().take(200).collect()
}
