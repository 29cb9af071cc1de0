//! What is in a read-only subvolume, or what changed in it since another one, as the kernel's send stream.
//!
//! `BTRFS_IOC_SEND`, protocol 1, which every kernel and every receiver knows; needs `CAP_SYS_ADMIN`. Subvolumes nested
//! in it are left out: it has to have none. Not for what is done with the stream.

use std::fs::File;
use std::io::{self, PipeReader};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::thread::JoinHandle;

use nix::fcntl::{FcntlArg, fcntl};

use super::subvolume;
use crate::fs::{opener, threads};

/// How much the pipe from the kernel holds, in bytes: the most an ordinary system lets anybody have.
const PIPE: i32 = 1 << 20;

/// A send stream that is being made.
#[derive(Debug)]
pub struct Sending {
    kernel: JoinHandle<io::Result<()>>,
}

impl Sending {
    /// Begins to send a subvolume, as what changed in it since `parent` where there is one; both are read-only.
    ///
    /// Gives the stream, too. It ends early when something fails: whether it is whole says [`Self::finish`].
    pub fn begin(subvolume: &Path, parent: Option<&Path>) -> io::Result<(Self, PipeReader)> {
        let top = opener::directory(subvolume)?;
        let parent = parent
            .map(|p| subvolume::info(p).map(|i| i.id))
            .transpose()?;
        let (reader, writer) = io::pipe()?;
        // Where more is not allowed, less will do.
        let _ = fcntl(&writer, FcntlArg::F_SETPIPE_SZ(PIPE));
        let shown = subvolume.display().to_string();
        let kernel = threads::start(move || {
            send(&top, parent, &OwnedFd::from(writer))
                .map_err(|e| io::Error::new(e.kind(), format!("reading {shown}: {e}")))
        })?;
        Ok((Self { kernel }, reader))
    }

    /// Waits for the kernel, once the stream was read to its end or dropped.
    ///
    /// # Errors
    /// When the stream is not whole.
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

/// How large the structure is where an address has 64 bits; the request's number has it in it.
const _: () = assert!(size_of::<Arguments>() == 64 + size_of::<*const u64>());

mod call {
    use super::Arguments;

    nix::ioctl_write_ptr!(send, 0x94, 38, Arguments);
}

#[allow(unsafe_code)]
fn send(top: &File, parent: Option<u64>, into: &OwnedFd) -> io::Result<()> {
    // With the parent among the sources, what was copied from it by sharing is told as that.
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
    // SAFETY: both descriptors are open for the call's time. Arguments has the layout and size (asserted above) of the
    // kernel's structure, and `sources` outlives the call with as many numbers as are counted; the kernel only reads
    // both, and keeps nothing.
    unsafe { call::send(top.as_raw_fd(), &raw const arguments) }?;
    Ok(())
}
