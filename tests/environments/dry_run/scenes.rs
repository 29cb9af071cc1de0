//! The pools that the command lines are run on.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use super::run;
use crate::machine::{ADDRESS, Machine, PC};
use crate::support::{self, MAC, Pool, System};

/// Returns a pool with the served node `nog` (`a` active, `b`, `bare` without modules, `kept` pinned), and `ordo`, which no
/// machine asks for.
pub(super) fn scene() -> Pool {
    let pool = Pool::with_template();
    let netbe = pool.netbe();
    netbe.ok(&format!("create nog/a --mac {MAC}"));
    for env in ["b", "bare", "kept"] {
        netbe.ok(&format!("create nog/{env}"));
    }
    netbe.ok("pin nog/kept");
    fs::remove_dir_all(pool.half("nog/bare", "root").join("usr/lib/modules")).unwrap();
    netbe.ok("create ordo/x");
    netbe.ok("create ordo/y");
    System::debian().build(&pool.beside().join("system"));
    fs::create_dir(pool.beside().join("mnt")).unwrap();
    pool
}

pub(super) fn with_trial(pool: &Pool) {
    pool.netbe().ok("activate --try nog/b");
}

pub(super) fn with_b_active(pool: &Pool) {
    pool.netbe().ok("activate nog/b");
}

pub(super) fn mounted(pool: &Pool) {
    run(pool, "mount nog/b BESIDE/mnt");
}

pub(super) fn exported(pool: &Pool) {
    run(pool, "export nog/a -o BESIDE/stream");
}

pub(super) fn exported_with_data(pool: &Pool) {
    with_data(pool);
    run(pool, "export ordo/x --data -o BESIDE/stream");
}

pub(super) fn with_leftovers(pool: &Pool) {
    pool.netbe().ok("destroy -y nog/bare");
    fs::create_dir(pool.at("nodes/nog/.staged-z-64c0ffee1")).unwrap();
}

/// Takes away the record of an environment that nothing else is told by.
pub(super) fn without_record(pool: &Pool) {
    pool.netbe().ok("destroy -y nog/bare");
    fs::remove_file(pool.at("nodes/ordo/envs/y/env.json")).unwrap();
}

/// Takes away the link of a node with one complete environment.
pub(super) fn without_active(pool: &Pool) {
    pool.netbe().ok("destroy -y nog/bare ordo/y");
    fs::remove_file(pool.at("nodes/ordo/active")).unwrap();
}

/// As [`astray`], where nothing else is to be found.
pub(super) fn stale(pool: &Pool) {
    pool.netbe().ok("destroy -y nog/bare");
    astray(pool);
}

/// Leads a machine to an environment that is not active, as a crash at the end of a trial does.
pub(super) fn astray(pool: &Pool) {
    let name = pool.at(&format!("tftp/{}", MAC.replace(':', "-")));
    fs::remove_file(&name).unwrap();
    symlink("../nodes/nog/envs/b/boot", &name).unwrap();
}

/// Lets the systems of `nog` and `ordo` mount data.
pub(super) fn with_helper(pool: &Pool) {
    pool.netbe().ok("destroy -y nog/bare");
    for env in ["nog/a", "nog/b", "nog/kept", "ordo/x", "ordo/y"] {
        fs::write(pool.half(env, "root").join("usr/sbin/mount.nfs"), "").unwrap();
    }
}

pub(super) fn with_data(pool: &Pool) {
    with_helper(pool);
    pool.netbe().ok("set data=/home,/srv ordo");
    pool.netbe().ok("set data=/srv ordo");
}

/// Makes a Raspberry Pi `pi` with `a` active and `b`, which boots from a card in the directory `card`.
pub(super) fn with_card(pool: &Pool) {
    let at = pool.beside().join("card");
    fs::create_dir(&at).unwrap();
    let mut mount = Command::new("mount");
    support::run(mount.args(["-t", "tmpfs", "card"]).arg(&at));
    let system = pool.beside().join("raspi");
    System::raspberry_pi().build(&system);
    pool.netbe()
        .ok(&format!("import raspi/base {}", system.display()));
    pool.netbe()
        .ok("create pi/a --from raspi --mac 02:00:00:00:00:11");
    pool.netbe().ok("create pi/b");
    pool.netbe()
        .ok(&format!("deploy pi --boot {}", at.display()));
}

/// Mounts the disk of a node in the directory `node`.
pub(super) fn with_disk(pool: &Pool) {
    let (file, at) = (pool.beside().join("disk"), pool.beside().join("node"));
    fs::File::create(&file).unwrap().set_len(256 << 20).unwrap();
    fs::create_dir(&at).unwrap();
    support::run(Command::new("mkfs.btrfs").arg("-q").arg(&file));
    support::run(Command::new("mount").arg(&file).arg(&at));
}

pub(super) fn read_only(pool: &Pool) {
    support::run(
        Command::new("mount")
            .args(["-o", "remount,bind,ro"])
            .arg(pool.path()),
    );
}

pub(super) fn nothing(_: &Pool) {}

pub(super) fn written(pool: &Pool) {
    fs::write(pool.half("nog/a", "root").join("etc/new"), "x").unwrap();
}

