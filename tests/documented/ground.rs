//! Where a documented command runs: a machine of its own, as far as mounts, network and files go.
//!
//! A worker has a network of its own with the addresses that the documents use; each command has mounts of its own: a pool at
//! `/srv/netbe`, in the image file beside it, and what it writes elsewhere goes to memory. Not for what is on the pool: see
//! `scenes.rs`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::mount::{MntFlags, umount2};

use super::scenes::Scene;
use super::support::{self, Outcome, System, run, seclude};
use super::surroundings::{copy, lay_over, memory, network, system};

/// What is written to, though it is the machine's: what is there is seen, and what is written goes to memory.
const LAID_OVER: [&str; 3] = ["/etc", "/usr/local", "/usr/share"];
/// What is empty at first.
const EMPTY: [&str; 5] = [
    "/srv",
    "/mnt",
    "/etc/exports.d",
    "/etc/dnsmasq.d",
    "/etc/systemd/system",
];
/// Where the state directories of pools are.
const STATES: &str = "/var/lib/netbe";
/// What netbe keeps outside of the pool, and a scene therefore has copies of.
const KEPT: [&str; 5] = [
    STATES,
    "/var/lib/nfs",
    "/etc/exports.d",
    "/etc/dnsmasq.d",
    "/etc/systemd/system",
];
/// A stream on a stick.
const STREAM: &str = "/mnt/usb/nog-a.netbe";
/// What documents run that this machine cannot have: each does what the real one would lead to.
const STAND_INS: [(&str, &str); 4] = [
    ("sudo", "exec \"$@\""),
    ("vi", "test -f \"$1\""),
    (
        "ssh",
        "shift\nNETBE_POOL=/srv/other NETBE_STATE=/srv/other-state exec \"$@\"",
    ),
    ("mmdebstrap", "exec zstd -dc \"$HOME/debian.tar.zst\""),
];

/// What all scenes are made of; taken away when dropped.
#[derive(Debug)]
pub(crate) struct Ground {
    directory: tempfile::TempDir,
}

impl Ground {
    /// Makes the systems and the programs, and prepares each scene in turn.
    pub(crate) fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() {
            memory.to_path_buf()
        } else {
            std::env::temp_dir()
        };
        let directory = tempfile::Builder::new()
            .prefix("netbe-documented-")
            .tempdir_in(place);
        let ground = Self {
            directory: directory.expect("a temporary directory can be made"),
        };
        fs::create_dir(ground.at("bin")).unwrap();
        for (name, script) in STAND_INS {
            let made = ground.at("script");
            fs::write(&made, format!("#!/bin/sh\n{script}\n")).unwrap();
            support::install(&made, &ground.at("bin").join(name));
        }
        std::os::unix::fs::symlink(
            assert_cmd::cargo::cargo_bin!("netbe"),
            ground.at("bin/netbe"),
        )
        .unwrap();
        ground.home();
        std::thread::scope(|scope| {
            let made = scope.spawn(|| {
                network();
                for scene in Scene::ALL {
                    // Each in a thread of its own: mounts end with it.
                    std::thread::scope(|scope| scope.spawn(|| ground.prepare(scene)).join())
                        .unwrap();
                }
            });
            made.join().unwrap();
        });
        ground
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Makes the directory that commands run in.
    fn home(&self) {
        let home = self.at("home");
        let debian = self.at("debian");
        system().build(&debian);
        fs::create_dir(&home).unwrap();
        let pack = |from: &Path, option: &str, name: &str| {
            run(Command::new("tar")
                .arg("-C")
                .arg(from)
                .args([option, "-cf"])
                .arg(home.join(name))
                .arg("."));
        };
        pack(&debian, "--zstd", "debian.tar.zst");
        let card = self.at("raspberry");
        System::raspberry_pi().build(&card);
        // Archives by the names of images: the kind is recognised by content. Real images are the business of tests/import.
        for name in [
            "2026-10-01-raspios-trixie-arm64-lite.img.xz",
            "2026-10-01-raspios-lite-arm64.img.xz",
        ] {
            pack(&card, "--xz", name);
        }
        let top = Path::new(env!("CARGO_MANIFEST_DIR"));
        for name in ["man", "completions", "scripts"] {
            std::os::unix::fs::symlink(top.join(name), home.join(name)).unwrap();
        }
        copy(&debian, &home.join("trixie"));
        fs::create_dir_all(home.join("target/release")).unwrap();
        std::os::unix::fs::symlink(self.at("bin/netbe"), home.join("target/release/netbe"))
            .unwrap();
    }

    /// Makes a scene: the image of its pool, and what belongs to it elsewhere.
    fn prepare(&self, scene: Scene) {
        self.seclude();
        if let Some(before) = scene.before() {
            self.put(before, self.directory.path());
        }
        let made = self.shell(scene.made(), "! test -d /srv/netbe || umount /srv/netbe");
        assert_eq!(made.status, 0, "preparing {scene:?}: {made:#?}");
        let to = self.at(&format!("{scene:?}"));
        fs::create_dir(&to).unwrap();
        let image = Path::new("/srv/netbe.btrfs");
        if image.exists() {
            let _ = umount2("/srv/netbe", MntFlags::MNT_DETACH);
            let used = || support::output(Command::new("losetup").arg("-j").arg(image));
            support::wait_until("the pool is unmounted", || used().is_empty());
            copy(image, &to.join("image"));
        }
        for (number, kept) in KEPT.iter().enumerate() {
            copy(Path::new(kept), &to.join(number.to_string()));
        }
        if Path::new(STREAM).exists() {
            copy(Path::new(STREAM), &self.at("stick"));
        }
    }

