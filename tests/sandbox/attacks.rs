//! Roots that plant things where netbe will step, and programs that try to get out.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;

use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use super::Test;
use super::room::{Room, mounts};

pub(super) const TESTS: &[Test] = &[
    ("attacks::links_at_mount_points", links),
    (
        "attacks::files_and_devices_at_mount_points",
        not_directories,
    ),
    (
        "attacks::links_at_temporary_places_stay_inside",
        temporary_links,
    ),
    ("attacks::things_at_the_files_netbe_covers", covered_files),
    (
        "attacks::links_above_what_netbe_touches_stay_inside",
        links_above,
    ),
    ("attacks::the_kernel_cannot_be_told_anything", kernel),
    ("attacks::devices_cannot_be_made_or_used", devices),
    ("attacks::no_descriptor_comes_along", descriptors),
    ("attacks::process_one_keeps_to_itself", process_one),
];

/// Runs and expects a refusal that names the place, with nothing touched.
fn refused(room: &Room, place: &str) {
    let before = mounts();
    let error = room.sh("true").0.unwrap_err();
    let text = format!("{error:#}");
    assert!(
        text.contains(&format!("/{place} in the environment")),
        "{place}: {text}"
    );
    assert_eq!(mounts(), before, "{place}");
    room.assert_outside_is_untouched();
}

fn links(room: &Room) {
    let far = format!("../../../../../../../..{}", room.outside("").display());
    let targets = [
        room.outside("").display().to_string(),
        far,
        "/etc".to_string(),
        "/".to_string(),
        "/proc/self/cwd".to_string(),
    ];
    fs::create_dir(room.root().join("boot")).unwrap();
    for place in ["proc", "sys", "dev", "run", "boot/firmware"] {
        for target in &targets {
            let path = room.root().join(place);
            let _ = fs::remove_dir_all(&path);
            symlink(target, &path).unwrap();
            refused(room, place);
            fs::remove_file(&path).unwrap();
            fs::create_dir(&path).unwrap();
        }
    }
    fs::remove_dir_all(room.root().join("boot")).unwrap();
    symlink(room.outside(""), room.root().join("boot")).unwrap();
    refused(room, "boot/firmware");
}

fn not_directories(room: &Room) {
    for place in ["proc", "sys", "dev", "run", "tmp", "var/tmp", "boot"] {
        let path = room.root().join(place);
        fs::write(&path, "file").unwrap();
        let named = if place == "boot" {
            "boot/firmware"
        } else {
            place
        };
        refused(room, named);
        fs::remove_file(&path).unwrap();
        let device = makedev(1, 5);
        mknod(&path, SFlag::S_IFCHR, Mode::S_IRWXU, device).unwrap();
        refused(room, named);
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        refused(room, named);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
    }
}

fn temporary_links(room: &Room) {
    fs::create_dir(room.root().join("var/spool")).unwrap();
    symlink(room.outside(""), room.root().join("tmp")).unwrap();
    symlink("/etc", room.root().join("var/tmp")).unwrap();
    room.output("echo x > /var/tmp/there; test -e /etc/there; ! test -e /tmp/canary");
    room.assert_outside_is_untouched();
}

fn covered_files(room: &Room) {
    for place in ["etc/resolv.conf", "usr/sbin/policy-rc.d"] {
        let path = room.root().join(place);
        let _ = fs::remove_file(&path);
        fs::create_dir(&path).unwrap();
        refused(room, place);
        fs::remove_dir(&path).unwrap();
        mknod(&path, SFlag::S_IFBLK, Mode::S_IRWXU, makedev(7, 0)).unwrap();
        refused(room, place);
        fs::remove_file(&path).unwrap();
        nix::unistd::mkfifo(&path, Mode::S_IRWXU).unwrap();
        refused(room, place);
        fs::remove_file(&path).unwrap();
        for target in [
            "/proc/sys/kernel/core_pattern",
            "../../dev/null",
            "/sys/power/state",
        ] {
            // The link is set aside, and led nobody anywhere.
            symlink(target, &path).unwrap();
            room.output("true");
            assert_eq!(fs::read_link(&path).unwrap().to_str(), Some(target));
            fs::remove_file(&path).unwrap();
        }
        for target in [room.outside("canary"), room.outside("new")] {
            symlink(&target, &path).unwrap();
            room.output("true");
            room.assert_outside_is_untouched();
            fs::remove_file(&path).unwrap();
        }
    }
}

/// Directories on the way to those files and mount points.
fn links_above(room: &Room) {
    let far = format!("../../../../../..{}", room.outside("").display());
    for place in ["etc", "usr", "usr/sbin", "var", "root"] {
        let (path, aside) = (room.root().join(place), room.root().join("aside"));
        fs::rename(&path, &aside).unwrap();
        for target in [room.outside("").display().to_string(), far.clone()] {
            symlink(target, &path).unwrap();
            // Refused or done inside, either is well.
            let before = mounts();
            let _ = room.sh("echo x > /etc/resolv.conf; echo x > /var/tmp/x; echo x > /root/x");
            assert_eq!(mounts(), before, "{place}");
            room.assert_outside_is_untouched();
            fs::remove_file(&path).unwrap();
        }
        fs::rename(&aside, &path).unwrap();
    }
}

fn kernel(room: &Room) {
    fs::create_dir(room.root().join("mnt")).unwrap();
    let seen = room.output(
        "try() { \"$@\" >/dev/null 2>&1 && echo \"done: $*\"; }
         write() { echo x > \"$1\"; }
         for f in /proc/sys/kernel/core_pattern /proc/sys/kernel/hostname /proc/sys/vm/drop_caches \
                  /proc/sysrq-trigger /proc/irq/default_smp_affinity /sys/kernel/uevent_helper \
                  /sys/power/state; do try write $f; done
         try mount -t tmpfs none /mnt; try mount -o remount,rw /sys; try mount -o remount,rw /proc/sys
         try mount -o bind / /mnt; try umount /proc/sys; try umount /etc/resolv.conf; try umount /
         try hostname other; try nice -n -5 true; cat /proc/kcore /proc/keys 2>/dev/null
         hostname",
    );
    assert_eq!(seen, "nog\n");
}

fn devices(room: &Room) {
    let zero = room.root().join("zero");
    mknod(&zero, SFlag::S_IFCHR, Mode::S_IRWXU, makedev(1, 5)).unwrap();
    let seen = room.output(
        "dd if=/zero bs=1 count=1 2>/dev/null && echo opened
         for d in /root /dev /run /tmp /dev/shm /boot/firmware; do
             mknod $d/node c 1 5 2>/dev/null && echo made $d
         done; true",
    );
    assert_eq!(seen, "");
}

fn descriptors(room: &Room) {
    let held = fs::File::open(room.outside("canary")).unwrap();
    // As careless callers leave them: open across exec.
    nix::fcntl::fcntl(
        &held,
        nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()),
    )
    .unwrap();
    assert!(held.as_raw_fd() > 2);
    let seen =
        room.output("for p in /proc/[0-9]*; do ls -l $p/fd 2>/dev/null; done; ls -l /proc/self/fd");
    assert!(
        !seen.contains("canary") && !seen.contains("socket:"),
        "{seen}"
    );
}

fn process_one(room: &Room) {
    let seen = room.output(
        "for what in exe fd cwd root mem environ; do
             ls -L /proc/1/$what/. >/dev/null 2>&1 && echo list $what
             test -r /proc/1/$what && dd if=/proc/1/$what bs=1 count=1 2>/dev/null && echo read $what
         done; kill -9 1; kill -19 1; true",
    );
    assert_eq!(seen, "");
}
