//! `init`: on what a pool is made, and on what it is not.

mod devices;
mod take_over;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Fingerprint, Netbe, Pool, SERVER, install, output, run, seclude, unmount};

/// A directory beside nothing, with what is mounted in it unmounted at the end.
pub(super) struct Place(pub(super) tempfile::TempDir);

impl Place {
    pub(super) fn new() -> Self {
        seclude();
        Self(
            tempfile::Builder::new()
                .prefix("netbe-test-")
                .tempdir()
                .unwrap(),
        )
    }

    pub(super) fn dir(&self) -> PathBuf {
        self.0.path().join("pool")
    }

    pub(super) fn netbe(&self) -> Netbe {
        Netbe::new(&self.dir(), self.0.path())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.dir()).output();
    }
}

pub(super) fn is_mounted(dir: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/thread-self/mounts").unwrap();
    mounts.lines().any(|l| l.split(' ').nth(1) == dir.to_str())
}

#[test]
fn a_file_becomes_a_mounted_pool() {
    let place = Place::new();
    let output = place
        .netbe()
        .run(&format!("init --file 256M --server {SERVER}"));
    assert_eq!(output.status, 0, "{output:#?}");
    let dir = place.dir();
    assert_eq!(
        output.stdout,
        format!(
            "Made a pool in {}. Next, import a system: netbe import debian debian.tar.zst\n",
            dir.display()
        )
    );
    // Without systemd the line for fstab is printed.
    let line = format!(
        "{0}.btrfs {0} btrfs loop,noatime,nosuid,nodev 0 0",
        dir.display()
    );
    assert!(output.stderr.contains(&line), "{output:#?}");
    assert!(is_mounted(&dir));
    let image = dir.with_extension("btrfs").metadata().unwrap();
    assert_eq!(image.len(), 256 << 20);
    assert_eq!(place.netbe().ok("list -H"), "");
    let again = place.netbe().ok("init --file 256M");
    assert_eq!(again, format!("{} is already a pool.\n", dir.display()));
    // Not mounted, it is not made anew over its own image.
    unmount(&dir);
    let output = place.netbe().fails(3, "init --file 256M");
    assert!(
        output.contains("already exists") && output.contains("hint: mount -o loop"),
        "{output}"
    );
    let output = place.netbe().fails(4, "list");
    assert!(output.contains("mount it"), "{output}");
    run(Command::new("mount")
        .args(["-o", "loop"])
        .arg(dir.with_extension("btrfs"))
        .arg(&dir));
    place.netbe().ok("check nothing --help");
    assert_eq!(place.netbe().ok("list -H"), "");
}

#[test]
fn with_systemd_the_mount_is_a_unit() {
    let place = Place::new();
    fs::create_dir("/run/systemd/system").unwrap();
    let bin = place.0.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let text = place.0.path().join("systemctl");
    fs::write(&text, "#!/bin/sh\necho \"$@\" >> \"${0%/*}/said\"\n").unwrap();
    install(&text, &bin.join("systemctl"));
    let said = place
        .netbe()
        .plain()
        .args(["init", "--file", "256M", "--server", SERVER])
        .env(
            "PATH",
            format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", bin.display()),
        )
        .output()
        .unwrap();
    assert!(
        said.status.success(),
        "{}",
        String::from_utf8_lossy(&said.stderr)
    );
    let escaped = output(
        Command::new("systemd-escape")
            .args(["--path", "--suffix=mount"])
            .arg(place.dir()),
    );
    let name = String::from_utf8(escaped).unwrap().trim().to_string();
    let unit = fs::read_to_string(Path::new("/etc/systemd/system").join(&name)).unwrap();
    for line in [
        format!("What={}.btrfs", place.dir().display()),
        format!("Where={}", place.dir().display()),
        "Type=btrfs".to_string(),
        "Options=loop,noatime,nosuid,nodev".to_string(),
        "WantedBy=local-fs.target".to_string(),
    ] {
        assert!(unit.lines().any(|l| l == line), "{line}: {unit}");
    }
    let wanted = Path::new("/etc/systemd/system/local-fs.target.wants").join(&name);
    assert!(wanted.exists(), "{}", wanted.display());
    assert_eq!(
        fs::read_to_string(bin.join("said")).unwrap(),
        "daemon-reload\n"
    );
    // The comment of the mount unit is systemd's to judge.
    if let Ok(judged) = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(Path::new("/etc/systemd/system").join(&name))
        .output()
    {
        let words = String::from_utf8_lossy(&judged.stderr).into_owned();
        assert!(
            !words.contains("Unknown") && !words.contains("Invalid"),
            "{words}"
        );
    }
}

