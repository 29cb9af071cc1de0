//! A btrfs of a test's own, which nobody else sees and which goes with the test's thread.

use std::path::{Path, PathBuf};
use std::process::Command;

use netbe::lifecycle::import::unpack::{Driver, Halves, Progress, Source, Unpacked, unpack};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::support::{mounts, wait_for_forks, wait_until};

/// A mounted pool with one stage in it.
pub(crate) struct Pool {
    pub(crate) _dir: tempfile::TempDir,
    pub(crate) top: PathBuf,
    pub(crate) work: PathBuf,
    pub(crate) root: PathBuf,
    pub(crate) boot: PathBuf,
    pub(crate) scratch: PathBuf,
}

/// Runs a program and insists that it succeeds.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    wait_for_forks();
    let output = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap_or_else(|e| panic!("{program}: {e}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a line of shell and insists that it succeeds.
pub(crate) fn shell(line: &str) -> String {
    run("sh", &["-euc", line])
}

struct Silent;

impl Progress for Silent {
    fn phase(&mut self, _: &str) {}
    fn advance(&mut self, _: u64, _: Option<u64>) {}
}

impl Pool {
    pub(crate) fn new() -> Self {
        assert!(nix::unistd::geteuid().is_root(), "these tests need root");
        let none: Option<&str> = None;
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (image, top, work) = (
            dir.path().join("pool.img"),
            dir.path().join("pool"),
            dir.path().join("work"),
        );
        std::fs::create_dir(&top).unwrap();
        std::fs::create_dir(&work).unwrap();
        let file = std::fs::File::create(&image).unwrap();
        file.set_len(512 << 20).unwrap();
        run("mkfs.btrfs", &["-q", image.to_str().unwrap()]);
        let (image, at) = (image.to_str().unwrap(), top.to_str().unwrap());
        run("mount", &["-o", "loop", image, at]);
        let stage = top.join("nodes/.staged-1");
        std::fs::create_dir_all(&stage).unwrap();
        std::fs::write(top.join("pool.json"), "{}").unwrap();
        let pool = Self {
            root: stage.join("root"),
            boot: stage.join("boot"),
            scratch: stage.join("scratch"),
            _dir: dir,
            top,
            work,
        };
        pool.make_stage();
        pool
    }

    fn make_stage(&self) {
        for half in [&self.root, &self.boot] {
            run("btrfs", &["subvolume", "create", half.to_str().unwrap()]);
        }
        std::fs::create_dir(&self.scratch).unwrap();
    }

    /// Throws the stage away and makes a new one.
    pub(crate) fn renew(&self) {
        for half in [&self.root, &self.boot] {
            run("btrfs", &["subvolume", "delete", half.to_str().unwrap()]);
        }
        std::fs::remove_dir_all(&self.scratch).unwrap();
        self.make_stage();
    }

    /// Brings a source in, and insists that no mount and no loop device of it is left.
    pub(crate) fn import(&self, source: &Source, boot: Option<&Path>) -> anyhow::Result<Unpacked> {
        self.import_with(Driver::Own, source, boot)
    }

    /// The same, by netbe's own code or by the kernel's.
    pub(crate) fn import_with(
        &self,
        driver: Driver,
        source: &Source,
        boot: Option<&Path>,
    ) -> anyhow::Result<Unpacked> {
        let halves = Halves {
            root: &self.root,
            boot: &self.boot,
            scratch: &self.scratch,
        };
        let mounted = mounts();
        let loops = self.loops();
        let result = netbe::lifecycle::import::unpack::open(source)
            .and_then(|opened| unpack(opened, boot, &halves, driver, &mut Silent));
        assert_eq!(mounts(), mounted, "a mount is left");
        // What made the image may have been let go of meanwhile: the kernel takes its time. So it does with what a
        // thread had mounted in a namespace of its own: that ends after the thread, and was joined before.
        wait_until("no loop device is left", || {
            self.loops().iter().all(|device| loops.contains(device))
        });
        result
    }

    /// The loop devices on files of this test.
    fn loops(&self) -> Vec<String> {
        let all = run("losetup", &["-n", "--raw", "-O", "NAME,BACK-FILE"]);
        let top = self._dir.path().to_str().unwrap();
        let own = |line: &&str| line.contains(top);
        all.lines().filter(own).map(str::to_string).collect()
    }

    pub(crate) fn import_file(&self, path: &Path) -> anyhow::Result<Unpacked> {
        self.import(&Source::File(path.into()), None)
    }

    pub(crate) fn import_directory(&self, path: &Path) -> anyhow::Result<Unpacked> {
        self.import(&Source::Directory(path.into()), None)
    }
}
