//! The mounting side of fuse2fs(1): netbe acts as fusermount, and passes the mount that it made before.
//!
//! fuse2fs has no privilege to mount, so libfuse starts the program fusermount, which sends the open /dev/fuse over a socket:
//! lib/mount.c and util/fusermount.c of libfuse. Not for starting fuse2fs.

use std::io::IoSlice;
use std::os::fd::RawFd;
use std::path::Path;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

/// The names of the program in libfuse 2 and 3.
pub(super) const MOUNTERS: [&str; 2] = ["fusermount", "fusermount3"];
/// The environment variable with the descriptor number of the open /dev/fuse.
pub(super) const DEVICE: &str = "NETBE_FUSE";
/// libfuse's environment variable with the descriptor number of its socket.
const SOCKET: &str = "_FUSE_COMMFD";

/// Answers libfuse and never returns, if this process was started as its fusermount.
///
/// `main` calls it first. It ignores a request to unmount, which netbe does itself.
pub fn become_mounter_if_asked() {
    let name = std::env::args_os().next().unwrap_or_default();
    let name = Path::new(&name).file_name().unwrap_or_default();
    let Some(device) = number(DEVICE) else {
        return;
    };
    if !MOUNTERS.iter().any(|mounter| name == *mounter) {
        return;
    }
    let sent = number(SOCKET).is_none_or(|socket| {
        let byte = [IoSlice::new(&[0])];
        let device = [device];
        let message = [ControlMessage::ScmRights(&device)];
        sendmsg::<()>(socket, &byte, &message, MsgFlags::empty(), None).is_ok()
    });
    std::process::exit(i32::from(!sent));
}

fn number(variable: &str) -> Option<RawFd> {
    std::env::var(variable).ok()?.parse().ok()
}
