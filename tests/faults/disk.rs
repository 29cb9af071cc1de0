//! The files behind a pool's filesystem and that of its state directory, as a power cut would leave them.
//!
//! The loop device writes into the file what btrfs has written out, in its order, and nothing else: what btrfs
//! still holds in memory is missing from a copy, which is what makes it one of a power cut. Not for filesystems of
//! several devices.

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::mount::{MntFlags, umount2};

use crate::support::run;

/// Where the superblock is, and how long it is, in bytes (btrfs_tree.h; so are the fields below).
const SUPERBLOCK: u64 = 64 << 10;
const LENGTH: usize = 4096;
/// Where its second copy is, which only recovery reads.
const MIRROR: u64 = 64 << 20;
const IDENTITY: std::ops::Range<usize> = 0x20..0x30;
const FEATURES: usize = 0xbc;
const METADATA_IDENTITY: std::ops::Range<usize> = 0x23b..0x24b;
/// The feature that lets trees carry another UUID than the superblock.
const HAS_METADATA_IDENTITY: u64 = 1 << 10;

/// Where state directories stand.
pub(crate) const STATES: &str = netbe::pool::state::DEFAULT;

/// A btrfs filesystem in a file.
#[derive(Debug, Clone)]
pub(crate) struct Disk {
    image: PathBuf,
}

impl Disk {
    /// Returns the filesystem in this file.
    pub(crate) fn new(image: PathBuf) -> Self {
        Self { image }
    }

    /// Returns the superblock: as long as it is the same, so is everything a mount after a power cut would show.
    pub(crate) fn superblock(&self) -> Vec<u8> {
        let mut block = vec![0; LENGTH];
        File::open(&self.image)
            .and_then(|file| file.read_exact_at(&mut block, SUPERBLOCK))
            .unwrap();
        block
    }

    /// Copies it to a file; the copy may be of two moments.
    fn copy_now(&self, to: &Path) -> Self {
        let _ = fs::remove_file(to);
        run(Command::new("cp")
            .arg("--sparse=always")
            .args([&self.image, to]));
        Self::new(to.to_path_buf())
    }

    /// Gives it a UUID that no mounted filesystem has, as `btrfstune -m` does, but also where a log waits for replay.
    fn renew(&self) {
        let mut block = self.superblock();
        let mut features = u64::from_le_bytes(block[FEATURES..FEATURES + 8].try_into().unwrap());
        if features & HAS_METADATA_IDENTITY == 0 {
            features |= HAS_METADATA_IDENTITY;
            block[FEATURES..FEATURES + 8].copy_from_slice(&features.to_le_bytes());
            block.copy_within(IDENTITY, METADATA_IDENTITY.start);
        }
        let random = fs::read("/proc/sys/kernel/random/uuid").unwrap();
        // Hex digits, not bytes: they are as unique.
        block[IDENTITY].copy_from_slice(&random[20..36]);
        let checksum = crc32c(&block[0x20..]);
        block[..4].copy_from_slice(&checksum.to_le_bytes());
        let file = OpenOptions::new().write(true).open(&self.image).unwrap();
        file.write_all_at(&block, SUPERBLOCK).unwrap();
        file.write_all_at(&[0; LENGTH], MIRROR).unwrap();
    }

    /// Mounts it; the mount ends with [`unmount`].
    ///
    /// # Errors
    /// What mount(8) said.
    pub(crate) fn mount(&self, at: &Path) -> Result<(), String> {
        let output = Command::new("mount")
            .args(["-o", "loop,nosuid,nodev"])
            .args([&self.image, at])
            .output()
            .unwrap();
        match output.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }
}

/// The disks that a pool is on: its own, and that of the server, with the state directory.
#[derive(Debug, Clone)]
pub(crate) struct Disks {
    pub(crate) pool: Disk,
    pub(crate) server: Disk,
}

impl Disks {
    /// Returns the superblocks: as long as they are the same, so is everything a mount after a power cut would show.
    pub(crate) fn superblocks(&self) -> [Vec<u8>; 2] {
        [self.pool.superblock(), self.server.superblock()]
    }

    /// Copies them as they are at one moment, mounted or not; the copies are filesystems of their own.
    pub(crate) fn copy(&self, to: &Path) -> Self {
        loop {
            let before = self.superblocks();
            let copy = Self {
                pool: self.pool.copy_now(to),
                server: self.server.copy_now(&to.with_extension("server")),
            };
            // Otherwise the kernel committed meanwhile, and the copy is of two moments.
            if before == self.superblocks() && before == copy.superblocks() {
                copy.pool.renew();
                copy.server.renew();
                return copy;
            }
        }
    }

    /// Mounts them, the pool's at `at`; the mounts end with [`Disks::unmount`].
    ///
    /// # Errors
    /// What mount(8) said.
    pub(crate) fn mount(&self, at: &Path) -> Result<(), String> {
        self.server.mount(Path::new(STATES))?;
        self.pool.mount(at)
    }

    /// Takes their mounts away.
    pub(crate) fn unmount(at: &Path) {
        unmount(at);
        unmount(Path::new(STATES));
    }
}

/// Takes the uppermost mount away from a directory.
pub(crate) fn unmount(at: &Path) {
    // Not at once where another thread is just starting a program: until that runs, it has all of our files open.
    umount2(at, MntFlags::MNT_DETACH).unwrap_or_else(|error| panic!("{}: {error}", at.display()));
}

/// Makes the filesystem commit now, as it does by itself at any moment; file data that waits in memory goes on waiting.
#[allow(unsafe_code)]
pub(crate) fn commit(filesystem: &Path) {
    let directory = File::open(filesystem).unwrap();
    let mut transaction = 0_u64;
    // SAFETY: both take a pointer to one number, and the directory is open meanwhile (btrfs_ioctl of linux/btrfs.h).
    unsafe {
        start_sync(directory.as_raw_fd(), &raw mut transaction).unwrap();
        wait_sync(directory.as_raw_fd(), &raw const transaction).unwrap();
    }
}

nix::ioctl_read!(start_sync, 0x94, 24, u64);
nix::ioctl_write_ptr!(wait_sync, 0x94, 22, u64);

/// Returns the checksum that btrfs has in its superblock.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut sum = !0_u32;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ (0x82f6_3b78 & (sum & 1).wrapping_neg());
        }
    }
    !sum
}

#[test]
fn the_checksum_is_that_of_rfc_3720() {
    assert_eq!(crc32c(b"123456789"), 0xe306_9283);
}
