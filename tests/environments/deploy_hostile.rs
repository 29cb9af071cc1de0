//! Disks that a node has written as it likes: `deploy`.

use std::fs;
use std::os::unix::fs::symlink;

use crate::deploy::with_nog;
use crate::support::Disk;

#[test]
fn invariant_5_links_on_a_disk_lead_to_nothing_of_the_server() {
    let pool = with_nog();
    let disk = Disk::formatted(pool.beside());
    let outside = pool.beside().join("outside");
    fs::create_dir(&outside).unwrap();
    disk.with(false, |at| {
        symlink(&outside, at.join("netbe")).unwrap();
    });
    pool.refuses(3, &format!("deploy nog {}", disk.show()), &["is a link"]);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    // In the place of a subvolume that would be replaced: another node's root.
    pool.netbe().ok("create ordo/x");
    let theirs = pool.half("ordo/x", "root");
    let list = pool.netbe().ok("list --json nog/a");
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let uuid = list["environments"][0]["uuid"].as_str().unwrap();
    let name = format!("a-{}", &uuid[..8]);
    disk.with(false, |at| {
        fs::remove_file(at.join("netbe")).unwrap();
        fs::create_dir_all(at.join("netbe/.sent")).unwrap();
        for place in ["", ".sent/", ".new-"] {
            symlink(&theirs, at.join(format!("netbe/{place}{name}"))).unwrap();
        }
        symlink(&theirs, at.join("netbe/gone-00000000")).unwrap();
        fs::create_dir(at.join("netbe/x\nroot=PARTUUID=other")).unwrap();
    });
    pool.netbe().ok(&format!("deploy nog {}", disk.show()));
    assert!(theirs.join("etc").is_dir());
    assert!(!pool.boot_text("nog/a").contains("PARTUUID=other"));
    disk.with(false, |at| {
        assert!(!at.join("netbe").join(&name).is_symlink());
    });
    pool.assert_sound();
}

#[test]
fn invariant_5_a_difference_to_what_the_node_has_altered_is_not_applied_outside() {
    let pool = with_nog();
    let disk = Disk::formatted(pool.beside());
    pool.netbe().ok(&format!("deploy nog {}", disk.show()));
    let outside = pool.beside().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("hosts"), "clean").unwrap();
    disk.with(false, |at| {
        let sent = fs::read_dir(at.join("netbe/.sent")).unwrap().next();
        let sent = sent.unwrap().unwrap().path();
        let make = |read_only: bool| {
            // By the kernel's call, after which it is still taken for what was received.
            let top = fs::File::open(&sent).unwrap();
            set_flags(&top, if read_only { 2 } else { 0 });
        };
        make(false);
        fs::remove_dir_all(sent.join("etc")).unwrap();
        symlink(&outside, sent.join("etc")).unwrap();
        make(true);
    });
    pool.netbe().ok("create nog/b");
    fs::write(pool.half("nog/b", "root").join("etc/hosts"), "of b").unwrap();
    let said = pool.netbe().run(&format!("deploy nog/b {}", disk.show()));
    assert_eq!(said.status, 1, "{said:?}");
    assert_eq!(fs::read_to_string(outside.join("hosts")).unwrap(), "clean");
    assert!(pool.boot_text("nog/b").contains("nfsroot="));
    disk.with(false, |at| {
        let names = fs::read_dir(at.join("netbe/.sent")).unwrap().count();
        assert_eq!(names, 1, "what was cut is left");
    });
}

mod call {
    nix::ioctl_write_ptr!(set_flags, 0x94, 26, u64);
}

/// Sets the flags of a subvolume: 2 is read-only.
#[allow(unsafe_code)]
fn set_flags(top: &fs::File, flags: u64) {
    // SAFETY: the descriptor is open during the call, and the kernel reads one number, which outlives it.
    unsafe { call::set_flags(std::os::fd::AsRawFd::as_raw_fd(top), &raw const flags) }.unwrap();
}
