//! A machine that is installed on btrfs, and boots its subvolumes: a root of its own, in which netbe and GRUB's programs run.
//!
//! Its disk is in memory where it can be. Not for what it takes to boot it: its kernel is one for netbe to look at.

// clippy.toml allows this in tests, and takes their helpers for something else.
#![allow(clippy::unwrap_used)]

mod block;
mod programs;

use std::cell::Cell;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::gettid;

use super::{Outcome, Pool, System, run};

/// The file beside the disk that the boot partition is.
const PARTITION: &str = "partition";

/// A machine that is installed on btrfs.
#[derive(Debug)]
pub struct Machine {
    /// Its disk, whose top level is mounted here too.
    pub disk: Pool,
    /// Where its root is mounted, here.
    pub root: PathBuf,
    /// The device of its boot partition.
    partition: Option<String>,
    boots: Cell<u32>,
    saved_boots: Cell<u32>,
}

impl Machine {
    /// Makes one, whose root is the subvolume `@`, with `/home` in `@home`, and a subvolume with something in it in the root.
    pub fn new() -> Self {
        Self::with(false)
    }

    /// As [`Self::new`], with a partition at `/boot/efi`: ext4, which every kernel here has.
    pub fn with_partition() -> Self {
        Self::with(true)
    }

    fn with(has_partition: bool) -> Self {
        let disk = Pool::in_memory(2 << 30);
        let partition = has_partition.then(|| {
            let file = disk.beside().join(PARTITION);
            fs::File::create(&file).unwrap().set_len(64 << 20).unwrap();
            run(Command::new("mkfs.ext4").arg("-q").arg(&file));
            let device = run_for(Command::new("losetup").args(["--show", "-f"]).arg(&file));
            device.trim().to_string()
        });
        let top = disk.path().to_path_buf();
        for name in ["@", "@home"] {
            subvolume(&top.join(name));
        }
        let root = top.join("@");
        let disk_driver = "usr/lib/modules/6.1.0-50-amd64/kernel/virtio_blk.ko";
        System::debian()
            .modules(
                &["kernel/fs/btrfs/btrfs.ko", "kernel/virtio_blk.ko"],
                &[
                    "init",
                    disk_driver,
                    "usr/lib/modules/6.1.0-50-amd64/kernel/fs/btrfs/btrfs.ko",
                ],
            )
            .build(&root);
        for (place, has) in [("var/lib/machines", false), ("var/lib/portables", true)] {
            subvolume(&root.join(place));
            if has {
                fs::write(root.join(place).join("image"), "data").unwrap();
            }
        }
        fs::write(
            root.join("etc/fstab"),
            "/dev/vda2 / btrfs noatime,subvol=@ 0 0\n/dev/vda2 /home btrfs subvol=@home 0 0\n",
        )
        .unwrap();
        programs::install(&root);
        let machine = Self {
            root: disk.beside().join("machine"),
            disk,
            partition,
            boots: Cell::default(),
            saved_boots: Cell::default(),
        };
        machine.boot("@");
        machine
    }

    /// Returns the file that its disk is.
    pub fn image(&self) -> PathBuf {
        self.disk.beside().join("pool.btrfs")
    }

    /// Gives its filesystem another UUID, as btrfstune(8) does: in its superblock alone. Returns that.
    pub fn with_other_uuid(&self) -> String {
        self.power_off();
        super::unmount(self.disk.path());
        run(Command::new("btrfstune")
            .args(["-f", "-m"])
            .arg(self.image()));
        run(Command::new("mount")
            .args(["-o", "loop"])
            .args([&self.image(), self.disk.path()]));
        self.boot("@");
        let mut blkid = Command::new("blkid");
        blkid.args(["-p", "-s", "UUID", "-o", "value"]);
        run_for(blkid.arg(self.image())).trim().to_string()
    }

    /// Takes everything away that is mounted for it.
    fn power_off(&self) {
        while nix::mount::umount2(&self.root, nix::mount::MntFlags::MNT_DETACH).is_ok() {}
    }

    /// Has it boot a subvolume: that is its root from now on.
    pub fn boot(&self, root: &str) {
        let device = run_for(
            Command::new("findmnt")
                .args(["-n", "-o", "SOURCE"])
                .arg(self.disk.path()),
        );
        self.power_off();
        fs::create_dir_all(&self.root).unwrap();
        let mount = |options: &str, place: &Path| {
            run(Command::new("mount")
                .args(["-o", options, device.trim()])
                .arg(place));
        };
        mount(&format!("subvol={root}"), &self.root);
        // As systemd has them; but above the root of a machine is nothing that is shared.
        let above = run_for(
            Command::new("findmnt")
                .args(["-n", "-o", "TARGET", "-T"])
                .arg(self.root.parent().unwrap()),
        );
        let above = above.lines().next().unwrap();
        run(Command::new("mount").args(["--make-private", above]));
        run(Command::new("mount").arg("--make-shared").arg(&self.root));
        if root != "@" {
            let boot = root.replace("/root", "/boot");
            mount(&format!("subvol={boot}"), &self.root.join("boot"));
        }
        for (kind, place) in [
            ("proc", "proc"),
            ("sysfs", "sys"),
            ("tmpfs", "run"),
            ("tmpfs", "dev"),
        ] {
            run(Command::new("mount")
                .args(["-t", kind, kind])
                .arg(self.root.join(place)));
        }
        // Each boot has a number of its own, in the form of the kernel's.
        self.boots.set(self.boots.get() + 1);
        let number = self.disk.beside().join("boot_id");
        fs::write(
            &number,
            format!("{:08x}-0000-4000-8000-000000000000\n", self.boots.get()),
        )
        .unwrap();
        run(Command::new("mount")
            .arg("--bind")
            .arg(&number)
            .arg(self.root.join("proc/sys/kernel/random/boot_id")));
        if let Some(device) = &self.partition {
            let place = self.root.join("boot/efi");
            fs::create_dir_all(&place).unwrap();
            run(Command::new("mount").arg(device).arg(&place));
            copy_node(
                Path::new(device),
                &self.root.join(device.trim_start_matches('/')),
            );
        }
        // Nodes of its own, and not this machine's.
        for node in ["/dev/null", "/dev/zero", "/dev/urandom", device.trim()].map(Path::new) {
            copy_node(node, &self.root.join(node.strip_prefix("/").unwrap()));
        }
        let unit = "etc/systemd/system/local-fs.target.wants/run-netbe-local.mount";
        if self.root.join(unit).symlink_metadata().is_ok() {
            // As its unit does.
            let place = self.root.join("run/netbe/local");
            fs::create_dir_all(&place).unwrap();
            mount("subvol=netbe,noatime,nosuid,nodev", &place);
        }
    }

