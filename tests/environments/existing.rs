//! Environments that are there, brought along by `set --existing`: the server has another address, or the pool a new path.

use std::fs;
use std::process::Command;

use crate::machine::Machine;
use crate::support::{MAC, Netbe, Pool, SERVER, System, run};

/// Another address of this machine.
const NEW: &str = "192.0.2.2";

/// A Raspberry Pi's pool: `nog/a` is active, `nog/b` pinned and older, `base/stock` the template's.
fn with_three() -> Pool {
    let pool = Pool::with_template_of(&System::raspberry_pi());
    pool.netbe().ok("create nog/b --serial 9ffefdef");
    pool.netbe().ok("create nog/a -a");
    pool.netbe().ok("pin nog/b");
    pool.assert_sound();
    pool
}

const ALL: [&str; 3] = ["base/stock", "nog/a", "nog/b"];

fn fstab(pool: &Pool, env: &str) -> String {
    fs::read_to_string(pool.half(env, "root").join("etc/fstab")).unwrap()
}

/// What a command failed with, without hints and warnings.
fn errors(stderr: &str) -> Vec<&str> {
    let lines = stderr.lines();
    lines.filter(|line| line.starts_with("error: ")).collect()
}

#[test]
fn set_existing_rewrites_all_environments_for_another_server_address() {
    let pool = with_three();
    let output = pool.netbe().run(&format!("set server={NEW}"));
    assert!(
        output.stderr.contains("netbe set --existing\n"),
        "{output:#?}"
    );
    let found = pool.netbe().run("check").stdout;
    assert!(found.starts_with("boot files: "), "{found}");
    assert_eq!(found.lines().count(), 2, "{found}");
    assert!(
        found.ends_with("  remedy: netbe set --existing\n"),
        "{found}"
    );
    pool.refuses(3, "activate nog/b", &["nog/b would not boot"]);
    let plan = pool.plans("set --existing");
    for env in ALL {
        let step = format!("would write the boot files and fstab of {env} as set\n");
        assert!(plan.contains(&step), "{plan}");
    }
    let output = pool.netbe().ok("set --existing");
    assert!(
        output.starts_with("Wrote the boot files of 3 environments"),
        "{output}"
    );
    for env in ALL {
        let text = pool.boot_text(env);
        assert!(text.contains(NEW) && !text.contains("192.0.2.1:"), "{text}");
        let fstab = fstab(&pool, env);
        assert!(
            fstab.contains(NEW) && !fstab.contains("192.0.2.1:"),
            "{fstab}"
        );
    }
    pool.assert_sound();
    pool.netbe().ok("rollback nog");
    // The same again changes nothing.
    let before = pool.boot_text("nog/a");
    let plan = pool.plans("set --existing nog");
    assert!(!plan.contains("boot files"), "{plan}");
    let output = pool.netbe().ok("set --existing nog");
    assert!(output.starts_with("Wrote no boot files: "), "{output}");
    assert_eq!(pool.boot_text("nog/a"), before);
    // Of two, the one that differs.
    let cmdline = pool.half("nog/b", "boot").join("cmdline.txt");
    fs::write(&cmdline, pool.boot_text("nog/b").replace(NEW, SERVER)).unwrap();
    let plan = pool.plans("set --existing nog");
    assert!(
        plan.contains("of nog/b as set\n") && !plan.contains("of nog/a"),
        "{plan}"
    );
    let output = pool.netbe().ok("set --existing nog");
    assert!(
        output.starts_with("Wrote the boot files of 1 environment;"),
        "{output}"
    );
}

#[test]
fn a_property_is_set_and_brought_along_at_once() {
    let pool = with_three();
    let plan = pool.plans(&format!("set server={NEW} --existing nog"));
    assert!(
        plan.starts_with("would set server=192.0.2.2 on nog\n"),
        "{plan}"
    );
    assert!(!plan.contains("base/stock"), "{plan}");
    pool.netbe()
        .ok(&format!("set server={NEW} cmdline=quiet --existing nog"));
    for env in ["nog/a", "nog/b"] {
        let text = pool.boot_text(env);
        assert!(text.contains(NEW) && text.contains(" quiet"), "{text}");
    }
    assert!(pool.boot_text("base/stock").contains(SERVER));
    pool.assert_sound();
    pool.netbe().ok("set server= cmdline= nog --existing");
    let text = pool.boot_text("nog/a");
    assert!(text.contains(SERVER) && !text.contains(" quiet"), "{text}");
    pool.assert_sound();
    pool.refuses(2, "set nog", &["nothing to set"]);
    pool.refuses(4, "set --existing ordo", &["no node ordo"]);
}

