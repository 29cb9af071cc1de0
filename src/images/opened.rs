//! Shows the files of a root half that is an image, in place of the half.
//!
//! fuse2fs(1) reads the filesystem, without capabilities, network or any file of this server but the programs in /usr: a
//! machine wrote it. The mount is seen by the thread that asked, and by what it starts afterwards: nothing is left of it when
//! netbe is killed. Not for halves of files.

use std::cell::Cell;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, anyhow, ensure};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, renameat};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};

use super::DISK;
use super::fuse::{DEVICE, MOUNTERS};
use crate::fs::copy::Contents;
use crate::fs::own_program::own_program;
use crate::fs::rooted::Tree;
use crate::fs::{opener, server_packages};

/// The directories of programs and libraries, which are links into /usr on most systems.
const PROGRAMS: [&str; 5] = ["bin", "sbin", "lib", "lib64", "usr"];
/// The name of an image that takes the place of another.
const NEW: &str = "disk.img.new";
/// Where libfuse looks for fusermount.
const BIN: &str = "/usr/bin";

/// What reads the image. The journal of one that a machine was writing is played back first by e2fsck(8): fuse2fs 1.47.0 does
/// that, too, and ends by SIGSEGV at the first request after it.
const SHOW: &str = "e2fsck -y -E journal_only \"$1\" >&2; [ $? -lt 4 ] || exit 1; exec fuse2fs \"$1\" /files -f -o rw,fakeroot";

/// What is done with the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// They are read, as they were at that moment: a machine may go on writing the image.
    Read,
    /// They are changed, in a copy that takes the image's place when it is closed; no machine has the image.
    Change,
}

/// A half whose files are shown; [`Opened::close`] ends that, and being dropped does, with what it wrote half done.
#[derive(Debug)]
pub struct Opened {
    place: PathBuf,
    /// The half itself, and the image that takes its image's place.
    half: File,
    image: Option<File>,
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
        let shown = || format!("opening the disk image in {}", half.display());
        for program in ["bwrap", "fuse2fs", "e2fsck"] {
            server_packages::require(program)?;
        }
        let image = copy_of_image(half).with_context(shown)?;
        let below = opener::directory(half)?;
        alone()?;
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
        mount(
            Some("netbe"),
            half,
            Some("fuse.ext4"),
            flags,
            Some(options.as_str()),
        )
        .with_context(shown)?;
        let said = tempfile::tempfile().context("making a file for messages")?;
        let mut opened = Self {
            place: half.to_path_buf(),
            half: below,
            image: None,
            program: None,
            said,
        };
        let program = start(&image, &device, &opened.said).context("starting fuse2fs")?;
        opened.program = Some(program);
        // With the last descriptor of the device ends the mount: that of fuse2fs.
        drop(device);
        match half.join(".").symlink_metadata() {
            Ok(_) => {
                opened.image = (access == Access::Change).then_some(image);
                Ok(opened)
            }
            Err(e) => {
                let said = opened.end().err().unwrap_or_else(|| e.into());
                Err(said.context(shown()))
            }
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
        let Some(mut program) = self.program.take() else {
            return Ok(());
        };
        let unmounted = umount2(&self.place, MntFlags::empty());
        if unmounted.is_err() {
            // Something has files of it open, and it would be waited for without end.
            let _ = umount2(&self.place, MntFlags::MNT_DETACH);
            let _ = program.kill();
        }
        let status = program.wait().context("waiting for fuse2fs")?;
        if !status.success() {
            return Err(anyhow!("fuse2fs: {}", self.message()));
        }
        unmounted.context("unmounting it")
    }

    /// Returns the last line that fuse2fs said.
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

#[allow(unsafe_code)]
fn start(image: &File, device: &File, said: &File) -> Result<Child> {
    let mut command = Command::new("bwrap");
    command.args(["--die-with-parent", "--new-session", "--cap-drop", "ALL"]);
    command.args(["--unshare-ipc", "--unshare-pid", "--unshare-net"]);
    command.args(["--unshare-uts", "--unshare-cgroup-try"]);
    for directory in PROGRAMS {
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
    command.args(["--dev-bind", "/dev/fuse", "/dev/fuse"]);
    command.args(["--dir", "/files", "--chdir", "/", "--clearenv"]);
    let (image, device) = (image.as_raw_fd(), device.as_raw_fd());
    command.args(["--setenv", "PATH", "/netbe:/usr/sbin:/usr/bin:/sbin:/bin"]);
    command.args(["--setenv", DEVICE, &device.to_string()]);
    command.args(["sh", "-c", SHOW, "sh"]);
    command.arg(format!("/proc/self/fd/{image}"));
    command
        .stdin(Stdio::null())
        .stdout(said.try_clone()?)
        .stderr(said.try_clone()?);
    // SAFETY: between fork and exec only fcntl(2) is called, which needs no lock and no memory.
    unsafe {
        command.pre_exec(move || {
            for descriptor in [image, device] {
                let result = nix::libc::fcntl(descriptor, nix::libc::F_SETFD, 0);
                nix::errno::Errno::result(result)?;
            }
            Ok(())
        });
    }
    Ok(command.spawn()?)
}
