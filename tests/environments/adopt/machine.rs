//! A machine that is installed on btrfs, and boots its subvolumes: a root of its own, in which netbe and GRUB's programs run.

use std::cell::Cell;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::gettid;

use crate::support::{Outcome, Pool, System, run};

/// What the scripts of GRUB call, beside what a system has.
const COMMANDS: &str =
    "basename chroot cut dirname expr head mktemp paste printf rmdir sort tac tr uniq awk";
/// GRUB's own programs, and netbe's needs.
const PROGRAMS: [&str; 6] = [
    "/usr/sbin/grub-probe",
    "/usr/bin/grub-script-check",
    "/usr/sbin/grub-mkconfig",
    "/usr/sbin/update-grub",
    "/usr/sbin/blkid",
    "/usr/bin/cp",
];

/// A machine that is installed on btrfs.
pub(super) struct Machine {
    pub(super) disk: Pool,
    /// Where its root is mounted, here.
    pub(super) root: PathBuf,
    /// The device of its boot partition.
    partition: Option<String>,
    boots: Cell<u32>,
}

impl Machine {
    /// Makes one, whose root is the subvolume `@`, with `/home` in `@home`, and a subvolume with something in it in the root.
    pub(super) fn new() -> Self {
        Self::with(None)
    }

    /// As [`Self::new`], with a partition at `/boot/efi`: ext4, which every kernel here has.
    pub(super) fn with_partition() -> Self {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("partition-{}", gettid()));
        fs::File::create(&file).unwrap().set_len(64 << 20).unwrap();
        run(Command::new("mkfs.ext4").arg("-q").arg(&file));
        let device = run_for(Command::new("losetup").args(["--show", "-f"]).arg(&file));
        // The device has it.
        fs::remove_file(file).unwrap();
        Self::with(Some(device.trim().to_string()))
    }

    fn with(partition: Option<String>) -> Self {
        let disk = Pool::bare(2 << 30);
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
        install_programs(&root);
        let machine = Self {
            root: disk.beside().join("machine"),
            disk,
            partition,
            boots: Cell::default(),
        };
        machine.boot("@");
        machine
    }

    /// Returns the file that its disk is.
    fn image(&self) -> PathBuf {
        self.disk.beside().join("pool.btrfs")
    }

    /// Takes everything away that is mounted for it.
    fn power_off(&self) {
        while nix::mount::umount2(&self.root, nix::mount::MntFlags::MNT_DETACH).is_ok() {}
    }

    /// Has it boot a subvolume: that is its root from now on.
    pub(super) fn boot(&self, root: &str) {
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
        // Each boot has a number of its own.
        self.boots.set(self.boots.get() + 1);
        let number = self.disk.beside().join("boot_id");
        fs::write(&number, format!("boot-{}\n", self.boots.get())).unwrap();
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
        if self.disk.path().join("netbe").exists() {
            // As its unit does.
            let place = self.root.join("run/netbe/local");
            fs::create_dir_all(&place).unwrap();
            mount("subvol=netbe,noatime,nosuid,nodev", &place);
        }
    }

    /// Runs a command line in it.
    pub(super) fn run(&self, line: &str) -> Outcome {
        let mut command = Command::new("chroot");
        command.arg(&self.root).args(["/bin/sh", "-c", line]);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin")
            .env("NETBE_TEST_ADDRESSES", "192.0.2.1");
        command.output().expect("chroot is there").into()
    }

    /// Runs one that must succeed, and returns what it answered.
    pub(super) fn ok(&self, line: &str) -> String {
        let outcome = self.run(line);
        assert_eq!(outcome.status, 0, "{line}\n{outcome:#?}");
        outcome.stdout
    }

    /// Runs one that must end with a status, and returns what it said.
    pub(super) fn fails(&self, status: i32, line: &str) -> String {
        let outcome = self.run(line);
        assert_eq!(outcome.status, status, "{line}\n{outcome:#?}");
        outcome.stderr
    }

    /// Returns what GRUB reads of a file, by a path from the top level: of the disk as it is, without anything unmounted.
    pub(super) fn grub_reads(&self, path: &str) -> String {
        run_for(
            Command::new("grub-fstest")
                .arg(self.image())
                .args(["cat", path]),
        )
    }
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

/// Puts netbe and GRUB's programs into a root, with the libraries that they need.
fn install_programs(root: &Path) {
    for command in COMMANDS.split_whitespace() {
        let link = root.join("usr/bin").join(command);
        if link.symlink_metadata().is_err() {
            symlink("busybox", link).unwrap();
        }
    }
    let netbe = assert_cmd::cargo::cargo_bin!("netbe");
    copy(netbe, &root.join("usr/bin/netbe"));
    for program in PROGRAMS.map(Path::new) {
        copy(program, &root.join(program.strip_prefix("/").unwrap()));
    }
    for program in [
        netbe,
        Path::new(PROGRAMS[0]),
        Path::new(PROGRAMS[1]),
        Path::new(PROGRAMS[4]),
        Path::new(PROGRAMS[5]),
    ] {
        for library in run_for(Command::new("ldd").arg(program)).split_whitespace() {
            if let Ok(place) = Path::new(library).strip_prefix("/") {
                copy(Path::new(library), &root.join(place));
            }
        }
    }
    fs::create_dir_all(root.join("usr/share/grub")).unwrap();
    copy(
        Path::new("/usr/share/grub/grub-mkconfig_lib"),
        &root.join("usr/share/grub/grub-mkconfig_lib"),
    );
    copy(
        Path::new("/etc/grub.d/00_header"),
        &root.join("etc/grub.d/00_header"),
    );
    fs::create_dir_all(root.join("boot/grub")).unwrap();
    fs::write(root.join("boot/grub/grub.cfg"), "# not written yet\n").unwrap();
    fs::create_dir_all(root.join("etc/kernel")).unwrap();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    // A link to another program.
    let _ = fs::remove_file(to);
    fs::copy(from, to).unwrap_or_else(|e| panic!("{}: {e}", from.display()));
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).unwrap();
}
