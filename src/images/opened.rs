//! Mounts the filesystem of a root half that is an image, over the half.
//!
//! A machine wrote the filesystem, so a program without privileges reads it ([`super::fuse2fs`]), or the kernel if the
//! administrator has enabled that. Only the calling thread and the processes that it starts afterwards see the mount, so
//! nothing of it is left after netbe is killed. Not for halves of files.

use std::cell::Cell;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, renameat};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};

use super::{DISK, fuse2fs};
use crate::fs::copy::Contents;
use crate::fs::rooted::Tree;
use crate::fs::{opener, server_packages};

/// The name of a new image before it replaces the old one.
const NEW: &str = "disk.img.new";

/// The use of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The files are read, in the state of that moment: a machine may continue to write the image.
    Read,
    /// The files are changed, in a copy of the image that replaces it when it is closed; no machine uses the image.
    Change,
}

/// The program that reads and writes the filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// fuse2fs(1), in a sandbox.
    Fuse2fs,
    /// This server's kernel: some twelve times as fast for small files, but it trusts a filesystem that a machine has written.
    Kernel,
}

impl Driver {
    /// Returns the driver that a property's value names.
    pub fn named(value: Option<&str>) -> Self {
        match value {
            Some("kernel") => Self::Kernel,
            _ => Self::Fuse2fs,
        }
    }
}

/// A half with its filesystem mounted. [`Opened::close`] unmounts it; if it is dropped instead, changes are lost.
#[derive(Debug)]
pub struct Opened {
    place: PathBuf,
    /// The half itself, and the image that will replace its image.
    half: File,
    image: Option<File>,
    /// Whether the filesystem is mounted, and the program that serves it unless the kernel does.
    is_shown: bool,
    program: Option<Child>,
    messages: File,
}

thread_local! {
    /// Whether this thread has a mount namespace of its own.
    static IS_ALONE: Cell<bool> = const { Cell::new(false) };
}

impl Opened {
    /// Mounts the image in a root half over the half.
    ///
    /// # Errors
    /// If the filesystem is damaged, or a program that reads it is missing.
    pub fn over(half: &Path, access: Access) -> Result<Self> {
        Self::by(Driver::Fuse2fs, half, access)
    }

    /// As [`Self::over`], by this driver.
    pub fn by(driver: Driver, half: &Path, access: Access) -> Result<Self> {
        let shown = || format!("opening the disk image in {}", half.display());
        for program in fuse2fs::PROGRAMS {
            server_packages::require(program)?;
        }
        Self::show(driver, half, access).with_context(shown)
    }

    fn show(driver: Driver, half: &Path, access: Access) -> Result<Self> {
        let image = copy_of_image(half, access)?;
        let below = opener::directory(half)?;
        alone()?;
        let mut opened = Self {
            place: half.to_path_buf(),
            half: below,
            image: None,
            is_shown: false,
            program: None,
            messages: tempfile::tempfile().context("making a file for messages")?,
        };
        match driver {
            Driver::Fuse2fs => opened.show_by_fuse2fs(&image)?,
            Driver::Kernel => opened.show_by_kernel(&image)?,
        }
        opened.image = (access == Access::Change).then_some(image);
        Ok(opened)
    }

    fn show_by_kernel(&mut self, image: &File) -> Result<()> {
        let mut check = fuse2fs::replay(image, &self.messages).context("starting e2fsck")?;
        if !check.wait().context("waiting for e2fsck")?.success() {
            bail!("e2fsck: {}", self.message());
        }
        // mount(8) creates a loop device that is removed with the mount.
        let mounted = Command::new("mount")
            .args(["-t", "ext4", "-o", "loop,nosuid,nodev"])
            .arg(format!(
                "/proc/{}/fd/{}",
                std::process::id(),
                image.as_raw_fd()
            ))
            .arg(&self.place)
            .stderr(self.messages.try_clone()?)
            .status()
            .context("running mount")?;
        if !mounted.success() {
            bail!("mount: {}", self.message());
        }
        self.is_shown = true;
        Ok(())
    }

