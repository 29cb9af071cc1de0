//! Read-only roots: `access=ro`, for one machine or many.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::machine::Machine;
use crate::support::{MAC, Pool, System, wait_until};

pub(crate) const OTHER: &str = "dc:a6:32:01:02:04";
const PROGRAM: &str = "usr/lib/netbe/read-only-root";

/// A Debian with what a read-only root needs.
fn debian() -> System {
    let mut system = System::debian();
    for program in ["mount", "pivot_root", "chroot", "md5sum", "sed"] {
        system = system.file(&format!("usr/sbin/{program}"), "x");
    }
    let overlay = format!(
        "usr/lib/modules/{}/kernel/fs/overlayfs/overlay.ko",
        system.version()
    );
    system.file(&overlay, "x")
}

/// A node that two machines boot read-only; `web/a` is active.
pub(crate) fn with_web() -> Pool {
    let pool = Pool::with_template_of(&debian());
    pool.netbe()
        .ok(&format!("create web/a --mac {MAC} --mac {OTHER}"));
    pool.netbe().ok("set access=ro --existing web");
    pool
}

fn exports_of(pool: &Pool, env: &str) -> Vec<String> {
    let text = pool.read("publish/exports");
    let its = text
        .lines()
        .filter(|line| line.contains(&format!("/envs/{env}/")));
    its.map(str::to_string).collect()
}

#[test]
fn create_merge_has_no_conflict_over_the_report_unit() {
    let pool = with_web();
    let own = pool.half("web/a", "root").join("etc/own.conf");
    fs::write(own, "own").unwrap();
    let done = pool.netbe().run("create web/b --from base --merge -a");
    assert_eq!(done.status, 0, "{done:#?}");
    let root = pool.half("web/b", "root");
    let unit = fs::read_to_string(root.join("etc/systemd/system/netbe-report.service")).unwrap();
    assert!(unit.contains("env=b") && root.join("etc/own.conf").exists());
}

#[test]
fn machines_mount_the_root_read_only_and_start_the_program_for_writes_in_memory() {
    let pool = with_web();
    let line = pool.boot_text("web/a");
    assert!(
        line.contains(" ro ip=dhcp") && !line.contains(" rw"),
        "{line}"
    );
    assert!(
        line.contains(&format!("init=/{PROGRAM}")) && line.contains("vers=3"),
        "{line}"
    );
    let fstab = fs::read_to_string(pool.half("web/a", "root").join("etc/fstab")).unwrap();
    assert!(fstab.contains("/boot nfs ro,vers=4.2,"), "{fstab}");
    for line in exports_of(&pool, "a") {
        assert!(
            line.contains("(ro,sync,") && !line.contains("(rw,"),
            "{line}"
        );
    }
    let hosts = pool.read("publish/dnsmasq-hosts/web");
    assert!(
        hosts.contains(",web-010203\n") && hosts.contains(",web-010204\n"),
        "{hosts}"
    );
    pool.assert_sound();

    // What is made of it is so too, and what is taken back is as it was.
    pool.netbe().ok("create web/b");
    assert!(
        exports_of(&pool, "b")
            .iter()
            .all(|line| line.contains("(ro,"))
    );
    let before = pool.boot_text("web/b");
    pool.netbe().ok("set --existing web");
    assert_eq!(pool.boot_text("web/b"), before);
    pool.netbe().ok("set access= --existing web");
    for env in ["a", "b"] {
        let line = pool.boot_text(&format!("web/{env}"));
        assert!(
            line.contains(" rw ip=dhcp") && !line.contains("init="),
            "{line}"
        );
        let root = pool.half(&format!("web/{env}"), "root");
        assert!(!root.join(PROGRAM).exists());
        let fstab = fs::read_to_string(root.join("etc/fstab")).unwrap();
        assert!(fstab.contains("/boot nfs defaults,"), "{fstab}");
        assert!(
            exports_of(&pool, env)
                .iter()
                .all(|line| line.contains("(rw,"))
        );
    }
    pool.assert_sound();
}

#[test]
fn properties_that_need_a_writable_root_are_refused() {
    let pool = with_web();
    for (line, words) in [
        (
            "set nfs.version=4.2 web",
            &["version 4.2", "nfs.version=3 access=ro web"][..],
        ),
        (
            "set root=LABEL=disk web --force",
            &["a disk of its own", "root=nfs access=ro web"],
        ),
        (
            "set ip=10.0.0.5/24 web",
            &["several machines boot web", "ip=dhcp web"],
        ),
        (
            "set data=/home web",
            &["one machine writes", "data=none web"],
        ),
        ("set data=/home", &["one machine writes", "data=none web"]),
    ] {
        pool.refuses(3, line, words);
    }
    // One machine may have data, and an address.
    pool.netbe().ok(&format!("set mac={MAC} web"));
    pool.netbe().ok("set ip=10.0.0.5/24 web");
}