/// Has the trial of `nog/b` be over, without a report, on a machine whose power can be cut.
pub(super) fn with_expired_trial(pool: &Pool) {
    let command = format!(
        "power.cycle=echo >>{}",
        pool.beside().join("power").display()
    );
    assert_eq!(pool.netbe().run_with(&["set", &command, "nog"]).status, 0);
    pool.netbe().ok(&format!("set ip=dhcp,{ADDRESS} nog"));
    pool.boots("nog/a", "first-boot");
    pool.netbe().ok("activate --try=30s nog/b");
    pool.fetches(&PC);
    pool.age(20);
    pool.netbe().ok("reconcile");
    pool.age(3600);
}

/// As [`with_expired_trial`], and the NFS server finds `nog/a` in use since the last look.
pub(super) fn with_trial_elsewhere(pool: &Pool) {
    with_expired_trial(pool);
    pool.mounts(&["nodes/nog/envs/a/root"]);
}

/// Has `nog` boot a system that has nothing in common with the template.
pub(super) fn unrelated(pool: &Pool) {
    run(pool, "import nog/other SYSTEM");
    pool.netbe().ok("activate nog/other");
}

/// Has `nog` add a package in `nog/a`, and the others be systems of another architecture.
pub(super) fn with_package_for_others(pool: &Pool) {
    with_package(pool);
    // The header of a program for z/Architecture.
    let mut program = b"\x7fELF\x02\x02\x01".to_vec();
    program.resize(64, 0);
    program[16..20].copy_from_slice(&[0, 2, 0, 22]);
    for env in ["nog/b", "base/stock"] {
        fs::write(pool.half(env, "root").join("bin/sh"), &program).unwrap();
    }
}

/// Has `nog` add a package in `nog/a`.
pub(super) fn with_package(pool: &Pool) {
    let status = "var/lib/dpkg/status";
    let entry =
        "Package: added\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.0\n\n";
    for env in ["nog/a", "nog/b", "base/stock"] {
        let file = pool.half(env, "root").join(status);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let old = fs::read_to_string(&file).unwrap_or_default();
        let added = if env == "nog/a" { entry } else { "" };
        fs::write(&file, format!("{old}{added}")).unwrap();
    }
}

/// As [`with_helper`], but that `nog/b` cannot mount data.
pub(super) fn with_helper_but_in_b(pool: &Pool) {
    with_helper(pool);
    fs::remove_file(pool.half("nog/b", "root").join("usr/sbin/mount.nfs")).unwrap();
}

/// As [`with_helper`], but that what `nog` boots cannot mount data.
pub(super) fn with_helper_but_in_a(pool: &Pool) {
    with_helper(pool);
    fs::remove_file(pool.half("nog/a", "root").join("usr/sbin/mount.nfs")).unwrap();
}

/// Has `nog` write to the old place of its data.
pub(super) fn with_old_place(pool: &Pool) {
    with_helper(pool);
    let srv = pool.half("nog/a", "root").join("srv");
    fs::create_dir_all(&srv).unwrap();
    fs::write(srv.join("letter"), "dear").unwrap();
    pool.netbe().ok("set data=/srv nog");
    fs::write(srv.join("letter"), "dear all").unwrap();
}

/// Has `nog` write in the environment that it runs, which `nog/b` lacks.
pub(super) fn left_behind(pool: &Pool) {
    pool.boots("nog/a", "first-boot");
    written(pool);
}

/// Cuts the renaming of `ordo/y` short.
pub(super) fn half_renamed(pool: &Pool) {
    pool.netbe().ok("destroy -y nog/bare");
    pool.netbe().ok("create ordo/z --from ordo/y");
    let old = pool.read("nodes/ordo/envs/y/env.json");
    let new = old.replacen('{', "{\"replaces\": \"y\",", 1);
    pool.write("nodes/ordo/envs/z/env.json", &new);
}

/// Leaves the state of a node that is not there.
pub(super) fn with_state_alone(pool: &Pool) {
    pool.netbe().ok("destroy -y nog/bare");
    fs::create_dir(pool.state().join("nodes/gone")).unwrap();
}

/// Damages the copies of the records of `ordo` and of the pool.
pub(super) fn with_old_copies(pool: &Pool) {
    pool.netbe().ok("destroy -y nog/bare");
    for copy in ["pool.json", "nodes/ordo/node.json"] {
        fs::write(pool.path().join(copy), "{").unwrap();
    }
}

/// Takes the data out of the fstab of `ordo/x`.
pub(super) fn without_mount(pool: &Pool) {
    with_data(pool);
    let fstab = pool.half("ordo/x", "root").join("etc/fstab");
    let text = fs::read_to_string(&fstab).unwrap();
    let other = |line: &&str| !line.contains("/ordo/data/");
    let lines: String = text
        .lines()
        .filter(other)
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(&fstab, lines).unwrap();
}

pub(super) fn read_only_without_mount(pool: &Pool) {
    without_mount(pool);
    read_only(pool);
}

/// Takes away what this server knows of the pool.
pub(super) fn from_elsewhere(pool: &Pool) {
    fs::remove_dir_all(pool.state()).unwrap();
}

/// Leaves something to repair on a pool that is mounted read-only then.
pub(super) fn read_only_with_leftovers(pool: &Pool) {
    with_leftovers(pool);
    fs::write(pool.at(".pool.json.4194304.new"), "half").unwrap();
    astray(pool);
    read_only(pool);
}

pub(super) fn read_only_with_trial(pool: &Pool) {
    with_trial(pool);
    pool.fetches(&PC);
    pool.age(20);
    read_only(pool);
}