    fn show_by_fuse2fs(&mut self, image: &File) -> Result<()> {
        let device = File::options()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .context("opening /dev/fuse")?;
        let options = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions",
            device.as_raw_fd()
        );
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        let (from, kind) = (Some("netbe"), Some("fuse.ext4"));
        mount(from, &self.place, kind, flags, Some(options.as_str()))?;
        self.is_shown = true;
        let program = fuse2fs::start(image, &device, &self.messages).context("starting fuse2fs")?;
        self.program = Some(program);
        // So fuse2fs has the last descriptor of the device, whose close ends the mount.
        drop(device);
        match self.place.join(".").symlink_metadata() {
            Ok(_) => Ok(()),
            Err(e) => Err(self.end().err().unwrap_or_else(|| e.into())),
        }
    }

    /// Unmounts the filesystem; all changes are then durable in the image.
    ///
    /// # Errors
    /// If some changes may not be durable.
    pub fn close(mut self) -> Result<()> {
        let closing = || format!("closing the disk image in {}", self.place.display());
        let closing = closing();
        self.end()
            .and_then(|()| self.put_in_place())
            .context(closing)
    }

    fn put_in_place(&mut self) -> Result<()> {
        let Some(image) = self.image.take() else {
            return Ok(());
        };
        image.sync_all()?;
        let flags = AtFlags::AT_SYMLINK_FOLLOW;
        if let Err(e) = unlinkat(&self.half, NEW, UnlinkatFlags::NoRemoveDir)
            && e != Errno::ENOENT
        {
            return Err(e.into());
        }
        linkat(
            AT_FDCWD,
            &opener::descriptor_path(&image),
            &self.half,
            NEW,
            flags,
        )?;
        Ok(renameat(&self.half, NEW, &self.half, DISK)?)
    }

    fn end(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.is_shown) {
            return Ok(());
        }
        let unmounted = umount2(&self.place, MntFlags::empty());
        if unmounted.is_err() {
            // A process has files of it open, and waiting for it might not end.
            let _ = umount2(&self.place, MntFlags::MNT_DETACH);
        }
        if let Some(mut program) = self.program.take() {
            if unmounted.is_err() {
                let _ = program.kill();
            }
            let status = program.wait().context("waiting for fuse2fs")?;
            // A program that was killed says nothing of the reason.
            if unmounted.is_ok() && !status.success() {
                return Err(anyhow!("fuse2fs: {}", self.message()));
            }
        }
        unmounted.context("unmounting it")
    }

    /// Returns the last line of the program's output.
    fn message(&mut self) -> String {
        let mut bytes = Vec::new();
        let read = self.messages.rewind().and_then(|()| {
            let mut messages = &self.messages;
            messages.by_ref().take(1 << 16).read_to_end(&mut bytes)
        });
        let text = String::from_utf8_lossy(&bytes);
        let last = text.lines().rfind(|line| !line.trim().is_empty());
        match (read, last) {
            (Ok(_), Some(line)) => line.trim().to_string(),
            _ => "it ended early, without a message".to_string(),
        }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // Changes that were not closed are deleted, with their stage.
        let _ = self.end();
    }
}

/// Returns a copy of the image that shares its blocks: an unnamed file that no other process can open.
fn copy_of_image(half: &Path, access: Access) -> Result<File> {
    let image =
        Tree::open(half)?.open_at(DISK, OFlag::O_RDONLY | OFlag::O_NOFOLLOW, Mode::empty())?;
    let image = File::from(image);
    let found = image.metadata()?;
    ensure!(found.is_file(), "{DISK} is no file");
    let copy = match (tempfile::tempfile_in(half), half.parent()) {
        // A half may be a read-only snapshot, and one that is sent must contain nothing else.
        (Err(_), Some(parent)) if access == Access::Read => tempfile::tempfile_in(parent),
        (copy, _) => copy,
    }
    .context("making a copy of the disk image")?;
    Contents::default().copy(&image, &copy, found.len(), &mut |_| {})?;
    copy.set_permissions(found.permissions())?;
    Ok(copy)
}

/// Gives this thread a mount namespace of its own.
fn alone() -> Result<()> {
    const NONE: Option<&str> = None;
    if IS_ALONE.get() {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWNS).context("making a mount namespace")?;
    // Later mounts and unmounts of this server still propagate into the namespace.
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_SLAVE, NONE)
        .context("making a mount namespace private")?;
    IS_ALONE.set(true);
    Ok(())
}