#[test]
fn a_root_without_the_needed_programs_does_not_become_read_only() {
    let pool = Pool::with_template();
    pool.netbe().ok(&format!("create web/a --mac {MAC}"));
    pool.netbe().ok("set access=ro web");
    pool.refuses(
        3,
        "create web/b -a",
        &["has no pivot_root, chroot", "no overlay filesystem"],
    );
    let failed = pool.netbe().run("set --existing web");
    assert_eq!(failed.status, 3, "{failed:#?}");
    assert!(
        exports_of(&pool, "a")
            .iter()
            .all(|line| line.contains("(rw,"))
    );
    assert!(pool.boot_text("web/a").contains(" rw "));
}

#[test]
fn a_running_environment_does_not_become_read_only() {
    let pool = Pool::with_template_of(&debian());
    pool.netbe().ok(&format!("create nog/a --mac {MAC}"));
    pool.boots("nog/a", "this-boot");
    let failed = pool.netbe().run("set access=ro --existing nog");
    assert_eq!(failed.status, 3, "{failed:#?}");
    assert!(
        failed
            .stderr
            .contains("nog runs nog/a, and could not write"),
        "{failed:#?}"
    );
    assert!(
        exports_of(&pool, "a")
            .iter()
            .all(|line| line.contains("(rw,"))
    );
    pool.assert_sound();
    // Another one is; and the node goes back to the one that it wrote to, while it is one machine.
    pool.netbe().ok("create nog/b -a");
    assert!(
        exports_of(&pool, "b")
            .iter()
            .all(|line| line.contains("(ro,"))
    );
    pool.assert_sound();
    pool.netbe().ok("rollback nog");
    pool.netbe().ok("activate nog/b");
    pool.netbe().ok(&format!("set mac={MAC},{OTHER} nog"));
    pool.refuses(
        3,
        "rollback nog",
        &["several machines would write to one root"],
    );
}

/// Has a machine of `web` report, as the unit in its environment does.
pub(crate) fn machine_reports(pool: &Pool, mac: &str, env: &str, boot_id: &str) {
    let dir = pool.at("nodes/web/reports");
    let text = format!("env={env}\nboot_id={boot_id}\nkernel=6.1.0-50-amd64\ntime=1\n");
    // The kernel's time of a file is that of its last tick, which may be before what was done just now.
    let now = std::time::UNIX_EPOCH.elapsed().unwrap();
    let place = dir.join(mac.replace(':', "-"));
    wait_until("the clock's next tick", || {
        fs::write(dir.join(".new"), &text).unwrap();
        fs::rename(dir.join(".new"), &place).unwrap();
        let found = fs::metadata(&place).unwrap();
        (found.ctime(), found.ctime_nsec()) >= (now.as_secs() as i64, i64::from(now.subsec_nanos()))
    });
}

#[test]
fn a_second_machine_wants_environments_that_are_made_for_several() {
    let pool = Pool::with_template_of(&debian());
    pool.netbe().ok(&format!("create web/a --mac {MAC}"));
    pool.netbe().ok("set access=ro --existing web");
    let done = pool.netbe().run(&format!("set mac={MAC},{OTHER} web"));
    assert!(
        done.stderr.contains("netbe set --existing web"),
        "{done:#?}"
    );
    pool.netbe().ok("create web/b");
    pool.netbe().ok("activate web/b");
    let words = ["made for one machine", "netbe set --existing web"];
    pool.refuses(3, "rollback web", &words);
    pool.netbe().ok("set --existing web");
    pool.netbe().ok("rollback web");
    pool.assert_sound();
}

#[test]
fn machines_report_into_a_small_export_of_their_node() {
    let pool = with_web();
    let reports = pool.at("nodes/web/reports");
    let uuid = pool.subvolume_uuid("nodes/web/reports");
    let exports = pool.read("publish/exports");
    let line = format!("\"{}\" ", reports.display());
    let line = exports.lines().find(|l| l.starts_with(&line)).unwrap();
    assert!(line.contains("(rw,sync,") && line.contains(&uuid), "{line}");
    pool.netbe().ok("create web/b");
    for env in ["a", "b"] {
        let unit = pool.half(&format!("web/{env}"), "root");
        let unit = unit.join("etc/systemd/system/netbe-report.service");
        let unit = fs::read_to_string(unit).unwrap();
        assert!(
            unit.contains(&format!("192.0.2.1:{} /run", reports.display())),
            "{unit}"
        );
        assert!(unit.contains(&format!("echo env={env};")), "{unit}");
    }
    // It goes with its node, and only so.
    machine_reports(&pool, MAC, "a", "1");
    pool.netbe().ok("set mac= web --force");
    pool.netbe().ok("rename web www");
    assert!(!pool.read("publish/exports").contains("/nodes/web/"));
    pool.assert_sound();
    pool.netbe().ok("destroy -r -y www");
    assert!(!pool.at("nodes/www").exists());
}

