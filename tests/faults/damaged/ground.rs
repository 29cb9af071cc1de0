//! A pool that is made once and copied for each damage, and a directory outside it whose every reading shows.

use std::fs::{self, FileTimes};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use nix::mount::{MsFlags, mount, umount2};

use crate::support::{MAC, Pool, SERVER, System, run, unmount};

/// What stands in everything outside.
pub(super) const SECRET: &str = "secret of the server";

/// What records say that netbe has not written.
pub(super) const LIE: &str = "lied";

/// A pool with the nodes `base`, `nog` (`a` active, `b`) and `ordo` (`x` active, `y`), and what it was like.
pub(super) struct Ground {
    pub(super) pool: Pool,
    pristine: PathBuf,
    image: PathBuf,
    /// The state directories as they were.
    states: PathBuf,
    /// Outside the pool: `file`, `etc/fstab`, …
    pub(super) outside: PathBuf,
}

impl Ground {
    pub(super) fn new() -> Self {
        let pool = Pool::bare(300 << 20);
        let netbe = pool.netbe();
        netbe.ok(&format!("init --server {SERVER}"));
        pool.import("base/stock", &System::debian());
        netbe.ok(&format!("create nog/a --mac {MAC}"));
        netbe.ok("create nog/b -d kept");
        netbe.ok("create ordo/x --from base --mac dc:a6:32:01:02:04");
        netbe.ok("create ordo/y");
        netbe.ok("publish");
        pool.write("nodes/nog/pending.json", "");
        fs::remove_file(pool.at("nodes/nog/pending.json")).unwrap();
        pool.saw_boot("nog", "a");
        pool.saw_boot("ordo", "x");
        // In memory: thousands of commands wait for what they write.
        let memory = pool.beside().join("memory");
        fs::create_dir(&memory).unwrap();
        mount(
            Some("tmpfs"),
            &memory,
            Some("tmpfs"),
            MsFlags::empty(),
            Some("size=512m"),
        )
        .unwrap();
        let (pristine, image) = (memory.join("pristine"), memory.join("pool.btrfs"));
        let outside = pool.beside().join("outside");
        fs::create_dir(&outside).unwrap();
        // Any reading moves a file's time here.
        mount(
            Some("tmpfs"),
            &outside,
            Some("tmpfs"),
            MsFlags::MS_STRICTATIME,
            Some("size=8m"),
        )
        .unwrap();
        unmount(pool.path());
        run(Command::new("cp")
            .args(["--sparse=always"])
            .args([&pool.beside().join("pool.btrfs"), &pristine]));
        let states = memory.join("states");
        run(Command::new("cp")
            .arg("-aT")
            .args([&pool.states(), &states]));
        Self {
            pool,
            pristine,
            image,
            states,
            outside,
        }
    }

    /// Mounts a fresh copy, and lays out what stands outside.
    pub(super) fn renew(&self) {
        run(Command::new("cp")
            .args(["--sparse=always"])
            .args([&self.pristine, &self.image]));
        run(Command::new("mount")
            .args(["-o", "loop,nosuid,nodev"])
            .args([self.image.as_path(), self.pool.path()]));
        let states = self.pool.states();
        for entry in fs::read_dir(&states).unwrap() {
            run(Command::new("rm").arg("-rf").arg(entry.unwrap().path()));
        }
        run(Command::new("cp").arg("-aT").args([&self.states, &states]));
        for name in [
            "file",
            "etc/fstab",
            "etc/hostname",
            "boot/pxelinux.cfg/default",
            "root/etc/fstab",
            "env.json",
            "node.json",
        ] {
            let path = self.outside.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let _ = fs::remove_file(&path);
            fs::write(&path, format!("{SECRET}\n")).unwrap();
            let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
            let file = fs::File::options().write(true).open(&path).unwrap();
            file.set_times(
                FileTimes::new()
                    .set_accessed(long_ago)
                    .set_modified(long_ago),
            )
            .unwrap();
        }
    }

    /// Returns a place by its name: as [`Pool::at`] has it, or after `POOL/` or `STATE/` in that directory.
    pub(super) fn at(&self, place: &str) -> PathBuf {
        match place.split_once('/') {
            Some(("POOL", rest)) => self.pool.path().join(rest),
            Some(("STATE", rest)) => self.pool.state().join(rest),
            _ => self.pool.at(place),
        }
    }

    /// Takes the copy away, with what commands mounted from it: a filesystem in use would come again as it is.
    pub(super) fn end(&self) {
        let table = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let mut mounted: Vec<&str> = table
            .lines()
            .filter_map(|line| line.split(' ').nth(4))
            .filter(|at| {
                at.starts_with("/run/netbe/") || Path::new(at).starts_with(self.pool.path())
            })
            .collect();
        mounted.reverse();
        for at in mounted {
            // What a command started, such as a job in the background, may still be ending.
            let mut tries = 0;
            while let Err(e) = umount2(at, nix::mount::MntFlags::empty()) {
                tries += 1;
                assert!(tries < 100, "{at}: {e}");
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }

    /// Returns what was read or written outside, paths with how.
    pub(super) fn touched(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut left = vec![self.outside.clone()];
        while let Some(dir) = left.pop() {
            for entry in fs::read_dir(&dir).unwrap() {
                let path = entry.unwrap().path();
                let meta = path.symlink_metadata().unwrap();
                if meta.is_dir() {
                    left.push(path);
                } else if meta.mtime() != 1 {
                    found.push(format!("{} was written", path.display()));
                } else if meta.atime() != 1 {
                    found.push(format!("{} was read", path.display()));
                }
            }
        }
        found
    }
}
