//! Masks, run as programs in a directory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::*;

/// Runs a mask with a program that stands for the environment's own; returns its status and what both said.
fn run(dir: &Path, name: &str, arguments: &str) -> (i32, String) {
    let own = dir.join("own");
    fs::create_dir_all(&own).unwrap();
    let put = |path: &Path, text: &str| {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let says = match name {
        "uname" => {
            "#!/bin/sh\ncase $1 in -r) echo 9.9-server ;; -a) echo Linux nog 9.9-server x86_64 ;; *) echo other ;; esac\n"
        }
        _ => "#!/bin/sh\necho \"own $*\"\n",
    };
    put(&own.join(name), says);
    let mask = MASKS.iter().find(|m| m.name == name).unwrap();
    let path = dir.join("mask");
    let text = mask
        .text()
        .replace("/usr/local/sbin", own.to_str().unwrap())
        .replace("/run/netbe/bin/uname -r", "echo 6.1.0-50")
        .replace("/proc/self/mountinfo", dir.join("seen").to_str().unwrap())
        .replace("/run/netbe/mountinfo", dir.join("told").to_str().unwrap())
        .replace("/lib/modules", dir.join("modules").to_str().unwrap());
    put(&path, &text);
    // A shell that reads it: another test may be forking while it was open for writing.
    let out = Command::new("/bin/sh")
        .arg(&path)
        .args(arguments.split_whitespace())
        .output()
        .unwrap();
    let said = String::from_utf8(out.stdout).unwrap();
    (out.status.code().unwrap(), said.trim().replace('\n', "; "))
}

#[test]
fn each_answers_as_on_a_machine_that_boots_over_the_network() {
    let dir = tempfile::tempdir().unwrap();
    for version in ["6.1.0-9", "6.1.0-50", "left/over"] {
        let path = dir.path().join("modules").join(version);
        fs::create_dir_all(path).unwrap();
    }
    for version in ["6.1.0-9", "6.1.0-50"] {
        fs::create_dir(dir.path().join("modules").join(version).join("kernel")).unwrap();
    }
    for (name, arguments, want) in [
        ("update-grub", "", ""),
        ("grub-install", "/dev/sda", ""),
        ("grub-probe", "--target=device /", ""),
        ("os-prober", "", ""),
        ("df", "--output=avail /boot", "own --output=avail /boot"),
        ("findmnt", "-s -n", "own -s -n"),
        ("mount", "-t nfs a b", "own -t nfs a b"),
        ("service", "ssh start", ""),
        ("modprobe", "nfs", ""),
        ("modprobe", "-q nfs", ""),
        ("modprobe", "--quiet nfs", ""),
        (
            "modprobe",
            "--set-version=6.1 --show-depends nfs",
            "own --set-version=6.1 --show-depends nfs",
        ),
        ("modprobe", "-nq nfs", "own -S 6.1.0-50 -nq nfs"),
        ("modprobe", "-S 6.1 -R nfs", "own -S 6.1 -R nfs"),
        ("modinfo", "-n nfs", "own -k 6.1.0-50 -n nfs"),
        ("modinfo", "-k 6.1 nfs", "own -k 6.1 nfs"),
        ("insmod", "x.ko", ""),
        ("depmod", "", "own 6.1.0-50; own 6.1.0-9"),
        ("depmod", "-a", "own -a 6.1.0-50; own -a 6.1.0-9"),
        ("depmod", "-a 6.1.0-9", "own -a 6.1.0-9"),
        (
            "depmod",
            "-a -F /boot/System.map 6.1.0-9",
            "own -a -F /boot/System.map 6.1.0-9",
        ),
        ("sysctl", "-p", ""),
        ("sysctl", "--system", ""),
        ("sysctl", "-q kernel.x=1", ""),
        ("sysctl", "-n kernel.osrelease", "own -n kernel.osrelease"),
        ("udevadm", "trigger --action=add", ""),
        ("udevadm", "--quiet settle", ""),
        ("udevadm", "hwdb --update", "own hwdb --update"),
        ("uname", "-r", "6.1.0-50"),
        ("uname", "-a", "Linux nog 6.1.0-50 x86_64"),
        ("uname", "-m", "other"),
    ] {
        assert_eq!(
            run(dir.path(), name, arguments),
            (0, want.to_string()),
            "{name} {arguments}"
        );
    }
    fs::create_dir_all(dir.path().join("modules/9.9-server")).unwrap();
    assert_eq!(run(dir.path(), "uname", "-r").1, "9.9-server");
}

#[test]
fn both_halves_are_mounted_by_nfs() {
    let dir = tempfile::tempdir().unwrap();
    let seen = "27 1 0:31 /nodes/nog/envs/a/root / rw,nosuid - btrfs /dev/sda1 rw,subvol=/x\n\
                28 27 0:31 /nodes/nog/envs/a/boot /boot rw - btrfs /dev/sda1 rw\n29 27 0:4 / /proc ro - proc proc rw\n";
    let told = "27 1 0:999 / / rw,nosuid - nfs server:/ rw\n\
                28 27 0:999 / /boot rw - nfs server:/boot rw\n29 27 0:4 / /proc ro - proc proc rw\n";
    let file = dir.path().join("told");
    fs::write(dir.path().join("seen"), seen).unwrap();
    let want = format!("own -F {} -no SOURCE /", file.display());
    assert_eq!(run(dir.path(), "findmnt", "-no SOURCE /"), (0, want));
    assert_eq!(fs::read_to_string(file).unwrap(), told);
}

#[test]
fn a_free_space_table_names_no_device_of_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let seen = "27 1 0:31 /nodes/nog/envs/a/root / rw,nosuid - btrfs /dev/sda1 rw,subvol=/x\n\
                29 27 0:4 / /proc ro - proc proc rw\n";
    fs::write(dir.path().join("seen"), seen).unwrap();
    // The stand-in says what it was given.
    for (given, want) in [
        ("/dev/sda1 btrfs 9 /", "own server:/ nfs 9 /"),
        ("9 /dev/sda1", "own 9 server:/"),
        ("/dev/sda1 btrfs", "own server:/ nfs"),
        ("/dev/sda10 9", "own /dev/sda10 9"),
        ("tmpfs 9 /run", "own tmpfs 9 /run"),
    ] {
        assert_eq!(run(dir.path(), "df", given), (0, want.to_string()));
    }
}

#[test]
fn without_modules_uname_and_depmod_behave_as_usual() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(run(dir.path(), "uname", "-r"), (0, "9.9-server".into()));
    assert_eq!(run(dir.path(), "depmod", "-a"), (0, String::new()));
}
