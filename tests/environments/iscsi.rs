//! Roots on disks that this server offers by iSCSI: `root=iscsi`.

mod tgt;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{self, MAC, Pool, System};

/// A pool with the served node `nog`: `a` has its root by NFS, and `b`, which is active, by iSCSI.
fn with_disk() -> Pool {
    let debian = System::debian()
        .program("usr/sbin/update-initramfs", b"#!/bin/sh\n")
        .file("etc/initramfs-tools/initramfs.conf", "MODULES=most\n");
    let pool = Pool::with_template_of(&debian);
    pool.netbe().ok(&format!("create nog/a --mac {MAC}"));
    pool.netbe().ok("set root=iscsi nog");
    pool.plans("create nog/b -a");
    pool.netbe().ok("create nog/b -a");
    pool
}

/// Returns the names in a root half.
fn names(half: &Path) -> Vec<String> {
    let names = fs::read_dir(half).unwrap().flatten();
    names
        .map(|e| e.file_name().into_string().unwrap())
        .collect()
}

/// Returns what a command prints in an environment.
fn run_in(pool: &Pool, env: &str, command: &str) -> String {
    let output = pool
        .netbe()
        .run_with(&["run", env, "--", "sh", "-c", command]);
    assert_eq!(output.status, 0, "{output:?}");
    output.stdout
}

/// Returns the file of targets.
fn targets() -> String {
    let files = fs::read_dir("/etc/tgt/conf.d").into_iter().flatten();
    files
        .flatten()
        .map(|file| fs::read_to_string(file.path()).unwrap())
        .collect()
}

#[test]
fn a_new_root_is_a_disk_image_that_its_boot_files_name() {
    let pool = with_disk();
    assert_eq!(names(&pool.half("nog/b", "root")), ["disk.img"]);
    let line = pool.boot_text("nog/b");
    for word in [
        " root=UUID=",
        " iscsi_initiator=iqn.2026-11.internal.netbe:",
        " iscsi_target_name=iqn.2026-11.internal.netbe:",
        ":nog:b ",
        " iscsi_target_ip=",
        " rw ip=dhcp",
    ] {
        assert!(line.contains(word), "{word}: {line}");
    }
    assert!(!line.contains("nfs"), "{line}");
    let exports = fs::read_to_string("/etc/exports.d/netbe.exports").unwrap();
    let exported = |half: &str| exports.contains(&format!("nog/envs/b/{half}\""));
    assert!(exported("boot") && !exported("root"), "{exports}");
    assert!(exports.contains("nog/reports\""), "{exports}");
    assert!(
        targets().contains("nog/envs/b/root/disk.img\n"),
        "{}",
        targets()
    );
    let daemon = "cat /etc/systemd/system/iscsid.service.d/netbe.conf";
    pool.netbe().ok("create nog/c");
    assert!(run_in(&pool, "nog/c", daemon).contains("OPENSSL_CONF=/dev/null"));
    // The one that is booted stays as it was made.
    assert!(pool.boot_text("nog/a").contains("nfsroot="));
    pool.assert_sound();
}

#[test]
fn an_image_is_cloned_upgraded_and_renamed_and_files_come_out_as_they_went_in() {
    let pool = with_disk();
    let netbe = pool.netbe();
    let before = support::Fingerprint::of(&pool.half("nog/a", "root"));
    let upgraded = netbe.run_with(&[
        "upgrade",
        "nog",
        "--name",
        "c",
        "--",
        "sh",
        "-c",
        "echo x >/etc/x",
    ]);
    assert_eq!(upgraded.status, 0, "{upgraded:?}");
    assert!(
        upgraded.stderr.contains("nog/b is a disk image"),
        "{upgraded:?}"
    );
    assert_eq!(run_in(&pool, "nog/c", "cat /etc/x; rm /etc/x"), "x\n");
    netbe.ok("rename nog/c d");
    assert!(pool.boot_text("nog/d").contains(":nog:d "));
    netbe.ok("clone nog/d nog/e");
    assert_eq!(
        run_in(&pool, "nog/e", "ls /etc/x || cat /etc/hostname"),
        "nog\n"
    );
    netbe.ok("create ordo/a --from nog/b");
    assert!(!pool.half("ordo/a", "root").join("disk.img").exists());
    assert_eq!(
        fs::read_to_string(pool.half("ordo/a", "root").join("etc/hostname")).unwrap(),
        "ordo\n"
    );
    netbe.ok("set root=nfs nog");
    netbe.ok("create nog/f --from nog/e");
    let changes = before.changes(&support::Fingerprint::of(&pool.half("nog/f", "root")));
    // The sandbox has a /var/tmp for what it runs.
    let is_own = |change: &String| {
        let parts = ["etc/fstab", "netbe", "+ var/tmp "];
        parts.iter().any(|part| change.contains(part))
    };
    let others: Vec<_> = changes.iter().filter(|c| !is_own(c)).collect();
    assert!(others.is_empty(), "{others:?}");
    assert!(pool.boot_text("nog/f").contains("root=/dev/nfs nfsroot="));
    pool.assert_sound();
}

