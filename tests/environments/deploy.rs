//! Roots on their nodes' own disks: `deploy`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{self, Disk, MAC, Pool, System};

/// A pool with the served node `nog`, of which `a` is active.
pub(crate) fn with_nog() -> Pool {
    let pool = Pool::with_template();
    pool.netbe().ok(&format!("create nog/a --mac {MAC}"));
    pool
}

/// The name of an environment on a disk.
pub(crate) fn on_disk(at: &Path, env: &str) -> PathBuf {
    let names = fs::read_dir(at.join("netbe")).unwrap().flatten();
    let mut its = names.filter(|entry| {
        entry
            .file_name()
            .to_str()
            .unwrap()
            .starts_with(&format!("{env}-"))
    });
    let found = its.next().unwrap_or_else(|| panic!("no {env}"));
    assert!(its.next().is_none());
    found.path()
}

#[test]
fn an_empty_disk_is_partitioned_and_has_the_root_that_the_boot_files_name() {
    let pool = with_nog();
    let disk = Disk::new(pool.beside());
    pool.plans(&format!("deploy nog {}", disk.show()));
    let said = pool.netbe().ok(&format!("deploy nog {}", disk.show()));
    let line = pool.boot_text("nog/a");
    let id = said
        .split("PARTUUID=")
        .nth(1)
        .unwrap()
        .split(',')
        .next()
        .unwrap();
    assert!(
        line.contains(&format!(
            "root=PARTUUID={id} rootfstype=btrfs rootflags=subvol=netbe/a-"
        )) && line.contains(" rw")
            && !line.contains("nfs")
            && !line.contains("ip="),
        "{line}"
    );
    disk.with(true, |at| {
        let root = on_disk(at, "a");
        let fstab = fs::read_to_string(root.join("etc/fstab")).unwrap();
        assert!(fstab.contains("/envs/a/boot /boot nfs "), "{fstab}");
        fs::write(root.join("etc/motd"), "written").unwrap();
    });
    pool.assert_sound();
    assert!(
        pool.netbe()
            .ok("status nog")
            .contains(&format!("a on PARTUUID={id}"))
    );
}

#[test]
fn several_stand_on_a_disk_and_what_the_node_changed_is_told_and_stays() {
    let pool = Pool::with_node();
    let disk = Disk::formatted(pool.beside());
    pool.netbe().ok(&format!("deploy nog {}", disk.show()));
    disk.with(false, |at| {
        fs::write(on_disk(at, "a").join("etc/motd"), "written").unwrap();
    });
    pool.netbe().ok("create nog/b");
    // Until it is deployed, it boots from this server.
    assert!(pool.boot_text("nog/b").contains("/envs/b/root"));
    assert!(!pool.boot_text("nog/b").contains("rootflags"));
    let said = pool.netbe().run("activate nog/b");
    assert_eq!(said.status, 0);
    assert!(
        said.stderr.contains("has its root on this server"),
        "{said:?}"
    );
    pool.netbe().ok("rollback nog");
    fs::write(pool.half("nog/b", "root").join("etc/more"), "more").unwrap();
    let said = pool.netbe().run(&format!("deploy nog/b {}", disk.show()));
    assert_eq!(said.status, 0, "{said:?}");
    assert!(
        said.stderr
            .contains(", which stays on the disk, nog has changed /etc/motd"),
        "{said:?}"
    );
    disk.with(false, |at| {
        assert_eq!(
            fs::read(on_disk(at, "a").join("etc/motd")).unwrap(),
            b"written"
        );
        assert_eq!(
            fs::read(on_disk(at, "b").join("etc/more")).unwrap(),
            b"more"
        );
    });
    assert!(
        pool.boot_text("nog/b")
            .contains("rootflags=subvol=netbe/b-")
    );
    pool.netbe().ok("activate nog/b");
    pool.assert_sound();
    // It is not written again, and no other command writes what the disk would not have.
    let a = fs::read_dir(pool.at("nodes/nog/deployed")).unwrap().count();
    assert_eq!(a, 2);
    pool.refuses(
        3,
        &format!("deploy nog/b {}", disk.show()),
        &["on that disk already"],
    );
    pool.refuses(3, "rename nog/a c", &["has its root on"]);
    pool.refuses(125, "run nog/a -- true", &["has its root on"]);
    // With its node goes what was sent.
    pool.netbe().ok("destroy -y -r nog");
    assert!(!pool.at("nodes/nog").exists());
}

#[test]
fn what_an_earlier_deploy_left_unfinished_is_done_again() {
    let pool = with_nog();
    let disk = Disk::formatted(pool.beside());
    pool.netbe().ok(&format!("deploy nog {}", disk.show()));
    // As if it had been cut before the boot files were written.
    pool.change_record("nog/a", |record| {
        record.as_object_mut().unwrap().remove("disk");
    });
    pool.netbe().ok("set --existing nog");
    assert!(pool.boot_text("nog/a").contains("nfsroot="));
    fs::write(pool.half("nog/a", "root").join("etc/late"), "late").unwrap();
    pool.netbe().ok(&format!("deploy nog {}", disk.show()));
    disk.with(false, |at| {
        assert!(on_disk(at, "a").join("etc/late").exists());
    });
    // As if it had been cut a moment earlier: what was received is there, and is not what is sent now.
    pool.change_record("nog/a", |record| {
        record.as_object_mut().unwrap().remove("disk");
    });
    pool.netbe().ok("set --existing nog");
    disk.with(false, |at| {
        let mut delete = Command::new("btrfs");
        support::run(
            delete
                .args(["-q", "subvolume", "delete"])
                .arg(on_disk(at, "a")),
        );
    });
    fs::write(pool.half("nog/a", "root").join("etc/later"), "later").unwrap();
    pool.netbe().ok(&format!("deploy nog {}", disk.show()));
    disk.with(false, |at| {
        assert!(on_disk(at, "a").join("etc/later").exists());
    });
}