    /// Makes what one worker copies for each command: the scenes, each pool with a UUID of its own, as two filesystems with
    /// the same cannot be mounted at once.
    pub(crate) fn of_worker(&self, number: usize) -> PathBuf {
        let own = self.at(&format!("worker-{number}"));
        fs::create_dir(&own).unwrap();
        for scene in Scene::ALL {
            let name = format!("{scene:?}");
            copy(&self.at(&name), &own.join(&name));
            let image = own.join(&name).join("image");
            if !image.exists() {
                continue;
            }
            let uuid = |image: &Path| {
                let said = support::output(
                    Command::new("blkid")
                        .args(["-p", "-s", "UUID", "-o", "value"])
                        .arg(image),
                );
                String::from_utf8(said).unwrap().trim().to_string()
            };
            let before = uuid(&image);
            run(Command::new("btrfstune").args(["-f", "-u"]).arg(&image));
            let after = uuid(&image);
            fs::write(own.join(&name).join("uuid"), &after).unwrap();
            let edit = format!("s/{before}/{after}/g");
            for state in fs::read_dir(own.join(&name).join("0")).unwrap() {
                let place = state.unwrap().path().join("place.json");
                if place.exists() {
                    run(Command::new("sed").args(["-i", &edit]).arg(place));
                }
            }
        }
        own
    }

    /// Runs a command line as a person does who has typed it there; `scenes` are the worker's own.
    ///
    /// `before` is done first, and must succeed.
    pub(crate) fn outcome(&self, scenes: &Path, scene: Scene, before: &str, line: &str) -> Outcome {
        std::thread::scope(|scope| {
            let ran = scope.spawn(|| {
                self.seclude();
                self.put(scene, scenes);
                let ran = self.shell(before, line);
                let _ = umount2("/srv/netbe", MntFlags::MNT_DETACH);
                ran
            });
            let ran = ran.join().unwrap();
            // The next copy is the same filesystem again, which the kernel has once.
            if let Ok(uuid) = fs::read_to_string(scenes.join(format!("{scene:?}/uuid"))) {
                let known = Path::new("/sys/fs/btrfs").join(uuid);
                support::wait_until("the kernel has let go of the pool", || !known.exists());
            }
            if line.contains("btrfs ") {
                // It also remembers the devices that a filesystem had.
                run(Command::new("btrfs").args(["device", "scan", "--forget"]));
            }
            ran
        })
    }

    fn seclude(&self) {
        seclude();
        for place in LAID_OVER.map(Path::new) {
            lay_over(place, place);
        }
        lay_over(&self.at("home"), Path::new("/root"));
        for place in EMPTY {
            memory(Path::new(place));
        }
        fs::create_dir("/mnt/usb").unwrap();
        if self.at("stick").exists() {
            // What a later day wrote to it is at hand on each.
            copy(&self.at("stick"), Path::new(STREAM));
        }
    }

    /// Puts a scene in place.
    fn put(&self, scene: Scene, scenes: &Path) {
        let from = scenes.join(format!("{scene:?}"));
        for (number, kept) in KEPT.iter().enumerate() {
            copy(&from.join(number.to_string()).join("."), Path::new(kept));
        }
        if !from.join("image").exists() {
            return;
        }
        fs::create_dir("/srv/netbe").unwrap();
        copy(&from.join("image"), Path::new("/srv/netbe.btrfs"));
        run(Command::new("mount").args([
            "-o",
            "loop,noatime,nosuid,nodev",
            "/srv/netbe.btrfs",
            "/srv/netbe",
        ]));
    }

    /// Runs a line in a shell without a terminal, after others that must succeed.
    ///
    /// What it mounts and starts ends with it, and it sees no other processes: those of other workers have paths of the same
    /// names in use.
    fn shell(&self, before: &str, line: &str) -> Outcome {
        support::wait_for_forks();
        let path = format!(
            "{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            self.at("bin").display()
        );
        let ran = Command::new("timeout")
            .args([
                "--kill-after=5",
                "60",
                "unshare",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
            ])
            .args(["bash", "-c", IN_TURN, "bash", before, line])
            .env_clear()
            .envs([
                ("PATH", path.as_str()),
                ("HOME", "/root"),
                ("LANG", "C.UTF-8"),
                ("TZ", "UTC"),
                ("COLUMNS", "100"),
            ])
            .env("NETBE_TEST_NFSD", self.at("nfsd"))
            .current_dir("/root")
            .stdin(Stdio::null())
            .output();
        ran.expect("bash can be run").into()
    }
}

/// Runs its first argument, and then its second.
const IN_TURN: &str = "
said=$(bash -eu -c \"$1\" 2>&1) || { echo \"what is to be done before: $said\" >&2; exit 99; }
bash -o pipefail -c \"$2\"
status=$?
! test -e /run/netbe/disk || losetup -d \"$(cat /run/netbe/disk)\"
exit $status
";
