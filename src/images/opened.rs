//! Shows the files of a root half that is an image, in place of the half.
//!
//! A program without privileges reads the filesystem, which a machine wrote ([`super::fuse2fs`]); the kernel does where its
//! administrator has said so. The mount is seen by the thread that asked, and by what it starts afterwards: nothing is left
//! of it when netbe is killed. Not for halves of files.

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

/// The name of an image that takes the place of another.
const NEW: &str = "disk.img.new";

/// What is done with the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// They are read, as they were at that moment: a machine may go on writing the image.
    Read,
    /// They are changed, in a copy that takes the image's place when it is closed; no machine has the image.
    Change,
}

/// What reads and writes the filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// fuse2fs(1), in a sandbox.
    Fuse2fs,
    /// This server's kernel: some twelve times as fast for small files, and trusting what a machine has written.
    Kernel,
}

impl Driver {
    /// Returns the one that a property's value names.
    pub fn named(value: Option<&str>) -> Self {
        match value {
            Some("kernel") => Self::Kernel,
            _ => Self::Fuse2fs,
        }
    }
}

/// A half whose files are shown; [`Opened::close`] ends that, and being dropped does, with what it wrote half done.
#[derive(Debug)]
pub struct Opened {
    place: PathBuf,
    /// The half itself, and the image that takes its image's place.
    half: File,
    image: Option<File>,
    /// Whether it is mounted, and what reads it where the kernel does not.
    is_shown: bool,
    program: Option<Child>,
    said: File,
}

thread_local! {
    /// Whether this thread sees mounts that no other process does.
    static IS_ALONE: Cell<bool> = const { Cell::new(false) };
}

impl Opened {
    /// Shows the files of the image in a root half in place of it.
    ///
    /// # Errors
    /// Where the filesystem is damaged, or a program that reads it is missing.
    pub fn over(half: &Path, access: Access) -> Result<Self> {
        Self::by(Driver::Fuse2fs, half, access)
    }

    /// As [`Self::over`], by this driver.
    pub fn by(driver: Driver, half: &Path, access: Access) -> Result<Self> {
        let shown = || format!("opening the disk image in {}", half.display());
        for program in fuse2fs::PROGRAMS {
            server_packages::require(program)?;
        }
        let image = copy_of_image(half).with_context(shown)?;
        let below = opener::directory(half)?;
        alone()?;
        let mut opened = Self {
            place: half.to_path_buf(),
            half: below,
            image: None,
            is_shown: false,
            program: None,
            said: tempfile::tempfile().context("making a file for messages")?,
        };
        match driver {
            Driver::Fuse2fs => opened.show_by_fuse2fs(&image),
            Driver::Kernel => opened.show_by_kernel(&image),
        }
        .with_context(shown)?;
        opened.image = (access == Access::Change).then_some(image);
        Ok(opened)
    }

    fn show_by_kernel(&mut self, image: &File) -> Result<()> {
        let mut check = fuse2fs::replay(image, &self.said).context("starting e2fsck")?;
        if !check.wait().context("waiting for e2fsck")?.success() {
            bail!("e2fsck: {}", self.message());
        }
        // mount(8) makes a loop device that is gone with the mount.
        let mounted = Command::new("mount")
            .args(["-t", "ext4", "-o", "loop,nosuid,nodev"])
            .arg(format!(
                "/proc/{}/fd/{}",
                std::process::id(),
                image.as_raw_fd()
            ))
            .arg(&self.place)
            .stderr(self.said.try_clone()?)
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
        let program = fuse2fs::start(image, &device, &self.said).context("starting fuse2fs")?;
        self.program = Some(program);
        // With the last descriptor of the device ends the mount: that of fuse2fs.
        drop(device);
        match self.place.join(".").symlink_metadata() {
            Ok(_) => Ok(()),
            Err(e) => Err(self.end().err().unwrap_or_else(|| e.into())),
        }
    }

    /// Shows the half itself again; what was written is in the image, durably.
    ///
    /// # Errors
    /// Where not all of it is.
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
            // Something has files of it open, and it would be waited for without end.
            let _ = umount2(&self.place, MntFlags::MNT_DETACH);
        }
        if let Some(mut program) = self.program.take() {
            if unmounted.is_err() {
                let _ = program.kill();
            }
            let status = program.wait().context("waiting for fuse2fs")?;
            if !status.success() {
                return Err(anyhow!("fuse2fs: {}", self.message()));
            }
        }
        unmounted.context("unmounting it")
    }

    /// Returns the last line that a program said.
    fn message(&mut self) -> String {
        let mut said = Vec::new();
        let read = self.said.rewind().and_then(|()| {
            let mut said_file = &self.said;
            said_file.by_ref().take(1 << 16).read_to_end(&mut said)
        });
        let text = String::from_utf8_lossy(&said);
        let last = text.lines().rfind(|line| !line.trim().is_empty());
        match (read, last) {
            (Ok(_), Some(line)) => line.trim().to_string(),
            _ => "it ended early, and said nothing".to_string(),
        }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // What was not closed is thrown away, with its stage.
        let _ = self.end();
    }
}

/// Returns a copy of the image that shares its blocks, which nobody else writes and nobody sees.
fn copy_of_image(half: &Path) -> Result<File> {
    let image =
        Tree::open(half)?.open_at(DISK, OFlag::O_RDONLY | OFlag::O_NOFOLLOW, Mode::empty())?;
    let image = File::from(image);
    let found = image.metadata()?;
    ensure!(found.is_file(), "{DISK} is no file");
    // A half may be a read-only snapshot; and one that is sent is to have nothing else.
    let copy = tempfile::tempfile_in(half)
        .or_else(|_| tempfile::tempfile_in(half.parent().unwrap_or(half)))
        .context("making a copy of the disk image")?;
    Contents::default().copy(&image, &copy, found.len(), &mut |_| {})?;
    copy.set_permissions(found.permissions())?;
    Ok(copy)
}

/// Has this thread see mounts that no other process does.
fn alone() -> Result<()> {
    const NONE: Option<&str> = None;
    if IS_ALONE.get() {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWNS).context("making a mount namespace")?;
    // What is mounted and unmounted on this server goes on being seen.
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_SLAVE, NONE)
        .context("making a mount namespace private")?;
    IS_ALONE.set(true);
    Ok(())
}
