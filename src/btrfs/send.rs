//! Sends a read-only subvolume, or the changes since another one, as a btrfs send stream.
//!
//! `BTRFS_IOC_SEND`, protocol 1, which every kernel and receiver supports; requires `CAP_SYS_ADMIN`. Nested
//! subvolumes are not sent: the caller makes sure that there are none.

use std::fs::File;
use std::io::{self, PipeReader};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::thread::JoinHandle;

use nix::fcntl::{FcntlArg, fcntl};

use super::subvolume;
use crate::fs::{opener, threads};

/// Size of the pipe from the kernel, in bytes: the default maximum for unprivileged users.
const PIPE: i32 = 1 << 20;

/// A send operation in progress.
#[derive(Debug)]
pub struct Sending {
    kernel: JoinHandle<io::Result<()>>,
}

impl Sending {
    /// Starts sending a subvolume, with `parent` only the changes since; both are read-only.
    ///
    /// Returns the stream, which ends early after an error: [`Self::finish`] tells.
    pub fn begin(subvolume: &Path, parent: Option<&Path>) -> io::Result<(Self, PipeReader)> {
        let top = opener::directory(subvolume)?;
        let parent = parent
            .map(|p| subvolume::info(p).map(|i| i.id))
            .transpose()?;
        let (reader, writer) = io::pipe()?;
        // If not allowed, the default size is enough.
        let _ = fcntl(&writer, FcntlArg::F_SETPIPE_SZ(PIPE));
        let shown = subvolume.display().to_string();
        let kernel = threads::start(move || {
            send(&top, parent, &OwnedFd::from(writer))
                .map_err(|e| io::Error::new(e.kind(), format!("reading {shown}: {e}")))
        })?;
        Ok((Self { kernel }, reader))
    }

    /// Waits for the kernel, after the stream was read to its end or dropped.
    ///
    /// # Errors
    /// If the stream is incomplete.
    pub fn finish(self) -> io::Result<()> {
        self.kernel
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// `struct btrfs_ioctl_send_args` of linux/btrfs.h.
#[repr(C)]
#[derive(Debug)]
struct Arguments {
    send_fd: i64,
    clone_sources_count: u64,
    clone_sources: *const u64,
    parent_root: u64,
    flags: u64,
    version: u32,
    reserved: [u8; 28],
}

/// Size with 64-bit addresses; it is part of the ioctl number.
const _: () = assert!(size_of::<Arguments>() == 64 + size_of::<*const u64>());

mod call {
    use super::Arguments;

    nix::ioctl_write_ptr!(send, 0x94, 38, Arguments);
}

#[allow(unsafe_code)]
fn send(top: &File, parent: Option<u64>, into: &OwnedFd) -> io::Result<()> {
    // With the parent as a clone source, data cloned from it is sent as a reference.
    let sources: Vec<u64> = parent.into_iter().collect();
    let arguments = Arguments {
        send_fd: into.as_fd().as_raw_fd().into(),
        clone_sources_count: sources.len() as u64,
        clone_sources: sources.as_ptr(),
        parent_root: parent.unwrap_or(0),
        flags: 0,
        version: 0,
        reserved: [0; 28],
    };
    // SAFETY: both descriptors are open during the call. Arguments has the layout and size (asserted above) of
    // the kernel's structure, and `sources` outlives the call with as many numbers as counted; the kernel only
    // reads both and keeps no pointer.
    unsafe { call::send(top.as_raw_fd(), &raw const arguments) }?;
    Ok(())
}