#[test]
fn invariant_1_a_run_that_is_killed_leaves_the_image_as_it_was() {
    let pool = with_disk();
    pool.netbe().ok("create nog/c");
    let image = pool.half("nog/c", "root").join("disk.img");
    let before = fs::metadata(&image).unwrap();
    let mut run = pool.netbe().plain();
    let flag = pool.half("nog/c", "boot").join("begun");
    let program = "echo half >/etc/half; sync; touch /boot/begun; sleep 600";
    let mut child = run
        .args(["run", "nog/c", "--", "sh", "-c", program])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    support::wait_until("the program runs", || flag.exists());
    child.kill().unwrap();
    child.wait().unwrap();
    pool.netbe().ok("check --repair");
    assert_eq!(names(&pool.half("nog/c", "root")), ["disk.img"]);
    use std::os::unix::fs::MetadataExt;
    assert_eq!(fs::metadata(&image).unwrap().ino(), before.ino());
    assert_eq!(
        run_in(
            &pool,
            "nog/c",
            "cat /etc/half 2>/dev/null || cat /etc/hostname"
        ),
        "nog\n"
    );
    pool.assert_sound();
}

#[test]
fn an_image_is_sent_and_brought_in_and_its_lost_record_made_again() {
    let pool = with_disk();
    let netbe = pool.netbe();
    let stream = pool.beside().join("stream");
    netbe.ok(&format!("export nog/b -o {}", stream.display()));
    netbe.ok(&format!("import nog/c {}", stream.display()));
    assert_eq!(names(&pool.half("nog/c", "root")), ["disk.img"]);
    netbe.ok(&format!("import werda/a {}", stream.display()));
    assert_eq!(run_in(&pool, "nog/c", "cat /etc/hostname"), "nog\n");
    assert!(pool.half("werda/a", "root").join("etc/fstab").exists());
    fs::remove_file(pool.half("nog/c", "root").with_file_name("env.json")).unwrap();
    netbe.ok("check --repair");
    netbe.ok("clone nog/c nog/d");
    assert_eq!(run_in(&pool, "nog/d", "cat /etc/hostname"), "nog\n");
    pool.assert_sound();
}

#[test]
fn properties_and_verbs_that_need_files_are_refused() {
    let pool = with_disk();
    let netbe = pool.netbe();
    for (line, words) in [
        ("set data=/srv nog", ["data", "netbe set data=none nog"]),
        ("set clients=nog.lan nog", ["addresses", "networks"]),
        (
            "set access=ro nog",
            ["iscsi", "netbe set root=nfs access=ro nog"],
        ),
        ("mount nog/b", ["disk image", "netbe shell nog/b"]),
        ("merge nog/b nog/a", ["disk image", "netbe create nog"]),
    ] {
        let output = netbe.fails(3, line);
        for word in words {
            assert!(
                output.contains(word),
                "netbe {line}: no {word:?} in\n{output}"
            );
        }
    }
    assert!(netbe.ok("get root nog").contains("iscsi"));
    // What a node made of its disk is told.
    let image = pool.half("nog/b", "root").join("disk.img");
    fs::write(&image, vec![0; 1 << 20]).unwrap();
    let output = netbe.run("check nog").stdout;
    assert!(output.contains("opening the disk image"), "{output}");
    let output = netbe.fails(1, "create nog/c");
    assert!(output.contains("opening the disk image"), "{output}");
}

#[test]
fn an_image_that_its_machine_is_writing_is_read_as_it_would_be_after_a_power_cut() {
    let pool = with_disk();
    let image = pool.half("nog/b", "root").join("disk.img");
    let at = pool.beside().join("machine");
    fs::create_dir(&at).unwrap();
    // A kernel has it mounted, as the node's has.
    support::run(
        Command::new("mount")
            .args(["-o", "loop"])
            .args([&image, &at]),
    );
    fs::write(at.join("etc/mark"), "written\n").unwrap();
    support::run(Command::new("sync").arg("-f").arg(&at));
    let upgraded = pool
        .netbe()
        .run_with(&["upgrade", "nog", "--name", "c", "--", "true"]);
    let read = pool.netbe().run("check nog");
    support::unmount(&at);
    assert_eq!(upgraded.status, 0, "{upgraded:?}");
    assert!(!read.stdout.contains("disk image"), "{read:?}");
    assert_eq!(run_in(&pool, "nog/c", "cat /etc/mark"), "written\n");
    pool.assert_sound();
}

