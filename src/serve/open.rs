//! Opening a file that a request names: beneath a node's boot half, a regular file, by somebody who is nobody.
//!
//! A node writes its boot half as it likes: links, pipes, devices, files of any size. Promises that nothing
//! outside is reached, that nothing is waited for or woken, and which environment it was. Not for who asks.

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

/// The largest file that is handed out, in bytes: no machine boots by a larger one, and a sparse one costs its
/// node nothing.
const LARGEST: u64 = 4 << 30;
/// How often a path is resolved again that met a rename: openat2(2), `EAGAIN`. A node may rename for ever.
const ATTEMPTS: u32 = 32;
/// How often an environment is looked for again that was renamed meanwhile.
const MAX_READS: u32 = 4;

/// A file, and whose it is.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) env: EnvName,
    pub(super) uuid: Option<String>,
    pub(super) size: u64,
    pub(super) file: OwnedFd,
}

/// Why a file is not handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    /// What the client is told; nothing where it is to ask again: an NFS client has the file for itself, and has
    /// just been asked for it, or the path met too many renames.
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
            // Between the look at the link and this it was renamed: what boots now has another name.
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
        let (file, size) = regular(&half, file)?;
        return Ok(Found {
            uuid: env.uuid().map(str::to_string),
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

/// Opens the boot half of an environment: no part of the way below the node is a link.
fn boot_half(node: &Node, env: &EnvName) -> nix::Result<OwnedFd> {
    let path = node.dir.join(layout::active_target(env)).join(layout::BOOT);
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_MAGICLINKS | ResolveFlag::RESOLVE_NO_SYMLINKS);
    openat2(nix::fcntl::AT_FDCWD, &path, how)
}

/// Returns whether an open boot half is the one that stands under the environment's name.
fn is_at(half: &OwnedFd, env: &Environment) -> bool {
    let open = nix::sys::stat::fstat(half);
    let there = env.boot().symlink_metadata();
    matches!((open, there), (Ok(open), Ok(there)) if (open.st_dev, open.st_ino) == (there.dev(), there.ino()))
}

/// Opens a regular file beneath a directory, if others may read it.
///
/// A kernel or initramfs that the boot files name is handed out whatever its mode is: netbe itself makes these
/// readable, and a node that upgrades its own kernel does not (Ubuntu's kernels, and initramfs with secrets).
fn regular(half: &OwnedFd, path: &str) -> Result<(OwnedFd, u64), Refused> {
    let opened = match as_nobody(|| look_and_open(half, path)).and_then(|opened| opened) {
        Err(Errno::EACCES) if is_booted(half, path) => look_and_open(half, path),
        opened => opened,
    };
    match opened {
        Ok((_, size)) if size > LARGEST => Err(refused(Code::Denied, "larger than 4 GiB")),
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

/// Opens what stands at a path beneath a directory if it is a regular file; nothing is waited for.
fn look_and_open(half: &OwnedFd, path: &str) -> nix::Result<(OwnedFd, u64)> {
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

/// Does something with the rights to files of somebody who owns nothing, and is in no group.
fn as_nobody<T>(work: impl FnOnce() -> T) -> nix::Result<T> {
    let (user, group) = (
        Uid::from_raw(confinement::user()),
        Gid::from_raw(confinement::user()),
    );
    let (uid, gid) = (setfsuid(user), setfsgid(group));
    // These calls tell of no failure; the same again returns what holds.
    let done = match (setfsuid(user), setfsgid(group)) {
        now if now == (user, group) => Ok(work()),
        _ => Err(Errno::EPERM),
    };
    setfsgid(gid);
    setfsuid(uid);
    done
}