    /// Copies its disks, which is what [`Self::put_back`] puts back.
    pub fn save(&self) {
        self.saved_boots.set(self.boots.get());
        run(Command::new("sync").arg("-f").arg(self.disk.path()));
        copy_disk(&self.image(), &self.saved());
        if let Some(device) = &self.partition {
            run(Command::new("sync")
                .arg("-f")
                .arg(self.root.join("boot/efi")));
            let saved = self.saved().with_extension("partition");
            fs::write(saved, fs::read(device).unwrap()).unwrap();
        }
    }

    /// Puts its disks back to what they were, in the same boot, with this subvolume as its root.
    pub fn put_back(&self, root: &str) {
        self.power_off();
        nix::mount::umount2(self.disk.path(), nix::mount::MntFlags::MNT_DETACH).unwrap();
        // Another file: the loop device of the last may be on its way out still.
        fs::remove_file(self.image()).unwrap();
        copy_disk(&self.saved(), &self.image());
        run(Command::new("mount")
            .args(["-o", "loop"])
            .args([&self.image(), self.disk.path()]));
        if let Some(device) = &self.partition {
            let mut device = fs::File::options().write(true).open(device).unwrap();
            let saved = fs::read(self.saved().with_extension("partition")).unwrap();
            device.write_all(&saved).unwrap();
        }
        self.boots.set(self.saved_boots.get() - 1);
        self.boot(root);
    }

    fn saved(&self) -> PathBuf {
        self.disk.beside().join("saved")
    }

    /// Returns the file that its boot partition is.
    pub fn partition(&self) -> PathBuf {
        self.disk.beside().join(PARTITION)
    }

    /// Runs a command line in it.
    pub fn run(&self, line: &str) -> Outcome {
        let mut command = self.command(&["/bin/sh", "-c", line]);
        command.output().expect("chroot is there").into()
    }

    /// Returns a command in it.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("/usr/sbin/chroot");
        command.arg(&self.root).args(words).current_dir("/");
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin")
            .env("NETBE_TEST_ADDRESSES", "192.0.2.1");
        command
    }

    /// Runs one that must succeed, and returns what it answered.
    pub fn ok(&self, line: &str) -> String {
        let outcome = self.run(line);
        assert_eq!(outcome.status, 0, "{line}\n{outcome:#?}");
        outcome.stdout
    }

    /// Runs one that must end with a status, and returns what it said.
    pub fn fails(&self, status: i32, line: &str) -> String {
        let outcome = self.run(line);
        assert_eq!(outcome.status, status, "{line}\n{outcome:#?}");
        outcome.stderr
    }

    /// Returns what GRUB reads of a file, by a path from the top level: of the disk as it is, without anything unmounted.
    pub fn grub_reads(&self, path: &str) -> String {
        let found = self.grub_finds(path);
        let found = found.unwrap_or_else(|| panic!("GRUB finds no {path}"));
        String::from_utf8_lossy(&found).into_owned()
    }

    /// As [`Self::grub_reads`]; `None` where GRUB finds none, or cannot read it.
    pub fn grub_finds(&self, path: &str) -> Option<Vec<u8>> {
        grub_finds(&self.image(), path)
    }
}

/// Returns what GRUB reads of a file on a disk; `None` where it finds none, or cannot read it.
fn grub_finds(disk: &Path, path: &str) -> Option<Vec<u8>> {
    let output = Command::new("grub-fstest")
        .arg(disk)
        .args(["cat", path])
        .output()
        .expect("scripts/install-needs test installs it");
    output.status.success().then_some(output.stdout)
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Before the directory goes.
        self.power_off();
        if let Some(device) = &self.partition {
            let _ = Command::new("losetup").args(["-d", device]).status();
        }
    }
}

fn copy_disk(from: &Path, to: &Path) {
    run(Command::new("cp").arg("--sparse=always").args([from, to]));
}

fn copy_node(from: &Path, to: &Path) {
    use nix::sys::stat::{Mode, SFlag, mknod};
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    let found = from.metadata().unwrap();
    let kind = match found.file_type().is_block_device() {
        true => SFlag::S_IFBLK,
        false => SFlag::S_IFCHR,
    };
    mknod(to, kind, Mode::from_bits_truncate(0o600), found.rdev()).unwrap();
}

fn subvolume(path: &Path) {
    run(Command::new("btrfs")
        .args(["-q", "subvolume", "create"])
        .arg(path));
}

fn run_for(command: &mut Command) -> String {
    let output = command
        .output()
        .expect("scripts/install-needs test installs it");
    assert!(output.status.success(), "{command:?} {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
