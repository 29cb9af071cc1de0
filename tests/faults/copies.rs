//! The pool that commands are broken in: made once, its disk copied for each of them.
//!
//! Every copy is mounted at the same path, which boot files and exports name. For one thread: another one makes a
//! ground of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::disk::{Disk, unmount};
use crate::scenes::{self, Scene};
use crate::support::{Netbe, Pool, SERVER, System, run};

/// A pool with a template, a node `nog` that is served and a node `kira` that is not, both with `a` and `b`.
#[derive(Debug)]
pub(crate) struct Ground {
    pool: Pool,
}

impl Ground {
    /// Makes it, on a filesystem of the given size in bytes.
    pub(crate) fn new(size: u64) -> Self {
        let pool = Pool::bare(size);
        let netbe = pool.netbe();
        netbe.ok(&format!("init --server {SERVER}"));
        pool.import("base/stock", &System::debian());
        for line in scenes::GROUND {
            netbe.ok(line);
        }
        System::debian().build(&pool.beside().join("system"));
        run(Command::new("sync").arg("-f").arg(pool.path()));
        Self { pool }
    }

    /// Makes a place for the thread that made it to work in.
    pub(crate) fn place(&self) -> Place<'_> {
        let files = self.pool.beside().join("files");
        std::fs::create_dir(&files).unwrap();
        // In memory: a disk would make each commit wait.
        run(Command::new("mount")
            .args(["-t", "tmpfs", "tmpfs"])
            .arg(&files));
        let ground = Disk::new(self.pool.beside().join("pool.btrfs")).copy(&files.join("ground"));
        Place {
            pool: &self.pool,
            files,
            ground,
        }
    }
}

/// Where one thread works: its mounts are its own.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    /// Stands for whatever copy is mounted.
    pub(crate) pool: &'a Pool,
    /// A directory in memory, for disks.
    pub(crate) files: PathBuf,
    ground: Disk,
}

impl Place<'_> {
    /// Returns where the copies are mounted.
    pub(crate) fn at(&self) -> &Path {
        self.pool.path()
    }

    /// Returns netbe, set to whatever copy is mounted.
    pub(crate) fn netbe(&self) -> Netbe {
        self.pool.netbe()
    }

    /// Returns the command line of a scene here.
    pub(crate) fn line(&self, scene: &Scene) -> String {
        scene.line(&self.pool.beside().join("system"))
    }

    /// Returns the disk as a command is to find it; not mounted.
    pub(crate) fn prepared(&self, scene: &Scene) -> Disk {
        let disk = self.ground.copy(&self.files.join("start"));
        disk.mount(self.at()).unwrap();
        for line in scene.before {
            self.does(line);
        }
        unmount(self.at());
        disk
    }

    /// Runs a command line of netbe that must succeed, or, after `!`, one of the shell in the pool.
    pub(crate) fn does(&self, line: &str) {
        match line.strip_prefix('!') {
            Some(line) => run(Command::new("sh").args(["-c", line]).current_dir(self.at())),
            None => drop(self.netbe().ok(&scenes::fill_in(line))),
        }
    }

    /// Mounts a copy of a disk, for a command to run on.
    pub(crate) fn mount(&self, disk: &Disk) -> Disk {
        let copy = disk.copy(&self.files.join("running"));
        copy.mount(self.at()).unwrap();
        copy
    }

    /// Ends the work here.
    pub(crate) fn leave(&self) {
        unmount(&self.files);
    }
}
