//! What is known of what a machine runs, and where that comes from.

use std::fs;
use std::path::PathBuf;

use super::machine::{Machine, PC, with_b};
use super::support::{Pool, TFTP_NAME};

#[test]
fn nothing_is_out_of_date_by_what_a_machine_boots() {
    let pool = with_b();
    pool.netbe().ok("activate --try nog/b");
    pool.fetches(&PC);
    pool.age(20);
    pool.netbe().ok("reconcile");
    pool.reports("nog/b", "this-boot");
    pool.netbe().ok("reconcile");
    for env in ["a", "b", "a"] {
        pool.netbe().ok(&format!("activate nog/{env}"));
        pool.fetches(&PC);
        pool.netbe().ok("check");
    }
    pool.netbe().ok("destroy -y nog/b");
    pool.netbe().ok("check");
    assert!(!pool.read("publish/exports").contains("/envs/b/"));
}

#[test]
fn invariant_6_a_switch_in_the_middle_of_a_fetching_leaves_both_possible() {
    let pool = with_b();
    pool.fetches(&PC[..3]);
    pool.netbe().ok("activate nog/b");
    pool.fetches(&PC[3..]);
    // Whose kernel that was cannot be told: neither may go.
    assert_eq!(
        (pool.flags("nog/a"), pool.flags("nog/b")),
        ("?".into(), "?R".into())
    );
    pool.refuses(3, "destroy -y nog/a", &["nog may be running nog/a"]);
    pool.fetches(&PC);
    assert_eq!(
        (pool.flags("nog/a"), pool.flags("nog/b")),
        ("-".into(), "NR".into())
    );
    pool.netbe().ok("destroy -y nog/a");
}

#[test]
fn evidence_of_another_that_had_the_name_is_none() {
    let pool = with_b();
    pool.netbe().ok("activate nog/b");
    pool.fetches(&PC);
    pool.netbe().ok("activate nog/a");
    pool.fetches(&PC);
    pool.netbe().ok("destroy -y nog/b");
    pool.netbe().ok("create nog/b");
    assert_eq!(pool.flags("nog/b"), "-");
}

#[test]
fn transfers_of_what_is_no_nodes_file_are_ignored() {
    let pool = with_b();
    let before = pool.fingerprint();
    let name = pool.at(&format!("tftp/{TFTP_NAME}"));
    for path in [
        "/etc/passwd".to_string(),
        pool.at("tftp").display().to_string(),
        name.display().to_string(),
        pool.at("tftp/00-00-00-00-00-01/kernel8.img")
            .display()
            .to_string(),
        pool.at("tftp/../pool.json").display().to_string(),
    ] {
        pool.netbe().ok(&format!("transfer 1 10.0.0.5 {path}"));
    }
    before.assert_unchanged(&pool.fingerprint());
}

#[test]
fn the_unit_that_reports_is_placed_and_left_out() {
    let pool = Pool::with_served_node();
    let unit = |env: &str| {
        pool.half(env, "root")
            .join("etc/systemd/system/netbe-report.service")
    };
    let link = |env: &str| {
        let wants = "etc/systemd/system/multi-user.target.wants/netbe-report.service";
        fs::read_link(pool.half(env, "root").join(wants)).ok()
    };
    assert!(unit("nog/a").is_file());
    assert_eq!(
        link("nog/a"),
        Some(PathBuf::from("../netbe-report.service"))
    );
    // What it reported is of itself, not of what is made from it.
    pool.reports("nog/a", "b");
    pool.netbe().ok("create nog/b");
    assert!(
        !pool
            .half("nog/b", "root")
            .join("var/lib/netbe/booted")
            .exists()
    );
    pool.netbe().ok("set report=off nog");
    pool.netbe().ok("create nog/c");
    assert!(!unit("nog/c").exists() && link("nog/c").is_none());
    let said = pool.netbe().run("activate --try nog/c");
    assert!(
        said.stderr
            .contains("nothing in nog/c reports that it came up"),
        "{said:?}"
    );
    // Masked by a person: it stays so.
    pool.netbe().ok("set report=on nog");
    let masked = unit("nog/b");
    fs::remove_file(&masked).unwrap();
    std::os::unix::fs::symlink("/dev/null", &masked).unwrap();
    pool.netbe().ok("create nog/d --from nog/b");
    assert_eq!(
        fs::read_link(unit("nog/d")).unwrap(),
        PathBuf::from("/dev/null")
    );
    pool.refuses(2, "set report=perhaps nog", &["neither on nor off"]);
}

#[test]
fn invariant_5_a_report_that_is_a_trap_is_none() {
    let pool = with_b();
    let dir = pool.half("nog/a", "root").join("var/lib/netbe");
    fs::create_dir_all(&dir).unwrap();
    let file = dir.join("booted");
    let outside = pool.beside().join("report");
    fs::write(&outside, "boot_id=1\nkernel=x\n").unwrap();
    let plant: [&dyn Fn(); 5] = [
        &|| std::os::unix::fs::symlink(&outside, &file).unwrap(),
        &|| std::os::unix::fs::symlink("/etc/hostname", &file).unwrap(),
        &|| nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap(),
        &|| fs::write(&file, vec![b'x'; 1 << 20]).unwrap(),
        &|| fs::write(&file, "boot_id=\u{1b}[2J\nkernel=x\n").unwrap(),
    ];
    for plant in plant {
        plant();
        let status = pool.netbe().ok("status nog");
        assert!(
            status.contains("fetched its kernel") && !status.contains("kernel x"),
            "{status}"
        );
        fs::remove_file(&file).unwrap();
    }
}
