//! Runs programs of e2fsprogs on a filesystem that a machine wrote: in a sandbox, without capabilities, network or any
//! file of this server except the programs in /usr.
//!
//! netbe acts as the program that would mount it ([`super::fuse`]). Not for the use of the files.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::resource::{Resource, rlim_t, setrlimit};

use super::ends_with_us;
use super::fuse::{DEVICE, MOUNTERS};
use crate::fs::own_program::own_program;
use crate::fs::path_error::if_exists;

/// The programs that have to be installed.
pub(super) const PROGRAMS: [&str; 3] = ["bwrap", "fuse2fs", "e2fsck"];
/// The directories of programs and libraries, on most systems links into /usr.
const PLACES: [&str; 5] = ["bin", "sbin", "lib", "lib64", "usr"];
/// The directory where libfuse looks for fusermount.
const BIN: &str = "/usr/bin";

/// Replays the journal of a filesystem that a machine was writing, by e2fsck(8): fuse2fs 1.47.0 also replays it, but then ends
/// by SIGSEGV at the first request.
///
/// A replay takes seconds: one that uses ten minutes of processor time is taken to be endless.
const REPLAY: &str =
    "(ulimit -t 600; exec e2fsck -y -E journal_only \"$1\") >&2; [ $? -lt 4 ] || exit 1";
const SHOW: &str = "exec fuse2fs \"$1\" /files -f -o rw,fakeroot";

/// Resource limits of each program: a machine can write a filesystem that makes them allocate without end.
const LIMITS: [(Resource, rlim_t); 2] = [
    // In bytes; for a root of some gigabytes they use a hundredth.
    (Resource::RLIMIT_AS, 2 << 30),
    // So no program of this server processes the core of a crashed one; with 0 it would be started: core(5).
    (Resource::RLIMIT_CORE, 1),
];

/// Starts fuse2fs(1) on an image, for an open FUSE device; its messages go to `messages`.
pub(super) fn start(image: &File, device: &File, messages: &File) -> Result<Child> {
    in_sandbox(&format!("{REPLAY}; {SHOW}"), image, Some(device), messages)
}

/// Starts e2fsck(8) on an image, only to replay its journal.
pub(super) fn replay(image: &File, messages: &File) -> Result<Child> {
    in_sandbox(REPLAY, image, None, messages)
}

fn is_there(path: &Path) -> Result<bool> {
    let found = if_exists(path.metadata()).with_context(|| path.display().to_string())?;
    Ok(found.is_some())
}

#[allow(unsafe_code)]
fn in_sandbox(script: &str, image: &File, device: Option<&File>, messages: &File) -> Result<Child> {
    let mut command = Command::new("bwrap");
    command.args(["--die-with-parent", "--new-session", "--cap-drop", "ALL"]);
    command.args(["--unshare-ipc", "--unshare-pid", "--unshare-net"]);
    command.args(["--unshare-uts", "--unshare-cgroup-try"]);
    for directory in PLACES {
        let path = Path::new("/").join(directory);
        match std::fs::read_link(&path) {
            Ok(target) => command.arg("--symlink").arg(target).arg(&path),
            Err(_) if is_there(&path)? => command.arg("--ro-bind").args([&path, &path]),
            Err(_) => continue,
        };
    }
    let program = own_program()?;
    for mounter in MOUNTERS {
        let usual = Path::new(BIN).join(mounter);
        let place = Path::new("/netbe").join(mounter);
        command.arg("--ro-bind").arg(&program).arg(place);
        if usual.exists() {
            command.arg("--ro-bind").arg(&program).arg(usual);
        }
    }
    command.args(["--proc", "/proc", "--dev", "/dev"]);
    if device.is_some() {
        command.args(["--dev-bind", "/dev/fuse", "/dev/fuse"]);
    }
    command.args(["--dir", "/files", "--chdir", "/", "--clearenv"]);
    let image = image.as_raw_fd();
    let device = device.map(AsRawFd::as_raw_fd);
    command.args(["--setenv", "PATH", "/netbe:/usr/sbin:/usr/bin:/sbin:/bin"]);
    if let Some(device) = device {
        command.args(["--setenv", DEVICE, &device.to_string()]);
    }
    command.args(["sh", "-c", script, "sh"]);
    command.arg(format!("/proc/self/fd/{image}"));
    command
        .stdin(Stdio::null())
        .stdout(messages.try_clone()?)
        .stderr(messages.try_clone()?);
    // SAFETY: between fork and exec only fcntl(2) and setrlimit(2) are called, which need no lock and no memory.
    unsafe {
        command.pre_exec(move || {
            for descriptor in [Some(image), device].into_iter().flatten() {
                let result = nix::libc::fcntl(descriptor, nix::libc::F_SETFD, 0);
                Errno::result(result)?;
            }
            for (resource, most) in LIMITS {
                setrlimit(resource, most, most)?;
            }
            Ok(())
        });
    }
    Ok(ends_with_us::spawn(command)?)
}
