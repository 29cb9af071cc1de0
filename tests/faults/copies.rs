//! The pool that commands are broken in: made once, its disks copied for each of them.
//!
//! Its state directory is on a disk of its own. Every copy is mounted at the same path, which boot files and exports name. For one thread: another one makes a
//! ground of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::disk::{Disk, Disks, STATES, unmount};
use crate::scenes::{self, Scene};
use crate::support::{Disk as NodeDisk, Netbe, Pool, SERVER, System, run};

/// How large the disk of the state directory is, in bytes: about as small as they can be.
const SERVER_SIZE: u64 = 128 << 20;

/// A pool with a template, a node `nog` that is served and a node `kira` that is not, both with `a` and `b`.
#[derive(Debug)]
pub(crate) struct Ground {
    pool: Pool,
    _disk: NodeDisk,
}

impl Ground {
    /// Makes it, on a filesystem of the given size in bytes.
    pub(crate) fn new(size: u64) -> Self {
        let pool = Pool::bare(size);
        let server = pool.beside().join("server.btrfs");
        File::create(&server)
            .and_then(|file| file.set_len(SERVER_SIZE))
            .unwrap();
        run(Command::new("mkfs.btrfs").arg("-q").arg(&server));
        Disk::new(server).mount(Path::new(STATES)).unwrap();
        let netbe = pool.netbe();
        netbe.ok(&format!("init --server {SERVER}"));
        pool.import("base/stock", &System::debian());
        for line in scenes::GROUND {
            netbe.ok(line);
        }
        System::debian().build(&pool.beside().join("system"));
        for filesystem in [pool.path(), Path::new(STATES)] {
            run(Command::new("sync").arg("-f").arg(filesystem));
        }
        let disk = NodeDisk::new(pool.beside());
        Self { pool, _disk: disk }
    }

    /// Makes a place for the thread that made it to work in.
    pub(crate) fn place(&self) -> Place<'_> {
        let files = self.pool.beside().join("files");
        std::fs::create_dir(&files).unwrap();
        // In memory: a disk would make each commit wait.
        run(Command::new("mount")
            .args(["-t", "tmpfs", "tmpfs"])
            .arg(&files));
        let disk = |image| Disk::new(self.pool.beside().join(image));
        let disks = Disks {
            pool: disk("pool.btrfs"),
            server: disk("server.btrfs"),
        };
        let ground = disks.copy(&files.join("ground"));
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
    ground: Disks,
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

    /// Returns the command of a scene here.
    pub(crate) fn command(&self, scene: &Scene) -> Command {
        let mut command = self.netbe().plain();
        command.args(self.line(scene).split_whitespace());
        command
    }

    /// Returns the disks as a command is to find them; not mounted.
    pub(crate) fn prepared(&self, scene: &Scene) -> Disks {
        let disks = self.ground.copy(&self.files.join("start"));
        disks.mount(self.at()).unwrap();
        for line in scene.before {
            self.does(line);
        }
        self.unmount();
        disks
    }

    /// See [`scenes::does`].
    pub(crate) fn does(&self, line: &str) {
        scenes::does(self.pool, line);
    }

    /// Mounts a copy of the disks, for a command to run on.
    pub(crate) fn mount(&self, disks: &Disks) -> Disks {
        let copy = disks.copy(&self.files.join("running"));
        copy.mount(self.at()).unwrap();
        copy
    }

    /// Takes away the copy that was mounted last.
    pub(crate) fn unmount(&self) {
        Disks::unmount(self.at());
    }

    /// Ends the work here.
    pub(crate) fn leave(&self) {
        unmount(&self.files);
    }
}
