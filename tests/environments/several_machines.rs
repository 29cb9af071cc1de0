//! The machines that boot one node at once: which of them keeps an environment, and what ends that.

use std::fs;

use crate::access::{OTHER, machine_reports, with_web};
use crate::support::{MAC, Pool};

const THIRD: &str = "dc:a6:32:01:02:05";

/// A node of three machines that boots `web/b`: one runs that, one still runs `web/a`, and one has never reported.
fn of_three() -> Pool {
    let pool = with_web();
    pool.netbe()
        .ok(&format!("set mac={MAC},{OTHER},{THIRD} web"));
    pool.netbe().ok("create web/b");
    machine_reports(&pool, MAC, "a", "1");
    machine_reports(&pool, OTHER, "a", "2");
    pool.netbe().ok("activate web/b");
    machine_reports(&pool, MAC, "b", "3");
    pool
}

fn json_of(pool: &Pool) -> serde_json::Value {
    let output = pool.netbe().ok("status --json web");
    let output: serde_json::Value = serde_json::from_str(&output).unwrap();
    output["nodes"][0]["machines"].clone()
}

#[test]
fn status_shows_the_running_possible_and_next_environment_of_each_machine() {
    let pool = of_three();
    let output = pool.netbe().ok("status web");
    let line = |name: &str| {
        let mut lines = output.lines().map(str::trim);
        lines.find(|line| line.starts_with(name)).unwrap()
    };
    assert!(
        !line("dc-a6-32-01-02-03: b, since ").contains("next"),
        "{output}"
    );
    assert!(
        line("dc-a6-32-01-02-04: a, since ").ends_with("; boots b next"),
        "{output}"
    );
    assert_eq!(
        line("dc-a6-32-01-02-05"),
        "dc-a6-32-01-02-05: has not reported, and may run a, b; boots b next"
    );
    let machines = json_of(&pool);
    let may_run = |at: usize| machines[at]["may_run"].to_string();
    assert_eq!(
        [may_run(0), may_run(1), may_run(2)],
        [r#"["b"]"#, r#"["a"]"#, r#"["a","b"]"#]
    );
    assert!((0..3).all(|at| machines[at]["next"] == "b"), "{machines}");
}

#[test]
fn the_machine_that_keeps_an_environment_is_named_and_taking_its_address_out_ends_that() {
    let pool = of_three();
    let hint = format!("netbe set --force mac={MAC} web");
    let words = [
        "web runs web/a, on 2 of its 3 machines",
        "dc-a6-32-01-02-04 reported a at ",
        "dc-a6-32-01-02-05 has not reported",
        &hint,
    ];
    pool.refuses(3, "destroy -y web/a", &words);
    // Otherwise it would stay as the one to roll back to.
    pool.netbe().ok("create web/c");
    pool.netbe().ok("activate web/c");
    let pruned = pool.netbe().run("prune --keep 1 web");
    assert_eq!(pruned.status, 0, "{pruned:#?}");
    let words = "note: web/a stays: web runs web/a, on 2 of its 3 machines";
    assert!(pruned.stderr.contains(words), "{pruned:#?}");

    // One that has reported may be running: it is taken out by force alone.
    let words = [
        "dc-a6-32-01-02-04 of web reported a at ",
        "would lose its boot files",
        &format!("netbe set --force mac={MAC},{THIRD} web"),
    ];
    pool.refuses(3, &format!("set mac={MAC},{THIRD} web"), &words);
    assert!(pool.at("tftp/dc-a6-32-01-02-04").symlink_metadata().is_ok());
    let planned = pool
        .netbe()
        .ok(&format!("set -n --force mac={MAC},{THIRD} web"));
    let words = "forget the last boot of dc-a6-32-01-02-04: no environment of web is kept for that";
    assert!(planned.contains(words), "{planned}");
    pool.netbe()
        .ok(&format!("set --force mac={MAC},{THIRD} web"));
    let words = ["web may be running web/a, on 1 of its 2 machines"];
    pool.refuses(3, "destroy -y web/a", &words);
    // Where it runs all the same, it reports, and keeps what it runs.
    machine_reports(&pool, OTHER, "a", "4");
    machine_reports(&pool, THIRD, "b", "5");
    pool.refuses(
        3,
        "destroy -y web/a",
        &["web runs web/a, on 1 of its 3 machines"],
    );
    pool.netbe()
        .ok(&format!("set --force mac={MAC},{THIRD} web"));
    pool.netbe().ok("destroy -y web/a");
    pool.assert_sound();
}

#[test]
fn a_report_is_forgotten_by_force_and_where_the_addresses_are_set_only() {
    let pool = of_three();
    let report = pool.at("nodes/web/reports").join("dc-a6-32-01-02-09");
    fs::write(&report, "env=a\nboot_id=9\n").unwrap();
    pool.netbe()
        .ok(&format!("set mac={MAC},{OTHER},{THIRD} web"));
    pool.netbe().ok("set --force keep=3 web");
    assert!(report.exists());
    pool.netbe()
        .ok(&format!("set --force mac={MAC},{OTHER},{THIRD} web"));
    assert!(!report.exists());
    assert!(pool.at("nodes/web/reports/dc-a6-32-01-02-04").exists());
}

#[test]
fn several_machines_have_no_boot_for_once_and_one_of_them_tries_as_a_node_of_its_own() {
    let pool = with_web();
    pool.netbe().ok("create web/b");
    for line in [
        "activate --once web/b",
        "activate --try web/b",
        "create web/c --once",
    ] {
        pool.refuses(
            3,
            line,
            &["several machines boot web", "netbe activate --help"],
        );
    }
    // As the help of activate has it.
    pool.netbe().ok(&format!("set --force mac={MAC} web"));
    pool.netbe()
        .ok(&format!("create web-1 --from web/b --mac {OTHER}"));
    pool.netbe().ok("set --existing access=ro web-1");
    pool.netbe().ok("activate --once web/b");
    pool.assert_sound();
}

#[test]
fn a_node_left_with_one_machine_is_an_ordinary_node() {
    let pool = of_three();
    pool.refuses(
        3,
        &format!("set mac={MAC} web"),
        &["dc-a6-32-01-02-04 of web reported a at "],
    );
    pool.netbe().ok(&format!("set --force mac={MAC} web"));
    assert!(json_of(&pool).as_array().unwrap().is_empty());
    let output = pool.netbe().ok("status web");
    assert!(output.contains("booted   b, since "), "{output}");
    pool.netbe().ok("destroy -y web/a");
    // It tries one, and reports as before.
    pool.netbe().ok("create web/c");
    pool.netbe().ok("activate --try web/c");
    machine_reports(&pool, MAC, "c", "7");
    pool.netbe().ok("reconcile");
    assert_eq!(
        (pool.active("web"), pool.flags("web/c")),
        ("c".into(), "NR".into())
    );
    // A second one is asked again.
    pool.netbe().ok(&format!("set mac={MAC},{OTHER} web"));
    pool.netbe().ok("create web/d -a");
    let words = [
        "on 2 of its 2 machines",
        "dc-a6-32-01-02-04 has not reported",
    ];
    pool.refuses(3, "destroy -y web/c", &words);
}

#[test]
fn invariant_6_of_more_than_a_thousand_machines_each_boot_is_known_before() {
    let pool = with_web();
    let macs: Vec<String> = (0..1030)
        .map(|n| format!("02:00:00:00:{:02x}:{:02x}", n >> 8, n & 255))
        .collect();
    pool.netbe()
        .ok(&format!("set --force mac={} web", macs.join(",")));
    pool.netbe().ok("create web/b");
    for (n, mac) in macs.iter().enumerate() {
        machine_reports(&pool, mac, "b", &format!("boot-{n}"));
    }
    pool.netbe().ok("activate web/b");
    let record = fs::read_to_string(pool.half("web/a", "env.json")).unwrap();
    let missing = (0..1030).filter(|n| !record.contains(&format!("\"boot-{n}\"")));
    assert_eq!(missing.count(), 0);
    // Told again of the same boots, none of them proves anything.
    for (n, mac) in macs.iter().enumerate() {
        machine_reports(&pool, mac, "b", &format!("boot-{n}"));
    }
    pool.refuses(3, "destroy -y web/a", &["on 1030 of its 1030 machines"]);
    let output = pool.netbe().ok("status web");
    assert!(
        output.contains("02-00-00-00-00-07 and 1022 more (--json"),
        "{output}"
    );
    let one = &macs[1029];
    machine_reports(&pool, one, "b", "another");
    pool.refuses(3, "destroy -y web/a", &["on 1029 of its 1030 machines"]);
}

#[test]
fn which_host_keys_machines_have_is_in_the_program_that_starts_them() {
    let pool = with_web();
    let program = |env: &str| {
        let root = pool.half(&format!("web/{env}"), "root");
        fs::read_to_string(root.join("usr/lib/netbe/read-only-root")).unwrap()
    };
    assert!(program("a").contains("\nkeys=shared\n"));
    pool.refuses(
        2,
        "set ssh-keys=own web",
        &["neither shared, boot nor machine"],
    );
    pool.netbe().ok("set ssh-keys=machine web");
    pool.netbe().ok("create web/b");
    assert!(program("b").contains("\nkeys=machine\n"));
    // What is there stays good, or follows.
    assert!(program("a").contains("\nkeys=shared\n"));
    pool.netbe().ok("activate web/b");
    pool.netbe().ok("rollback web");
    pool.netbe().ok("set ssh-keys=boot --existing web");
    assert!(program("a").contains("\nkeys=boot\n") && program("b").contains("\nkeys=boot\n"));
    pool.assert_sound();
    // One machine has those in its root.
    pool.netbe()
        .ok(&format!("set --force mac={MAC} --existing web"));
    assert!(program("a").contains("\nkeys=shared\n"));
}
