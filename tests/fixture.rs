//! The ground the other tests stand on: does it hold?

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use support::{Fingerprint, Pool, System, kernel, seclude};

/// Returns the mount table as the first process sees it, which is that of the machine.
fn machine_mounts() -> String {
    fs::read_to_string("/proc/1/mounts").expect("root may read it")
}

#[test]
fn a_pool_is_seen_by_its_test_and_its_children_only() {
    let pool = Pool::bare(128 << 20);
    let child = Command::new("stat")
        .args(["-f", "-c", "%T"])
        .arg(pool.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&child.stdout).trim(), "btrfs");
    assert!(!machine_mounts().contains(pool.path().to_str().unwrap()));
    let path = pool.path().to_path_buf();
    let elsewhere = std::thread::spawn(move || Pool::bare(128 << 20).path() == path);
    assert!(!elsewhere.join().unwrap());
}

#[test]
fn files_written_outside_a_pool_stay_in_the_test() {
    seclude();
    fs::write("/etc/exports.d/netbe.exports", "/nowhere 192.0.2.2(ro)\n").unwrap();
    fs::write("/etc/systemd/system/srv-netbe.mount", "[Mount]\n").unwrap();
    fs::write("/var/lib/nfs/etab", "").unwrap();
    assert!(!Path::new("/run/systemd/system").exists());
    let outside = |path: &str| Path::new("/proc/1/root").join(path.trim_start_matches('/'));
    assert!(!outside("/etc/exports.d/netbe.exports").exists());
    assert!(!outside("/etc/systemd/system/srv-netbe.mount").exists());
}

#[test]
fn a_process_started_by_another_thread_does_not_hold_closed_files() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    let file = fs::File::open(pool.half("nog/b", "root").join("etc/hostname")).unwrap();
    let (mut begun, begins) = std::io::pipe().unwrap();
    let slow = std::thread::spawn(move || start_slowly(begins));
    std::io::Read::read_exact(&mut begun, &mut [0]).unwrap();
    drop(file);
    pool.netbe().ok("destroy -y nog/b");
    slow.join().unwrap();
}

/// Runs a program that begins a second after its fork, which says that it is there.
#[allow(unsafe_code, clippy::unwrap_used)]
fn start_slowly(mut begins: std::io::PipeWriter) {
    let mut command = Command::new("true");
    let slowly = move || {
        std::io::Write::write_all(&mut begins, b".")?;
        std::thread::sleep(std::time::Duration::from_secs(1));
        Ok(())
    };
    // SAFETY: what runs in the fork writes to a pipe and sleeps, by one system call each, and allocates nothing.
    unsafe { std::os::unix::process::CommandExt::pre_exec(&mut command, slowly) };
    assert!(command.status().unwrap().success());
}

#[test]
fn the_name_server_is_still_known() {
    let before = fs::read("/etc/resolv.conf").ok();
    seclude();
    assert_eq!(fs::read("/etc/resolv.conf").ok(), before);
}

#[test]
fn a_debian_runs_its_shell() {
    support::require_root();
    let directory = tempfile::tempdir().unwrap();
    System::debian().build(directory.path());
    let output = Command::new("chroot")
        .arg(directory.path())
        .args([
            "/bin/sh",
            "-c",
            ". /etc/os-release; echo $ID; ls /lib/modules; cat /boot/vmlinuz-* | grep -c HdrS",
        ])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "debian\n6.1.0-50-amd64\n1\n"
    );
}

#[test]
fn another_kernel_takes_the_place_of_the_first() {
    let system = System::debian().kernel("6.12.1-amd64");
    assert_eq!(system.version(), "6.12.1-amd64");
    let directory = tempfile::tempdir().unwrap();
    system.build(directory.path());
    let names = |path: &str| {
        let mut names: Vec<_> = fs::read_dir(directory.path().join(path))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with("config-"))
            .collect();
        names.sort();
        names
    };
    assert_eq!(
        names("boot"),
        ["initrd.img-6.12.1-amd64", "vmlinuz-6.12.1-amd64"]
    );
    assert_eq!(names("lib/modules"), ["6.12.1-amd64"]);
}

#[test]
fn kernels_have_their_version_where_file_1_looks() {
    let image = kernel::bzimage("6.1.0-50-amd64");
    let at = usize::from(u16::from_le_bytes([image[0x20e], image[0x20f]])) + 0x200;
    assert!(image[at..].starts_with(b"6.1.0-50-amd64 "));
    assert!(at < (usize::from(image[0x1f1]) + 1) * 512);
    assert_eq!(&kernel::arm64_gzip("6.6.31")[..2], b"\x1f\x8b");
    assert_eq!(&kernel::arm64_zboot("6.6.31")[4..8], b"zimg");
}

#[test]
fn a_fingerprint_sees_content_mode_attributes_and_links() {
    let directory = tempfile::tempdir().unwrap();
    System::raspberry_pi().build(directory.path());
    let before = Fingerprint::of(directory.path());
    before.assert_unchanged(&Fingerprint::of(directory.path()));
    let path = |name: &str| directory.path().join(name);

    fs::write(path("etc/hostname"), "raspberrypj\n").unwrap();
    xattr::set(path("etc/hosts"), "user.note", b"x").unwrap();
    fs::hard_link(path("etc/fstab"), path("etc/fstab2")).unwrap();
    fs::remove_file(path("bin")).unwrap();
    let changes = before.changes(&Fingerprint::of(directory.path()));
    let touched: Vec<_> = changes
        .iter()
        .map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        touched,
        [
            "- bin",
            "- etc/fstab",
            "+ etc/fstab",
            "+ etc/fstab2",
            "- etc/hostname",
            "+ etc/hostname",
            "- etc/hosts",
            "+ etc/hosts"
        ]
    );
}
