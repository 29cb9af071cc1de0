//! Roots on a disk with ext4, which has one root: `deploy --filesystem ext4`.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::process::Command;

use crate::support::{self, Disk, Fingerprint, MAC, Pool};

/// A pool with the served node `nog`, of which `a` is active, and an empty disk.
fn with_disk() -> (Pool, Disk) {
    let pool = Pool::with_template();
    pool.netbe().ok(&format!("create nog/a --mac {MAC}"));
    let disk = Disk::new(pool.beside());
    (pool, disk)
}

#[test]
fn the_whole_root_is_copied_to_an_ext4_that_the_boot_files_name() {
    let (pool, disk) = with_disk();
    let root = pool.half("nog/a", "root");
    let file = root.join("srv/file");
    fs::create_dir_all(root.join("srv")).unwrap();
    fs::write(&file, "text").unwrap();
    std::os::unix::fs::chown(&file, Some(1234), Some(55)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o4711)).unwrap();
    xattr::set(&file, "user.told", b"value").unwrap();
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    fs::write(root.join("srv/able"), "x").unwrap();
    xattr::set(root.join("srv/able"), "security.capability", &capability).unwrap();
    support::run(Command::new("setfacl").args(["-m", "u:77:r"]).arg(&file));
    symlink("/etc", root.join("srv/link")).unwrap();
    support::run(
        Command::new("mknod")
            .arg(root.join("srv/null"))
            .args(["c", "1", "3"]),
    );
    support::run(
        Command::new("btrfs")
            .args(["property", "set"])
            .arg(root.join("srv/able"))
            .args(["compression", "zstd"]),
    );
    let deploy = format!("deploy nog {} --filesystem ext4", disk.show());
    let said = pool.netbe().ok(&deploy);
    let line = pool.boot_text("nog/a");
    assert!(said.contains("has its root on PARTUUID="), "{said}");
    assert!(
        line.contains(" root=PARTUUID=") && line.contains(" rootfstype=ext4"),
        "{line}"
    );
    assert!(
        !line.contains("rootflags") && !line.contains("nfsroot"),
        "{line}"
    );
    disk.with_filesystem("ext4", |at| {
        let there = at.join("srv/file");
        let found = there.metadata().unwrap();
        assert_eq!((found.uid(), found.gid()), (1234, 55));
        let mut changes = Fingerprint::of(&root).changes(&Fingerprint::of(at));
        // In etc/ stands what is written for a root on a disk; what is compressed only btrfs can tell.
        changes.retain(|line| line.contains(" srv/") && !line.contains("srv/able"));
        assert_eq!(changes, [""; 0]);
        assert_eq!(
            xattr::get(at.join("srv/able"), "security.capability").unwrap(),
            Some(capability.to_vec())
        );
        let fstab = fs::read_to_string(at.join("etc/fstab")).unwrap();
        assert!(fstab.contains("/envs/a/boot /boot nfs "), "{fstab}");
    });
    pool.assert_sound();
    pool.refuses(3, &deploy, &["on that disk already"]);
    let status = pool.netbe().ok("status nog");
    assert!(status.contains("a on PARTUUID="), "{status}");
}

#[test]
fn a_root_that_is_there_is_not_formatted_while_its_environment_exists() {
    let (pool, disk) = with_disk();
    pool.netbe()
        .ok(&format!("deploy nog {} --filesystem ext4", disk.show()));
    pool.netbe().ok("create nog/b");
    let said = pool.netbe().run("activate nog/b");
    assert!(
        said.stderr
            .contains("what nog has written in nog/a is on its disk, in PARTUUID="),
        "{said:?}"
    );
    let deploy = |more: &str| format!("deploy nog/b {} {more}", disk.show());
    for more in [
        "--yes",
        "--filesystem ext4 --yes",
        "--filesystem btrfs --yes",
    ] {
        pool.refuses(3, &deploy(more), &["nog/a has its root on"]);
    }
    pool.netbe().ok("set mac= nog");
    pool.netbe().ok("destroy -y nog/a");
    pool.refuses(3, &deploy("--filesystem ext4"), &["is not empty", "--yes"]);
    pool.netbe().ok(&deploy("--filesystem ext4 --yes"));
    disk.with_filesystem("ext4", |at| assert!(at.join("usr").is_dir()));
    pool.assert_sound();
}

#[test]
fn a_disk_that_is_smaller_than_the_root_is_not_formatted() {
    let (pool, disk) = with_disk();
    let large = pool.half("nog/a", "root").join("large");
    support::run(Command::new("fallocate").args(["-l", "300M"]).arg(&large));
    let deploy = format!("deploy nog {} --filesystem ext4", disk.show());
    pool.refuses(3, &deploy, &["takes", "of free space"]);
    assert!(pool.boot_text("nog/a").contains("nfsroot="));
    fs::remove_file(large).unwrap();
    // It was not formatted for that.
    pool.netbe().ok(&deploy);
    assert!(pool.boot_text("nog/a").contains("rootfstype=ext4"));
    pool.assert_sound();
}