#[test]
fn a_reserved_address_changes_no_boot_file_and_has_no_note() {
    let pool = Pool::with_served_node();
    let output = pool.netbe().run("set ip=dhcp,192.0.2.5 nog");
    assert!(!output.stderr.contains("--existing"), "{output:#?}");
    // The value that holds already.
    let output = pool.netbe().run(&format!("set server={SERVER} nog"));
    assert!(!output.stderr.contains("--existing"), "{output:#?}");
    let output = pool.netbe().run("set ip=192.0.2.5/24 nog");
    assert!(
        output.stderr.contains("netbe set --existing nog"),
        "{output:#?}"
    );
}

#[test]
fn set_existing_rewrites_all_environments_for_another_pool_path() {
    let pool = with_three();
    let elsewhere = pool.beside().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    // What is shared cannot be moved.
    run(Command::new("mount").args(["--make-rprivate", "/"]));
    run(Command::new("mount")
        .arg("--move")
        .args([pool.path(), &elsewhere]));
    let netbe = Netbe::new(&elsewhere, pool.beside());
    let found = netbe.run("check").stdout;
    assert!(
        found.contains("  remedy: netbe set --existing\n"),
        "{found}"
    );
    netbe.ok("set --existing");
    let root = elsewhere.join("nodes/nog/envs/b/root");
    let line = fs::read_to_string(elsewhere.join("nodes/nog/envs/b/boot/cmdline.txt")).unwrap();
    assert!(line.contains(&format!(":{}", root.display())), "{line}");
    let fstab = fs::read_to_string(root.join("etc/fstab")).unwrap();
    assert!(fstab.contains("elsewhere/nodes/nog/envs/b/boot"), "{fstab}");
    assert_eq!(netbe.ok("check"), "Everything is sound.\n");
    run(Command::new("umount").arg("--lazy").arg(&elsewhere));
}

#[test]
fn an_environment_that_cannot_be_written_does_not_stop_the_others() {
    let pool = with_three();
    let boot = pool.half("nog/b", "boot");
    let property = |value: &str| {
        run(Command::new("btrfs")
            .args(["property", "set"])
            .arg(&boot)
            .args(["ro", value]));
    };
    property("true");
    // Nothing of it differs: nothing is to be written.
    pool.netbe().ok("set --existing -n");
    let foreseen = pool.netbe().run(&format!("set server={NEW} --existing -n"));
    let output = pool.netbe().run(&format!("set server={NEW} --existing"));
    assert_eq!((foreseen.status, output.status), (1, 1), "{output:#?}");
    assert_eq!(errors(&foreseen.stderr), errors(&output.stderr));
    assert!(!foreseen.stdout.contains("nog/b"), "{foreseen:#?}");
    assert!(foreseen.stdout.contains("of nog/a as set"), "{foreseen:#?}");
    assert!(
        output
            .stderr
            .contains("error: nog/b keeps the boot files it had: "),
        "{output:#?}"
    );
    assert!(
        output
            .stdout
            .contains("Wrote the boot files of 2 environments"),
        "{output:#?}"
    );
    assert!(pool.boot_text("nog/a").contains(NEW));
    assert!(pool.boot_text("base/stock").contains(NEW));
    property("false");
    pool.netbe().ok("set --existing nog");
    pool.assert_sound();
}

