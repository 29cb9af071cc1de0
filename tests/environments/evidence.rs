//! The evidence of which environment a machine runs, and its sources.

use std::fs;
use std::path::PathBuf;

use crate::machine::{Machine, PC, STRANGER, with_b, with_b_of_no_address};
use crate::support::{Pool, TFTP_NAME, refusal, wait_until};

#[test]
fn a_boot_leaves_the_published_files_up_to_date() {
    let pool = with_b();
    pool.netbe().ok("activate --try nog/b");
    pool.fetches(&PC);
    pool.age(20);
    pool.netbe().ok("reconcile");
    pool.reports("nog/b", "this-boot");
    pool.netbe().ok("reconcile");
    for (env, boot) in [("a", "1"), ("b", "2"), ("a", "3")] {
        pool.netbe().ok(&format!("activate nog/{env}"));
        pool.boots(&format!("nog/{env}"), boot);
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
    pool.refuses(3, "destroy -y nog/a", &["nog may be running nog/a"]);
    pool.reports("nog/b", "second-boot");
    assert_eq!(
        (pool.flags("nog/a"), pool.flags("nog/b")),
        ("-".into(), "NR".into())
    );
    pool.netbe().ok("destroy -y nog/a");
}

#[test]
fn evidence_of_a_former_environment_of_the_same_name_does_not_count() {
    let pool = with_b();
    pool.netbe().ok("activate nog/b");
    pool.boots("nog/b", "second-boot");
    pool.netbe().ok("activate nog/a");
    pool.boots("nog/a", "third-boot");
    pool.netbe().ok("destroy -y nog/b");
    pool.netbe().ok("create nog/b");
    assert_eq!(pool.flags("nog/b"), "-");
}

#[test]
fn transfers_of_files_of_no_node_are_ignored() {
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
    let output = pool.netbe().run("activate --try nog/c");
    assert!(
        output
            .stderr
            .contains("nog/c has no unit that reports a completed boot"),
        "{output:?}"
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
fn invariant_5_links_pipes_and_garbage_are_not_read_as_reports() {
    let pool = with_b_of_no_address();
    pool.fetches(&PC);
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
            status.contains("a was fetched from at") && !status.contains("kernel x"),
            "{status}"
        );
        fs::remove_file(&file).unwrap();
    }
}

#[test]
fn invariant_6_no_transfer_takes_doubt_away() {
    for of_known_address in [false, true] {
        let pool = match of_known_address {
            true => with_b(),
            false => with_b_of_no_address(),
        };
        pool.reports("nog/a", "first-boot");
        pool.netbe().ok("activate nog/b");
        for client in [STRANGER, crate::machine::ADDRESS] {
            for files in [&PC[3..], &PC[3..4], &PC, &PC] {
                pool.fetched_by(client, files);
                for line in [
                    "destroy -y nog/a",
                    "rename nog/a c",
                    "run nog/a -- true",
                    "destroy -y -r nog",
                ] {
                    pool.refuses(refusal(line), line, &["nog/", "hint: "]);
                }
                pool.netbe().ok("prune --keep 1");
                assert_eq!(pool.names("nog"), ["a", "b"]);
            }
        }
        pool.reports("nog/b", "second-boot");
        assert_eq!(pool.flags("nog/b"), "NR");
        pool.netbe().ok("destroy -y nog/a");
    }
}

#[test]
fn a_transfer_of_another_host_is_not_the_nodes() {
    let pool = with_b();
    pool.netbe().ok("activate nog/b");
    pool.fetched_by(STRANGER, &PC);
    assert_eq!(
        (pool.flags("nog/a"), pool.flags("nog/b")),
        ("N".into(), "R".into())
    );
    assert!(pool.read("nodes/nog/boots.jsonl").contains(STRANGER));
    pool.fetches(&PC[..1]);
    assert_eq!(pool.flags("nog/b"), "?R");
}

#[test]
fn invariant_6_a_strangers_transfer_does_not_show_that_transfers_are_recorded() {
    // It may boot by another TFTP server, of which nothing is heard here.
    let pool = with_b_of_no_address();
    pool.fetched_by(STRANGER, &PC);
    pool.reports("nog/a", "first-boot");
    pool.netbe().ok("activate nog/b");
    assert_eq!(pool.flags("nog/b"), "?R");
    pool.refuses(3, "rename nog/b c", &["nog may be running nog/b"]);
}

#[test]
fn invariant_6_an_environment_that_the_nfs_server_has_in_use_is_protected() {
    let pool = with_b();
    pool.netbe().ok("activate nog/b");
    pool.boots("nog/b", "second-boot");
    for half in ["root", "boot"] {
        pool.mounts(&["nodes/nog/envs/b/root", &format!("nodes/nog/envs/a/{half}")]);
        assert_eq!(pool.flags("nog/a"), "?");
        for line in [
            "destroy -y nog/a",
            "rename nog/a c",
            "run nog/a -- true",
            "destroy -y -r nog",
        ] {
            pool.refuses(refusal(line), line, &["nog", "in use"]);
        }
        pool.netbe().ok("prune --keep 1");
        assert_eq!(pool.names("nog"), ["a", "b"]);
    }
    // Off the network, too.
    pool.netbe().ok("set --force mac= nog");
    pool.refuses(3, "destroy -y nog/a", &["the NFS server has it in use"]);
    // What had been left long ago is forgotten when it is asked about.
    pool.mounts(&["nodes/nog/envs/a/root"]);
    let nfsd = pool.beside().join("nfsd");
    let forgets = std::thread::spawn(move || {
        wait_until("it is asked to forget", || {
            !fs::read_to_string(nfsd.join("flush")).unwrap().is_empty()
        });
        fs::write(nfsd.join("content"), "").unwrap();
    });
    pool.netbe().ok("destroy -y nog/a");
    forgets.join().unwrap();
}

#[test]
fn invariant_6_a_table_of_the_nfs_server_that_cannot_be_read_protects() {
    let pool = with_b();
    pool.netbe().ok("activate nog/b");
    pool.boots("nog/b", "second-boot");
    fs::create_dir_all(pool.beside().join("nfsd/content")).unwrap();
    let told = "may be running nog/a (the NFS server's tables cannot be read: ";
    pool.refuses(3, "set mac= nog", &[told]);
    assert_eq!(pool.flags("nog/a"), "?");
    assert_ne!(pool.netbe().run("destroy -y nog/a").status, 0);
    assert_eq!(pool.names("nog"), ["a", "b"]);
}

#[test]
fn invariant_6_a_report_that_is_no_news_takes_no_doubt_away() {
    let pool = with_b();
    pool.netbe().ok("activate nog/b");
    pool.boots("nog/b", "second-boot");
    pool.netbe().ok("activate nog/a");
    pool.netbe().ok("activate nog/b");
    // It says again what it had said when it was led to a: by a copy put back, or a touch.
    pool.reports("nog/b", "second-boot");
    pool.refuses(3, "destroy -y nog/a", &["nog may be running nog/a"]);
    // What a says, and what comes along with an environment, are no better.
    pool.reports("nog/a", "first-boot");
    pool.refuses(
        3,
        "destroy -y nog/a",
        &["nog may be running nog/a", "hint: "],
    );
    pool.reports("nog/b", "third-boot");
    pool.netbe().ok("destroy -y nog/a");
}

#[test]
fn invariant_6_a_report_from_before_it_was_led_to_takes_no_doubt_away() {
    let pool = with_b();
    pool.netbe().ok("create nog/c");
    pool.netbe().ok("activate nog/b");
    // The package of an upgrade, or who made an archive, put it there.
    pool.reports("nog/c", "forged");
    pool.netbe().ok("activate nog/c");
    for env in ["a", "b"] {
        pool.refuses(3, &format!("destroy -y nog/{env}"), &["nog/", "hint: "]);
    }
    pool.reports("nog/c", "second-boot");
    pool.netbe().ok("destroy -y nog/a nog/b");
}

#[test]
fn invariant_6_a_clock_that_was_set_back_takes_no_doubt_away() {
    let pool = with_b();
    pool.netbe().ok("activate nog/b");
    pool.boots("nog/b", "second-boot");
    pool.netbe().ok("activate nog/a");
    pool.netbe().ok("activate nog/b");
    // As it stands where the clock was years behind meanwhile.
    let path = "nodes/nog/envs/a/env.json";
    let mut record: serde_json::Value = serde_json::from_str(&pool.read(path)).unwrap();
    record["left"] = "2001-01-01T00:00:00Z".into();
    pool.write(path, &record.to_string());
    pool.refuses(3, "destroy -y nog/a", &["nog may be running nog/a"]);
    pool.reports("nog/b", "third-boot");
    pool.netbe().ok("destroy -y nog/a");
}

#[test]
fn long_nfs_use_of_one_environment_shows_that_the_other_was_left() {
    let pool = with_b();
    pool.netbe().ok("activate nog/b");
    pool.fetches(&PC);
    pool.mounts(&["nodes/nog/envs/b/root"]);
    pool.netbe().ok("reconcile");
    let ago = |minutes: i64| {
        (jiff::Timestamp::now() - jiff::SignedDuration::from_mins(minutes)).to_string()
    };
    let older = |since: i64| {
        let mut known: serde_json::Value =
            serde_json::from_str(&pool.read("nodes/nog/in-use.json")).unwrap();
        (known["since"], known["until"]) = (ago(since).into(), ago(6).into());
        pool.write("nodes/nog/in-use.json", &known.to_string());
        let path = "nodes/nog/envs/a/env.json";
        let mut record: serde_json::Value = serde_json::from_str(&pool.read(path)).unwrap();
        record["left"] = ago(80).into();
        pool.write(path, &record.to_string());
        pool.netbe().ok("reconcile");
    };
    let boots = pool.read("nodes/nog/boots.jsonl");
    let aged = boots.lines().map(|line| {
        let mut seen: serde_json::Value = serde_json::from_str(line).unwrap();
        seen["time"] = ago(90).into();
        format!("{seen}\n")
    });
    pool.write("nodes/nog/boots.jsonl", &aged.collect::<String>());
    older(60);
    pool.refuses(3, "destroy -y nog/a", &["nog may be running nog/a"]);
    // With the other, it is two that it may be.
    pool.mounts(&["nodes/nog/envs/a/root", "nodes/nog/envs/b/root"]);
    pool.netbe().ok("reconcile");
    assert!(!pool.at("nodes/nog/in-use.json").exists());
    pool.mounts(&["nodes/nog/envs/b/root"]);
    pool.netbe().ok("reconcile");
    older(70);
    pool.netbe().ok("destroy -y nog/a");
}
