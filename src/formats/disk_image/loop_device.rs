//! Loop devices: part of a file as a block device, while it is in use.
//!
//! With autoclear, so that a killed process leaves none attached.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

/// The major number of loop devices, and the minor number of their control device (linux/major.h).
const MAJOR: u64 = 7;
const CONTROL: (u64, u64) = (10, 237);
/// How many times another process may take the free device first.
const ATTEMPTS: usize = 64;

const READ_ONLY: u32 = 1;
const AUTOCLEAR: u32 = 4;

/// `struct loop_info64` of linux/loop.h.
#[repr(C)]
struct Info {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config` of linux/loop.h.
#[repr(C)]
struct Config {
    fd: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

const _: () = assert!(size_of::<Config>() == 304);

mod call {
    use super::Config;
    use nix::libc::c_ulong;

    // LOOP_CTL_GET_FREE and LOOP_CONFIGURE (Linux 5.8) of linux/loop.h; not in the usual ioctl numbering.
    nix::ioctl_none_bad!(get_free, 0x4c82 as c_ulong);
    nix::ioctl_write_ptr_bad!(configure, 0x4c0a as c_ulong, Config);
}

/// Whether a loop device is writable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Read-only.
    ReadOnly,
    /// Writable, as the recovery of a journal needs.
    ReadWrite,
}

/// A loop device.
#[derive(Debug)]
pub(super) struct LoopDevice {
    /// Path of its device node.
    pub(super) path: PathBuf,
    /// Keeps it attached until it is mounted.
    _open: File,
}

/// Attaches part of a file to a loop device; `nodes` is a directory for device nodes.
pub(super) fn attach(
    file: &File,
    start: u64,
    size: u64,
    mode: Access,
    nodes: &Path,
) -> Result<LoopDevice> {
    let control = open_node(
        Path::new("/dev/loop-control"),
        &nodes.join("loop-control"),
        SFlag::S_IFCHR,
        CONTROL,
        Access::ReadWrite,
    )
    .context("loop devices are not available")?;
    for _ in 0..ATTEMPTS {
        let number = free_number(&control).context("finding a free loop device")?;
        let name = format!("loop{number}");
        let node = nodes.join(&name);
        let device = open_node(
            &Path::new("/dev").join(&name),
            &node,
            SFlag::S_IFBLK,
            (MAJOR, number),
            mode,
        )
        .with_context(|| format!("opening {name}"))?;
        match configure(&device, file, start, size, mode) {
            Ok(()) => {
                let path = if node.exists() {
                    node
                } else {
                    Path::new("/dev").join(&name)
                };
                return Ok(LoopDevice {
                    path,
                    _open: device,
                });
            }
            Err(Errno::EBUSY) => {}
            Err(e) => return Err(e).with_context(|| format!("setting up {name}")),
        }
    }
    bail!("no loop device is free")
}

/// Opens a device by its node in `/dev`, or by a new node: containers have none.
fn open_node(
    usual: &Path,
    node: &Path,
    kind: SFlag,
    (major, minor): (u64, u64),
    mode: Access,
) -> Result<File> {
    let open = |path: &Path| {
        File::options()
            .read(true)
            .write(mode == Access::ReadWrite)
            .open(path)
    };
    if let Ok(file) = open(usual) {
        return Ok(file);
    }
    match mknod(
        node,
        kind,
        Mode::from_bits_truncate(0o600),
        makedev(major, minor),
    ) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(e) => return Err(e.into()),
    }
    Ok(open(node)?)
}

#[allow(unsafe_code)]
fn free_number(control: &File) -> nix::Result<u64> {
    // SAFETY: the descriptor is open for the whole call, and the request takes no argument.
    let number = unsafe { call::get_free(control.as_raw_fd()) }?;
    Ok(u64::try_from(number).unwrap_or_default())
}

#[allow(unsafe_code)]
fn configure(device: &File, file: &File, start: u64, size: u64, mode: Access) -> nix::Result<()> {
    let config = Config {
        fd: file.as_raw_fd().cast_unsigned(),
        block_size: 0,
        info: Info {
            device: 0,
            inode: 0,
            rdevice: 0,
            offset: start,
            size_limit: size,
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags: match mode {
                Access::ReadOnly => READ_ONLY | AUTOCLEAR,
                Access::ReadWrite => AUTOCLEAR,
            },
            file_name: [0; 64],
            crypt_name: [0; 64],
            encrypt_key: [0; 32],
            init: [0; 2],
        },
        reserved: [0; 8],
    };
    // SAFETY: the kernel reads exactly one `loop_config` from the pointer, whose layout and size (checked
    // above) are `Config`'s; it lives for the whole call, and both descriptors are open.
    unsafe { call::configure(device.as_raw_fd(), &raw const config) }?;
    Ok(())
}