#[test]
fn a_dry_run_refuses_read_only_halves_as_the_run_does() {
    let pool = Pool::with_template_of(&System::raspberry_pi());
    let netbe = pool.netbe();
    netbe.ok("create nog/a -a --serial 9ffefdef");
    let root = pool.half("nog/a", "root");
    let read_only = |value: &str| {
        run(Command::new("btrfs")
            .args(["property", "set"])
            .arg(&root)
            .args(["ro", value]));
    };
    let same = |arguments: &str, is_refused: bool| {
        let foreseen = netbe.run(&format!("set {arguments} --existing -n"));
        let output = netbe.run(&format!("set {arguments} --existing"));
        assert_eq!(
            errors(&foreseen.stderr),
            errors(&output.stderr),
            "{arguments}"
        );
        assert_eq!(output.status, i32::from(is_refused), "{output:#?}");
        assert_eq!(
            output.stderr.contains("is a read-only subvolume"),
            is_refused,
            "{output:#?}"
        );
    };
    read_only("true");
    same("nog", false);
    // The unit by which it reports, alone.
    same("report=off nog", true);
    netbe.ok("set report=on nog");
    same("nog", false);
    // Its link, taken away by the node.
    read_only("false");
    fs::remove_file(root.join("etc/systemd/system/multi-user.target.wants/netbe-report.service"))
        .unwrap();
    read_only("true");
    same("nog", true);
    read_only("false");
    same("nog", false);
    pool.assert_sound();
}

#[test]
fn invariant_6_a_running_node_keeps_its_exports_until_it_has_booted_again() {
    let pool = Pool::with_template();
    pool.netbe()
        .ok(&format!("create nog/a --mac {MAC} --ip dhcp,10.0.0.5"));
    pool.boots("nog/a", "first");
    let exports = || pool.read("publish/exports");
    let line = "set ip=10.0.0.6/24 nog";
    pool.refuses(3, line, &["nog runs nog/a, and would lose its root"]);
    let plan = pool.plans(&format!("{line} --existing"));
    assert!(
        plan.contains("would go on exporting the environments of nog to 10.0.0.5 until"),
        "{plan}"
    );
    pool.netbe().ok(&format!("{line} --existing"));
    assert!(pool.boot_text("nog/a").contains("ip=10.0.0.6:"));
    // What it reported stays.
    assert_eq!(pool.flags("nog/a"), "NR");
    assert!(exports().contains(" 10.0.0.5("), "{}", exports());
    assert!(exports().contains(" 10.0.0.6("), "{}", exports());
    pool.assert_sound();
    pool.netbe().ok("publish");
    pool.netbe().ok("reconcile");
    assert!(exports().contains(" 10.0.0.5("), "{}", exports());
    pool.reports("nog/a", "second");
    let output = pool.netbe().ok("reconcile");
    assert!(output.contains("nog has booted again"), "{output}");
    assert!(!exports().contains(" 10.0.0.5("), "{}", exports());
    pool.assert_sound();
    // For all of the pool.
    pool.netbe().ok("set ip= nog --force");
    pool.reports("nog/a", "third");
    pool.netbe().ok("set clients=10.0.0.0/24 --force");
    pool.refuses(3, "set clients=10.0.1.0/24", &["and would lose its root"]);
    pool.netbe().ok("set clients=10.0.1.0/24 --existing");
    assert!(exports().contains(" 10.0.0.0/24("), "{}", exports());
    pool.reports("nog/a", "fourth");
    pool.netbe().ok("reconcile");
    assert!(!exports().contains(" 10.0.0.0/24("), "{}", exports());
}

#[test]
fn invariant_2_boot_files_that_would_not_boot_are_refused_for_the_next_boot() {
    let pool = with_three();
    for env in ["nog/a", "nog/b"] {
        fs::remove_dir_all(pool.half(env, "root").join("usr/lib/modules")).unwrap();
    }
    let before = pool.boot_text("nog/a");
    let foreseen = pool.netbe().run(&format!("set server={NEW} --existing -n"));
    let output = pool.netbe().run(&format!("set server={NEW} --existing"));
    assert_eq!((foreseen.status, output.status), (3, 3), "{output:#?}");
    assert_eq!(errors(&foreseen.stderr), errors(&output.stderr));
    assert!(!foreseen.stdout.contains("nog/a"), "{foreseen:#?}");
    assert!(
        output
            .stderr
            .contains("error: nog/a keeps the boot files it had: nog/a would not boot: "),
        "{output:#?}"
    );
    assert_eq!(pool.boot_text("nog/a"), before);
    // What is not booted next is told.
    assert!(pool.boot_text("nog/b").contains(NEW));
    assert!(
        output.stderr.contains("nog/b would not boot"),
        "{output:#?}"
    );
}