#[test]
fn a_directory_on_btrfs_is_used_as_it_is() {
    let pool = Pool::bare(256 << 20);
    let dir = pool.at("deep/er");
    let netbe = Netbe::new(&dir, pool.beside());
    fs::write(pool.at("mine"), "x").unwrap();
    assert_eq!(
        netbe.ok("init"),
        format!(
            "Made a pool in {}. Next, import a system: netbe import debian debian.tar.zst\n",
            dir.display()
        )
    );
    assert_eq!(netbe.ok("list -H"), "");
    assert_eq!(netbe.ok("check"), "Everything is sound.\n");
    assert!(pool.at("mine").exists());
    let before = Fingerprint::of(pool.path());
    assert!(netbe.ok("init").contains("is already a pool"));
    before.assert_unchanged(&Fingerprint::of(pool.path()));
    // The operand goes before the pool of the environment.
    let other = pool.at("other");
    netbe.ok(&format!("init {} --server {SERVER}", other.display()));
    assert!(other.join("pool.json").exists());
}

#[test]
fn half_a_pool_is_not_taken_for_an_empty_directory() {
    let pool = Pool::bare(256 << 20);
    for part in ["nodes", "tftp", "publish"] {
        let part_dir = pool.path().join(part);
        fs::create_dir(&part_dir).unwrap();
        pool.refuses(3, "init", &[part, "restore pool.json"]);
        fs::remove_dir(&part_dir).unwrap();
    }
    fs::create_dir(pool.at("something-else")).unwrap();
    pool.netbe().ok("init");
}

#[test]
fn a_dry_run_prints_the_steps_and_makes_no_files() {
    let place = Place::new();
    let plan = place.netbe().ok("init --file 256M -n");
    let dir = place.dir();
    assert_eq!(
        plan,
        format!(
            "would make {0}.btrfs of 256.0 MiB (268435456 bytes)\nwould mount {0}.btrfs at {0}\nwould make the mount permanent\n\
             would lay out a pool in {0}\n",
            dir.display()
        )
    );
    assert!(!dir.exists() && !dir.with_extension("btrfs").exists());
}

#[test]
fn a_failed_init_is_undone() {
    let place = Place::new();
    let bin = place.0.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let init = |options: &[&str], path: &str| {
        let mut netbe = place.netbe().plain();
        netbe.args(["init", "deep/er", "--file", "256M", "--server", SERVER]);
        let output = netbe
            .args(options)
            .current_dir(place.0.path())
            .env("PATH", path);
        let output = output.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:#?}");
        let left: Vec<PathBuf> = fs::read_dir(place.0.path())
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|p| !["bin", "state"].iter().any(|known| p.ends_with(known)))
            .collect();
        assert_eq!(left, Vec::<PathBuf>::new());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    // Before anything is begun, and in a dry run too, the package is named.
    let path = bin.display().to_string();
    let missing = init(&[], &path);
    assert_eq!(init(&["-n"], &path), missing);
    let says = "error: mkfs.btrfs is not installed\nhint: ";
    assert!(missing.starts_with(says), "{missing}");
    assert!(missing.contains("btrfs"), "{missing}");
    // One that fails once the image is formatted.
    let text = place.0.path().join("bin/text");
    fs::write(&text, "#!/bin/sh\necho no loop device >&2; exit 32\n").unwrap();
    install(&text, &bin.join("mount"));
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", bin.display());
    let output = init(&[], &path);
    assert!(output.contains("mount: no loop device"), "{output}");
    // One that fails once it is mounted.
    let before = crate::support::mounts();
    let output = init(&["--state", "/proc/none"], "/usr/sbin:/usr/bin:/sbin:/bin");
    assert!(output.contains("making the pool in "), "{output}");
    assert_eq!(crate::support::mounts(), before);
}

#[test]
fn a_dry_run_on_a_pool_does_not_change_it() {
    let pool = Pool::with_template();
    let nodes = pool.at("nodes");
    fs::set_permissions(&nodes, Permissions::from_mode(0o755)).unwrap();
    let line = format!("init --server 192.0.2.9 {}", pool.path().display());
    let plan = pool.plans(&line);
    assert!(plan.contains("would close "), "{plan}");
    assert!(plan.contains("would set server=192.0.2.9"), "{plan}");
    let done = pool.netbe().run(&line);
    assert!(
        done.stderr
            .contains("note: server=192.0.2.9 is set on the pool now\n"),
        "{done:#?}"
    );
    assert_eq!(
        pool.netbe().ok("get -H server").split('\t').nth(2),
        Some("192.0.2.9")
    );
    assert_eq!(nodes.metadata().unwrap().permissions().mode() & 0o007, 0);
    assert_eq!(pool.plans(&line), "");
}
