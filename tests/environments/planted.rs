//! Hostile files of a node wherever netbe reads: devices, trees deeper than any path, subvolumes at their ends.

use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use nix::fcntl::{OFlag, openat};
use nix::libc;
use nix::sys::stat::{Mode, mkdirat};

use crate::support::{PATIENCE, Pool, System, run, unmount};

/// What opened files tells, by the kernel's inotify(7).
struct Opened(OwnedFd);

impl Opened {
    /// Watches what stands at a path.
    #[allow(unsafe_code)]
    fn watch(path: &Path) -> Self {
        let name = std::ffi::CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: the call takes numbers only, and its descriptor is nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(libc::inotify_init1(libc::IN_NONBLOCK)) };
        // SAFETY: the name ends with a zero and lives for the call's time.
        let watch =
            unsafe { libc::inotify_add_watch(fd.as_raw_fd(), name.as_ptr(), libc::IN_OPEN) };
        assert!(watch >= 0, "{}", path.display());
        Self(fd)
    }

    /// Returns whether anybody has opened it.
    fn was_opened(&self) -> bool {
        nix::unistd::read(&self.0, &mut [0; 4096]).is_ok_and(|n| n > 0)
    }
}

/// Puts a pipe, a device or a socket where something stood.
fn plant(at: &Path, kind: &[&str]) {
    let _ = fs::remove_file(at);
    fs::create_dir_all(at.parent().unwrap()).unwrap();
    run(Command::new("mknod").arg(at).args(kind));
}

#[test]
fn invariant_5_no_device_and_no_pipe_is_opened() {
    let pool = Pool::with_template_of(&System::debian());
    pool.netbe().ok("create nog/a");
    pool.netbe().ok("create nog/c");
    for (half, path) in [
        ("root", "var/lib/netbe/booted"),
        ("root", "etc/hostname"),
        ("root", "etc/hosts"),
        ("root", "etc/machine-id"),
        ("root", "etc/fstab"),
        ("root", "etc/os-release"),
        ("root", "etc/iscsi/initiatorname.iscsi"),
        ("root", "etc/ssh/ssh_host_ed25519_key"),
        ("root", "var/lib/dpkg/status"),
        ("root", "var/lib/rpm/Packages"),
        ("root", "usr/lib/sysimage/rpm/rpmdb.sqlite"),
        ("root", "lib/apk/db/installed"),
        ("root", "bin/sh"),
        ("boot", "pxelinux.cfg/default"),
        ("boot", "cmdline.txt"),
        ("boot", "config.txt"),
    ] {
        for kind in [&["p"][..], &["c", "1", "3"]] {
            pool.netbe().ok("create nog/b --from nog/c");
            let at = pool.half("nog/b", half).join(path);
            plant(&at, kind);
            let opened = Opened::watch(&at);
            for line in [
                "list",
                "list --json",
                "status nog",
                "check",
                "diff nog/a nog/b",
                "create ordo/x --from nog/b",
                "create nog/d --from nog/b",
                "activate nog/b",
                "upgrade nog/b --name u -- true",
                "rename nog/b e",
            ] {
                let mut command = pool.netbe().command();
                let line: Vec<&str> = line.split_whitespace().collect();
                let output = command.args(&line).timeout(PATIENCE);
                let output = output.output().unwrap();
                assert!(output.status.code().is_some(), "{path}: {line:?} hangs");
                assert!(
                    !opened.was_opened(),
                    "{half}/{path}: {line:?} opens {kind:?}"
                );
            }
            pool.netbe().ok("activate nog/a");
            for env in pool.names("nog") {
                if env != "a" && env != "c" {
                    pool.netbe().ok(&format!("destroy -y nog/{env}"));
                }
            }
            if pool.at("nodes/ordo").exists() {
                pool.netbe().ok("destroy -y -r ordo");
            }
        }
    }
}

/// How a directory is opened; what another test starts meanwhile does not keep it.
const DIRECTORY: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_CLOEXEC);

