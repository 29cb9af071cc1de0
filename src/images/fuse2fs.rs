//! Programs of e2fsprogs that read a filesystem which a machine wrote: in a sandbox, without capabilities, network or any
//! file of this server but the programs in /usr.
//!
//! netbe stands in for the program that would mount it ([`super::fuse`]). Not for what is done with the files.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Result;
use nix::errno::Errno;
use nix::sys::resource::{Resource, rlim_t, setrlimit};

use super::ends_with_us;
use super::fuse::{DEVICE, MOUNTERS};
use crate::fs::own_program::own_program;

/// The programs that have to be installed.
pub(super) const PROGRAMS: [&str; 3] = ["bwrap", "fuse2fs", "e2fsck"];
/// The directories of programs and libraries, which are links into /usr on most systems.
const PLACES: [&str; 5] = ["bin", "sbin", "lib", "lib64", "usr"];
/// Where libfuse looks for fusermount.
const BIN: &str = "/usr/bin";

/// Plays the journal back of one that a machine was writing, by e2fsck(8): fuse2fs 1.47.0 does that, too, and ends by SIGSEGV
/// at the first request after it.
///
/// A journal is played back within seconds: what takes ten minutes of the processor has no end.
const REPLAY: &str =
    "(ulimit -t 600; exec e2fsck -y -E journal_only \"$1\") >&2; [ $? -lt 4 ] || exit 1";
const SHOW: &str = "exec fuse2fs \"$1\" /files -f -o rw,fakeroot";

/// What each of the programs can have at most: a machine can write a filesystem that has them ask for more and more.
const LIMITS: [(Resource, rlim_t); 2] = [
    // In bytes; of a root of some gigabytes they use a hundredth.
    (Resource::RLIMIT_AS, 2 << 30),
    // Where one crashes, no program of this server reads what it held; with 0 it would be started: core(5).
    (Resource::RLIMIT_CORE, 1),
];

/// Starts fuse2fs(1) on an image, for an open FUSE device; `said` gets its messages.
pub(super) fn start(image: &File, device: &File, said: &File) -> Result<Child> {
    in_sandbox(&format!("{REPLAY}; {SHOW}"), image, Some(device), said)
}

/// Starts e2fsck(8) on an image, for its journal alone.
pub(super) fn replay(image: &File, said: &File) -> Result<Child> {
    in_sandbox(REPLAY, image, None, said)
}

#[allow(unsafe_code)]
fn in_sandbox(script: &str, image: &File, device: Option<&File>, said: &File) -> Result<Child> {
    let mut command = Command::new("bwrap");
    command.args(["--die-with-parent", "--new-session", "--cap-drop", "ALL"]);
    command.args(["--unshare-ipc", "--unshare-pid", "--unshare-net"]);
    command.args(["--unshare-uts", "--unshare-cgroup-try"]);
    for directory in PLACES {
        let path = Path::new("/").join(directory);
        match std::fs::read_link(&path) {
            Ok(target) => command.arg("--symlink").arg(target).arg(&path),
            Err(_) if path.is_dir() => command.arg("--ro-bind").args([&path, &path]),
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
        .stdout(said.try_clone()?)
        .stderr(said.try_clone()?);
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
