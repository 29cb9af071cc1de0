//! Opens requested files: regular files below a node's boot half, with the rights of an unprivileged user.
//!
//! A node may write anything into its boot half: links, pipes, devices, huge files. Nothing outside is opened, and
//! nothing blocks or has side effects; the environment of the file is returned.

use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

use anyhow::Result;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::unistd::{Gid, Uid, setfsgid, setfsuid};

use super::confinement;
use super::packet::Code;
use crate::boot;
use crate::fs::opener;
use crate::fs::rooted::Tree;
use crate::pool::{EnvName, Environment, Node, layout};
use crate::publish::tftp;

/// The largest file served, in bytes: larger than any boot file; a sparse one costs its node nothing.
const SIZE_MAX: u64 = 4 << 30;
/// How many times a path is resolved again after a concurrent rename: openat2(2), `EAGAIN`. A node may rename for
/// ever.
const ATTEMPTS: u32 = 32;
/// How many times an environment is looked up again after a concurrent rename.
const MAX_READS: u32 = 4;

/// An opened file and its environment.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) env: EnvName,
    pub(super) uuid: Option<String>,
    /// Whether machines keep their changes in memory, so that any number of them may boot it.
    pub(super) read_only: bool,
    pub(super) size: u64,
    pub(super) file: OwnedFd,
}

/// Why a file is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    /// The error for the client; `None` to let it repeat the request: an NFS client's lease on the file is being
    /// recalled, or the path was renamed too often.
    pub(super) code: Option<Code>,
    pub(super) why: String,
}

fn refused(code: impl Into<Option<Code>>, why: impl Into<String>) -> Refused {
    Refused {
        code: code.into(),
        why: why.into(),
    }
}

/// Opens a file of the environment that a node boots now.
pub(super) fn open(node: &Node, file: &str) -> Result<Found, Refused> {
    for _ in 0..MAX_READS {
        let Some(name) = tftp::boots(node) else {
            return Err(refused(
                Code::NotFound,
                format!("{} boots nothing", node.name),
            ));
        };
        let half = match boot_half(node, &name) {
            Ok(half) => half,
            // Renamed since its name was read: the current environment has another name.
            Err(Errno::ENOENT) => continue,
            Err(e) => {
                return Err(refused(
                    Code::Undefined,
                    format!("{}/{name}: {e}", node.name),
                ));
            }
        };
        let env = match Environment::observe(node, &name) {
            Ok(Some(env)) => env,
            Ok(None) => continue,
            Err(e) => return Err(refused(Code::Undefined, format!("{e:#}"))),
        };
        if !is_at(&half, &env) {
            continue;
        }
        let (file, size) = open_answer(&half, file)?;
        return Ok(Found {
            uuid: env.uuid().map(str::to_string),
            read_only: env.record.as_ref().is_some_and(|record| record.read_only),
            env: name,
            size,
            file,
        });
    }
    Err(refused(
        Code::NotFound,
        format!("{} has no environment to boot", node.name),
    ))
}

/// Opens the boot half of an environment, without following links below the node.
fn boot_half(node: &Node, env: &EnvName) -> nix::Result<OwnedFd> {
    let path = node.dir.join(layout::active_target(env)).join(layout::BOOT);
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_MAGICLINKS | ResolveFlag::RESOLVE_NO_SYMLINKS);
    openat2(nix::fcntl::AT_FDCWD, &path, how)
}

/// Returns whether an open boot half is still that of the environment's name.
fn is_at(half: &OwnedFd, env: &Environment) -> bool {
    let open = nix::sys::stat::fstat(half);
    let current = env.boot().symlink_metadata();
    matches!((open, current), (Ok(open), Ok(current)) if (open.st_dev, open.st_ino) == (current.dev(), current.ino()))
}

/// Opens the file that answers a request: for some names, netbe's own file, or a substitute for a missing one.
fn open_answer(half: &OwnedFd, path: &str) -> Result<(OwnedFd, u64), Refused> {
    if let Some(own) = boot::served_as(path)
        && let Ok(found) = open_regular(half, own)
    {
        return Ok(found);
    }
    let asked = open_regular(half, path);
    match (&asked, boot::served_instead(path)) {
        (Err(refused), Some(other)) if refused.code == Some(Code::NotFound) => {
            open_regular(half, other).or(asked)
        }
        _ => asked,
    }
}

/// Opens a regular file below a directory, if others may read it.
///
/// Kernel and initramfs named by the boot files are served whatever their mode: netbe makes them readable, but a node
/// that upgrades its own kernel does not (Ubuntu's kernels, and initramfs with secrets).
fn open_regular(half: &OwnedFd, path: &str) -> Result<(OwnedFd, u64), Refused> {
    let opened = match with_user_rights(|| open_beneath(half, path)).and_then(|opened| opened) {
        Err(Errno::EACCES) if is_booted(half, path) => open_beneath(half, path),
        opened => opened,
    };
    match opened {
        Ok((_, size)) if size > SIZE_MAX => Err(refused(Code::Denied, "larger than 4 GiB")),
        Ok(found) => Ok(found),
        Err(Errno::ENOENT | Errno::ENOTDIR) => Err(refused(Code::NotFound, "not there")),
        Err(Errno::ENXIO | Errno::EISDIR) => Err(refused(Code::Denied, "not a regular file")),
        Err(Errno::EXDEV | Errno::ELOOP) => Err(refused(
            Code::Denied,
            "a link that leads out of the boot folder",
        )),
        Err(e @ Errno::EAGAIN) => Err(refused(None, e.to_string())),
        Err(Errno::ENAMETOOLONG) => Err(refused(Code::NotFound, "the name is too long")),
        Err(Errno::EACCES) => Err(refused(Code::Denied, "not readable by others")),
        Err(e) => Err(refused(Code::Undefined, e.to_string())),
    }
}

fn is_booted(half: &OwnedFd, path: &str) -> bool {
    let tree = Tree::open_descriptor(half);
    let ways = tree.map_or_else(|_| Vec::new(), |tree| boot::fetched(&tree));
    let named = |way: &boot::Fetched| way.kernel == path || way.initramfs.iter().any(|f| f == path);
    ways.iter().any(named)
}

/// Opens a regular file below a directory, without waiting.
fn open_beneath(half: &OwnedFd, path: &str) -> nix::Result<(OwnedFd, u64)> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(
            ResolveFlag::RESOLVE_BENEATH
                | ResolveFlag::RESOLVE_NO_MAGICLINKS
                | ResolveFlag::RESOLVE_NO_XDEV,
        );
    let mut place = openat2(half, path, how);
    for _ in 0..ATTEMPTS {
        if !matches!(place, Err(Errno::EAGAIN | Errno::EINTR)) {
            break;
        }
        place = openat2(half, path, how);
    }
    let file = opener::reopen_without_wait(&place?)?;
    let size = nix::sys::stat::fstat(&file)?.st_size;
    Ok((file, u64::try_from(size).unwrap_or(0)))
}

/// Runs `work` with the file access rights of a user that owns nothing, and without groups.
fn with_user_rights<T>(work: impl FnOnce() -> T) -> nix::Result<T> {
    let (user, group) = (
        Uid::from_raw(confinement::user()),
        Gid::from_raw(confinement::user()),
    );
    let (uid, gid) = (setfsuid(user), setfsgid(group));
    // These calls do not report failure; a second call returns the current value.
    let done = match (setfsuid(user), setfsgid(group)) {
        now if now == (user, group) => Ok(work()),
        _ => Err(Errno::EPERM),
    };
    setfsgid(gid);
    setfsuid(uid);
    done
}