/// Makes a chain of directories, and returns the innermost, open.
fn deep(top: &Path, depth: usize, length: usize) -> OwnedFd {
    let name = "d".repeat(length);
    let mut at = nix::fcntl::open(top, DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..depth {
        mkdirat(&at, name.as_str(), Mode::S_IRWXU).unwrap();
        at = openat(&at, name.as_str(), DIRECTORY, Mode::empty()).unwrap();
    }
    at
}

/// Makes a subvolume in an open directory.
fn subvolume(at: &OwnedFd, name: &str) {
    let place = format!("/proc/{}/fd/{}/{name}", std::process::id(), at.as_raw_fd());
    run(Command::new("btrfs").args(["-q", "subvolume", "create", &place]));
}

/// Leaves a stage behind as a killed command does, with subvolumes at the end of the path in it.
fn leave_deep(pool: &Pool, path: &str) {
    fs::create_dir_all(pool.at(path)).unwrap();
    pool.subvolume(&format!("{path}/root"));
    let at = deep(&pool.at(&format!("{path}/root")), 20, 250);
    subvolume(&at, "s0");
    subvolume(&at, "s1");
    // Another as deep in one of them.
    let inner = openat(&at, "s0", DIRECTORY, Mode::empty()).unwrap();
    let place = format!("/proc/{}/fd/{}", std::process::id(), inner.as_raw_fd());
    let at = deep(Path::new(&place), 20, 250);
    subvolume(&at, "s2");
    // One that nothing can be changed in, with one in it.
    pool.subvolume(&format!("{path}/root/shut"));
    pool.subvolume(&format!("{path}/root/shut/inner"));
    let shut = pool.at(&format!("{path}/root/shut"));
    let mut shuts = Command::new("btrfs");
    run(shuts
        .args(["property", "set"])
        .arg(shut)
        .args(["ro", "true"]));
}

#[test]
fn subvolumes_deeper_than_any_path_are_removed() {
    let pool = Pool::with_node();
    let before = pool.subvolumes();
    leave_deep(&pool, "nodes/nog/.staged-b-64c0ffee1");
    let output = pool.netbe().run("check --repair");
    assert_eq!(output.status, 0, "{output:#?}");
    pool.assert_sound();
    run(Command::new("btrfs")
        .args(["filesystem", "sync"])
        .arg(pool.path()));
    assert_eq!(pool.subvolumes(), before);
}

#[test]
fn subvolumes_deeper_than_any_path_are_carried_along_and_destroyed() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    let at = deep(&pool.half("nog/b", "root"), 20, 250);
    subvolume(&at, "s");
    let inner = openat(&at, "s", DIRECTORY, Mode::empty()).unwrap();
    let file = openat(
        &inner,
        "file",
        OFlag::O_CREAT | OFlag::O_WRONLY | OFlag::O_CLOEXEC,
        Mode::S_IRWXU,
    )
    .unwrap();
    nix::unistd::write(&file, b"content").unwrap();
    drop(file);
    let output = pool.netbe().run("check");
    assert!(output.stdout.contains("nested subvolume"), "{output:#?}");
    let output = pool.netbe().run("clone nog/b nog/c");
    assert_eq!(output.status, 0, "{output:#?}");
    assert!(
        output.stderr.contains("is a nested subvolume of"),
        "{output:#?}"
    );
    let found = Command::new("find")
        .arg(pool.half("nog/c", "root"))
        .args(["-name", "file"])
        .output();
    assert!(String::from_utf8_lossy(&found.unwrap().stdout).contains("/s/file"));
    for env in ["b", "c"] {
        pool.netbe().ok(&format!("destroy -y nog/{env}"));
    }
    pool.assert_sound();
}

#[test]
fn plain_directories_deeper_than_any_path_are_removed() {
    let pool = Pool::with_node();
    // As what is downloaded lies in: a stage that is no subvolume.
    for (stage, depth, length) in [("packages", 3000, 250), ("many", 20_000, 1)] {
        let stage = pool.at(&format!("nodes/nog/.staged-{stage}-64c0ffee1"));
        fs::create_dir(&stage).unwrap();
        deep(&stage, depth, length);
    }
    let output = pool.netbe().run("check --repair");
    assert_eq!(output.status, 0, "{output:#?}");
    pool.assert_sound();
}

#[test]
fn immutable_leftovers_are_removed() {
    let pool = Pool::with_node();
    let stage = pool.at("nodes/nog/.staged-b-64c0ffee1");
    fs::create_dir_all(stage.join("plain/below")).unwrap();
    pool.subvolume("nodes/nog/.staged-b-64c0ffee1/root");
    fs::write(stage.join("plain/below/file"), "").unwrap();
    for path in ["plain/below/file", "plain/below", "plain", "root"] {
        run(Command::new("chattr").arg("+i").arg(stage.join(path)));
    }
    let output = pool.netbe().run("check --repair");
    assert_eq!(output.status, 0, "{output:#?}");
    pool.assert_sound();
}

#[test]
fn repair_goes_on_after_a_failure_and_reports_it() {
    let pool = Pool::with_node();
    for name in ["b", "c", "d"] {
        fs::create_dir_all(pool.at(&format!("nodes/nog/.staged-{name}-64c0ffee1/x"))).unwrap();
    }
    let busy = pool.at("nodes/nog/.staged-c-64c0ffee1/x");
    run(Command::new("mount").args(["-t", "tmpfs", "x"]).arg(&busy));
    fs::write(busy.join("kept"), "").unwrap();
    fs::write(pool.at("nodes/nog/.staged-c-64c0ffee1/y"), "").unwrap();
    let output = pool.netbe().run("check --repair");
    assert_eq!(output.status, 1, "{output:#?}");
    assert!(
        output.stdout.contains("staged-b") && output.stdout.contains("staged-d"),
        "{output:#?}"
    );
    assert!(
        output.stderr.contains("error: ") && output.stderr.contains("staged-c"),
        "{output:#?}"
    );
    assert!(busy.join("kept").exists(), "what is mounted was emptied");
    assert!(
        !pool.at("nodes/nog/.staged-c-64c0ffee1/y").exists(),
        "given up half-way"
    );
    for name in ["b", "d"] {
        assert!(
            !pool
                .at(&format!("nodes/nog/.staged-{name}-64c0ffee1"))
                .exists(),
            "{name}"
        );
    }
    unmount(&busy);
    pool.netbe().ok("check --repair");
}

#[test]
fn trees_too_deep_for_a_path_are_compared_as_far_as_paths_go() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    deep(&pool.half("nog/b", "root"), 20_000, 1);
    for line in ["diff --files nog/a nog/b", "diff --json nog/a nog/b"] {
        let begun = Instant::now();
        let output = pool.netbe().run(line);
        assert_eq!(output.status, 0, "{:?}", output.stderr);
        assert!(
            output.stderr.contains("longer than PATH_MAX"),
            "{:?}",
            output.stderr
        );
        assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    }
}
