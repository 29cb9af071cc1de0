//! A disk of a node, as the server has it: a loop device.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{run, unmount};

/// How large it is, in bytes; it is sparse.
const SIZE: u64 = 256 << 20;

/// A disk of a node; detached when dropped.
#[derive(Debug)]
pub struct Disk {
    device: PathBuf,
    file: PathBuf,
    /// Where it is mounted to be looked into.
    looked_at: PathBuf,
}

impl Disk {
    /// Attaches an empty one, which lies in a directory; `disk` there leads to it.
    ///
    /// # Panics
    ///
    /// When no loop device can be had.
    pub fn new(directory: &Path) -> Self {
        let file = directory.join("disk.img");
        fs::File::create(&file)
            .and_then(|made| made.set_len(SIZE))
            .expect("it can be made");
        let shown = Command::new("losetup")
            .args(["--find", "--show", "--partscan"])
            .arg(&file)
            .output()
            .expect("losetup is installed");
        assert!(shown.status.success(), "{shown:?}");
        let device = PathBuf::from(String::from_utf8_lossy(&shown.stdout).trim());
        std::os::unix::fs::symlink(&device, directory.join("disk")).expect("it is free");
        let looked_at = directory.join("looked-at");
        fs::create_dir(&looked_at).expect("it is free");
        Self {
            device,
            file,
            looked_at,
        }
    }

    /// Attaches one with an empty btrfs that has no partition.
    pub fn formatted(directory: &Path) -> Self {
        let disk = Self::new(directory);
        disk.format();
        disk
    }

    /// Makes an empty btrfs on it.
    pub fn format(&self) {
        run(Command::new("mkfs.btrfs")
            .args(["-q", "-f"])
            .arg(&self.device));
    }

    /// Copies all of it into a file.
    pub fn save(&self, to: &Path) {
        run(Command::new("sync").arg(&self.device));
        copy(&self.file, to);
    }

    /// Makes it what was saved.
    pub fn put_back(&self, from: &Path) {
        // What the kernel knows of the device goes; what is in the file is read anew.
        run(Command::new("blkdiscard").arg("-f").arg(&self.device));
        copy(from, &self.file);
    }

    /// Fails unless nothing has been written to it.
    ///
    /// # Panics
    ///
    /// When something has.
    pub fn assert_empty(&self) {
        run(Command::new("sync").arg(&self.device));
        let content = fs::read(&self.file).expect("it can be read");
        assert!(content.iter().all(|byte| *byte == 0), "it was written");
    }

    /// Returns its device file.
    pub fn device(&self) -> &Path {
        &self.device
    }

    /// Returns its device file's name, to be printed.
    pub fn show(&self) -> std::path::Display<'_> {
        self.device.display()
    }

    /// Looks into it, or changes it as its node does: its first partition, or the whole disk.
    pub fn with(&self, partition: bool, look: impl FnOnce(&Path)) {
        let device = match partition {
            true => format!("{}p1", self.show()),
            false => self.show().to_string(),
        };
        run(Command::new("mount")
            .args(["-o", "subvolid=5"])
            .arg(device)
            .arg(&self.looked_at));
        look(&self.looked_at);
        unmount(&self.looked_at);
    }

    /// Looks into its first partition, which has another filesystem.
    pub fn with_filesystem(&self, filesystem: &str, look: impl FnOnce(&Path)) {
        run(Command::new("mount")
            .args(["-t", filesystem, "-o", "ro"])
            .arg(format!("{}p1", self.show()))
            .arg(&self.looked_at));
        look(&self.looked_at);
        unmount(&self.looked_at);
    }
}

fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").arg("--sparse=always").args([from, to]));
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("-d").arg(&self.device).status();
        if let Some(directory) = self.looked_at.parent() {
            let _ = fs::remove_file(directory.join("disk"));
            let _ = fs::remove_dir(&self.looked_at);
        }
    }
}