#[test]
fn a_disk_in_use_or_with_something_else_is_refused() {
    let pool = with_nog();
    let disk = Disk::new(pool.beside());
    support::run(Command::new("mkfs.ext4").arg("-q").arg(disk.device()));
    let deploy = format!("deploy nog {}", disk.show());
    pool.refuses(3, &deploy, &["is not empty (ext4)", "--yes"]);
    pool.refuses(
        3,
        &format!("deploy nog {}", pool.path().display()),
        &["disk of the pool"],
    );
    pool.refuses(3, "deploy nog /dev/null", &["is neither a disk"]);
    pool.refuses(3, "deploy nog /nowhere", &["is neither a disk"]);
    let at = pool.beside().join("held here");
    fs::create_dir(&at).unwrap();
    support::run(Command::new("mount").arg(disk.device()).arg(&at));
    let why = format!("is mounted at {}", at.display());
    pool.refuses(3, &format!("{deploy} --yes"), &[&why]);
    support::unmount(&at);
    assert!(pool.boot_text("nog/a").contains("nfsroot="));
    pool.netbe().ok(&format!("{deploy} --yes"));
    pool.assert_sound();
}

#[test]
fn what_cannot_have_its_root_on_a_disk_is_refused() {
    let pool = Pool::with_template_of(&System::debian().file("usr/sbin/mount.nfs", "x"));
    pool.netbe().ok(&format!("create nog/a --mac {MAC}"));
    let disk = Disk::formatted(pool.beside());
    let deploy = |node: &str| format!("deploy {node} {}", disk.show());
    pool.refuses(3, &deploy("base"), &["is a template"]);
    pool.netbe().ok("set data=/home nog");
    pool.refuses(3, &deploy("nog"), &["has data on this server"]);
    pool.netbe().ok("set data= nog");
    pool.netbe().ok("create nog/b");
    pool.netbe().ok("activate --once nog/b");
    pool.refuses(3, &deploy("nog/b"), &["pending boot"]);
    pool.netbe().ok("activate --cancel nog");
    pool.netbe().ok("create ordo/x");
    pool.netbe().ok("set root=LABEL=system ordo");
    pool.refuses(3, &deploy("ordo"), &["names a root already"]);
}

#[test]
fn invariant_14_what_stays_behind_on_the_disk_or_here_is_named() {
    let pool = with_nog();
    let disk = Disk::formatted(pool.beside());
    let said = pool.netbe().run(&format!("deploy nog {}", disk.show()));
    assert!(
        said.stderr.contains("before it restarts stays there"),
        "{said:?}"
    );
    pool.netbe().ok("create nog/b");
    let said = pool.netbe().run("activate nog/b");
    assert!(
        said.stderr
            .contains("what nog has written in nog/a is on its disk, in netbe/a-"),
        "{said:?}"
    );
}

#[test]
fn a_disk_with_less_room_than_the_root_is_left_as_it_is() {
    let pool = with_nog();
    let disk = Disk::formatted(pool.beside());
    let large = pool.half("nog/a", "root").join("large");
    support::run(Command::new("fallocate").args(["-l", "300M"]).arg(&large));
    let deploy = format!("deploy nog {}", disk.show());
    pool.refuses(3, &deploy, &["takes", "of free space"]);
    disk.with(false, |at| assert!(!at.join("netbe").exists()));
    assert!(pool.boot_text("nog/a").contains("nfsroot="));
    fs::remove_file(large).unwrap();
    pool.netbe().ok(&deploy);
}

#[test]
fn roots_of_other_nodes_on_the_same_disk_stay() {
    let pool = with_nog();
    let disk = Disk::formatted(pool.beside());
    pool.netbe().ok(&format!("deploy nog {}", disk.show()));
    pool.netbe().ok("create ordo/x");
    pool.netbe().ok(&format!("deploy ordo {}", disk.show()));
    disk.with(false, |at| {
        assert!(on_disk(at, "a").join("etc").is_dir());
        assert!(on_disk(at, "x").join("etc").is_dir());
    });
}

#[test]
fn a_partition_of_which_nothing_is_known_is_formatted_only_when_that_is_said() {
    let pool = with_nog();
    let disk = Disk::new(pool.beside());
    let table = "echo , | sfdisk -q --label gpt \"$0\" && partx -u \"$0\"";
    support::run(Command::new("sh").args(["-ec", table]).arg(disk.device()));
    let deploy = format!("deploy nog {}", disk.show());
    pool.refuses(3, &deploy, &["is not empty (PMBR gpt)", "--yes"]);
    pool.netbe().ok(&format!("{deploy} --yes"));
}

#[test]
fn a_directory_where_nothing_is_mounted_is_refused() {
    let pool = with_nog();
    let disk = Disk::formatted(pool.beside());
    disk.with(false, |at| {
        fs::create_dir(at.join("inside")).unwrap();
        let inside = at.join("inside");
        pool.refuses(
            3,
            &format!("deploy nog {}", inside.display()),
            &["where one is mounted"],
        );
        assert!(!at.join("netbe").exists());
    });
}