#[test]
fn image_driver_kernel_mounts_the_image_by_the_kernel() {
    let pool = with_disk();
    let netbe = pool.netbe();
    // The numbers of FUSE and of ext4: statfs(2).
    let kind = "stat -f -c %t /";
    netbe.ok("create nog/c");
    let by_default = run_in(&pool, "nog/c", kind);
    assert_eq!(by_default, "65735546\n");
    let default = netbe.ok("get -H image.driver nog");
    assert_eq!(default, "nog\timage.driver\tfuse2fs\tdefault\n");
    netbe.fails(2, "set image.driver=ext4 nog");
    netbe.ok("set image.driver=kernel nog");
    let output = run_in(&pool, "nog/c", &format!("{kind}; echo x >/etc/x"));
    assert_eq!(output, "ef53\n");
    let upgraded = netbe.run_with(&["upgrade", "nog/c", "--name", "d", "--", "rm", "/etc/x"]);
    assert_eq!(upgraded.status, 0, "{upgraded:?}");
    // What the one wrote the other reads, and nothing is left of the mount.
    netbe.ok("set image.driver= nog");
    assert_eq!(run_in(&pool, "nog/d", "ls /etc/x || echo gone"), "gone\n");
    assert_eq!(run_in(&pool, "nog/c", "cat /etc/x"), "x\n");
    let loops = Command::new("losetup")
        .args(["-l", "-n", "-O", "BACK-FILE"])
        .output()
        .unwrap();
    let loops = String::from_utf8_lossy(&loops.stdout).into_owned();
    let of_pool = pool
        .half("nog/c", "root")
        .parent()
        .unwrap()
        .display()
        .to_string();
    assert!(!loops.contains(&of_pool), "{loops}");
    pool.assert_sound();
}

#[test]
fn an_image_is_booted_once_and_on_trial_and_left_again() {
    let pool = with_disk();
    let netbe = pool.netbe();
    for how in ["--once", "--try"] {
        netbe.ok("create nog/c");
        netbe.ok(&format!("activate {how} nog/c"));
        assert_eq!(
            pool.boot_text("nog/c").contains(" panic=10"),
            how == "--try"
        );
        assert!(
            targets().contains("nog/envs/c/root/disk.img\n"),
            "{}",
            targets()
        );
        netbe.ok("activate --cancel nog");
        netbe.ok("set --force mac= nog");
        netbe.ok("destroy --yes nog/c");
        netbe.ok(&format!("set mac={MAC} nog"));
    }
    netbe.ok("create nog/c -a");
    netbe.ok("rollback nog");
    pool.assert_sound();
}

/// Returns what a process of a program may use, as a line of `/proc/PID/limits` says it, by the line's first words.
fn limit_of(program: &str, below: u32, what: &str) -> Option<String> {
    let parent = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|l| l.strip_prefix("PPid:"))?;
        line.trim().parse::<u32>().ok()
    };
    let mut processes = fs::read_dir("/proc").unwrap().flatten();
    let pid = processes.find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let name = fs::read_to_string(entry.path().join("comm")).ok()?;
        let mut line = std::iter::successors(Some(pid), |pid| parent(*pid));
        (name.trim() == program && line.any(|pid| pid == below)).then_some(pid)
    })?;
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find(|line| line.starts_with(what))?;
    Some(line.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[test]
fn fuse2fs_has_resource_limits() {
    let pool = with_disk();
    pool.netbe().ok("create nog/c");
    let mut running = pool.netbe().spawn("run nog/c -- cat", Stdio::piped());
    let process = running.id();
    // It becomes another process when it serves: what is read of the first may be gone.
    let has = |what: &str, limit: &str| {
        let expected = format!("{what} {limit}");
        support::wait_until(&expected, || {
            limit_of("fuse2fs", process, what).is_some_and(|line| line == expected)
        });
    };
    has("Max address space", "2147483648 2147483648 bytes");
    has("Max core file size", "1 1 bytes");
    drop(running.stdin.take());
    assert!(running.wait().unwrap().success());
}