#[test]
fn invariant_6_an_environment_may_run_until_each_machine_has_reported_another() {
    let pool = with_web();
    pool.netbe().ok("create web/b");
    for (mac, boot_id) in [(MAC, "1"), (OTHER, "2")] {
        machine_reports(&pool, mac, "a", boot_id);
    }
    assert_eq!(
        (pool.flags("web/a"), pool.flags("web/b")),
        ("NR".into(), "-".into())
    );
    pool.netbe().ok("activate web/b");
    machine_reports(&pool, MAC, "b", "3");
    assert_eq!(
        (pool.flags("web/a"), pool.flags("web/b")),
        ("N".into(), "NR".into())
    );
    pool.refuses(3, "destroy -y web/a", &["web runs web/a"]);
    let done = pool.netbe().ok("status web");
    for (name, env) in [("dc-a6-32-01-02-03", "b"), ("dc-a6-32-01-02-04", "a")] {
        assert!(done.contains(&format!("{name}: {env}, since ")), "{done}");
    }
    let counted = "booted   a on 1, b on 1 of 2 machines";
    assert!(done.contains(counted), "{done}");
    let done = pool.netbe().ok("status --json web");
    let done: serde_json::Value = serde_json::from_str(&done).unwrap();
    let machines = &done["nodes"][0]["machines"];
    assert_eq!(machines[0]["reboot_changes"], false, "{done}");
    assert_eq!(machines[1]["reboot_changes"], true, "{done}");
    // The same boot, told again, is no other one; a machine that is new has not told anything.
    machine_reports(&pool, OTHER, "b", "2");
    pool.refuses(3, "destroy -y web/a", &["may be running web/a"]);
    pool.netbe()
        .ok(&format!("set mac={MAC},{OTHER},dc:a6:32:01:02:05 web"));
    machine_reports(&pool, OTHER, "b", "4");
    pool.refuses(3, "destroy -y web/a", &["may be running web/a"]);
    let third = "dc:a6:32:01:02:05";
    assert!(
        pool.netbe()
            .ok("status web")
            .contains("02-05: has not reported")
    );
    machine_reports(&pool, third, "b", "5");
    assert_eq!(
        (pool.flags("web/a"), pool.flags("web/b")),
        ("-".into(), "NR".into())
    );
    pool.netbe().ok("destroy -y web/a");
    pool.assert_sound();
}

#[test]
fn a_machine_on_trial_reports_though_it_cannot_write_its_root() {
    let pool = with_web();
    pool.netbe().ok(&format!("set mac={MAC} web --force"));
    machine_reports(&pool, MAC, "a", "1");
    pool.netbe().ok("create web/b");
    let done = pool.netbe().run("activate --try web/b");
    assert!(!done.stderr.contains("no unit that reports"), "{done:#?}");
    machine_reports(&pool, MAC, "b", "2");
    pool.netbe().ok("reconcile");
    assert_eq!(pool.active("web"), "b");
}

#[test]
fn invariant_10_whatever_is_among_the_reports_does_not_disturb() {
    let pool = with_web();
    let dir = pool.at("nodes/web/reports");
    let name = |last: u8| dir.join(format!("dc-a6-32-01-02-{last:02x}"));
    nix::unistd::mkfifo(&name(3), nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", name(4)).unwrap();
    fs::create_dir(name(5)).unwrap();
    fs::write(name(6), "env=../../x\nboot_id=\x1b[2J\n").unwrap();
    fs::write(name(7), "x".repeat(1 << 20)).unwrap();
    fs::write(dir.join("not an address"), "env=a\nboot_id=1\n").unwrap();
    let done = pool.netbe().ok("status web");
    assert_eq!(done.matches("has not reported").count(), 2, "{done}");
    assert_eq!(pool.flags("web/a"), "?R");
    // A link in its place leads nowhere.
    let away = pool.beside().join("reports");
    fs::create_dir(&away).unwrap();
    fs::write(away.join("dc-a6-32-01-02-03"), "env=a\nboot_id=1\n").unwrap();
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        let _ = fs::remove_dir(&path).or_else(|_| fs::remove_file(&path));
    }
    fs::remove_dir(&dir).unwrap();
    std::os::unix::fs::symlink(&away, &dir).unwrap();
    assert_eq!(pool.flags("web/a"), "?R");
}
