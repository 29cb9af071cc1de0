//! `deploy --boot`: the boot half on a card, the root over NFS.
//!
//! The card is a filesystem in memory: kernels of test machines need not have FAT.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::support::{self, MAC, Pool, System};

mod device;
mod meanwhile;
mod stick;

/// A Raspberry Pi with `nog/a` active and `nog/b`, and a card at the path returned.
fn pool() -> (Pool, PathBuf) {
    let pool = Pool::with_template_of(&System::raspberry_pi());
    pool.netbe().ok(&format!("create nog/a --mac {MAC}"));
    pool.netbe().ok("create nog/b");
    let card = card(&pool, "card", "size=64m");
    (pool, card)
}

fn card(pool: &Pool, name: &str, options: &str) -> PathBuf {
    let at = pool.beside().join(name);
    fs::create_dir(&at).unwrap();
    support::run(
        Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, name])
            .arg(&at),
    );
    at
}

fn deploy(pool: &Pool, env: &str, card: &std::path::Path) -> String {
    pool.netbe()
        .ok(&format!("deploy {env} --boot {}", card.display()))
}

/// Returns the directory that a card boots from.
fn current(card: &std::path::Path) -> PathBuf {
    let config = fs::read_to_string(card.join("config.txt")).unwrap();
    let line = config.lines().next().unwrap();
    card.join(line.strip_prefix("os_prefix=").unwrap())
}

fn directories(card: &std::path::Path) -> usize {
    fs::read_dir(card.join("netbe")).unwrap().count()
}

fn status(pool: &Pool) -> Value {
    let state: Value = serde_json::from_str(&pool.netbe().ok("status nog --json")).unwrap();
    state["nodes"][0]["card"].clone()
}

#[test]
fn a_card_boots_an_environment_and_then_the_next_one() {
    let (pool, card) = pool();
    fs::write(card.join("wpa_supplicant.conf"), "of the user\n").unwrap();
    assert_eq!(status(&pool), Value::Null);
    let told = deploy(&pool, "nog", &card);
    assert_eq!(
        told,
        format!("The card at {} boots nog/a.\n", card.display())
    );
    let first = current(&card);
    for file in [
        "cmdline.txt",
        "kernel8.img",
        "initramfs8",
        "overlays/disable-bt.dtbo",
    ] {
        let copied = fs::read(first.join(file)).unwrap();
        assert_eq!(
            copied,
            fs::read(pool.half("nog/a", "boot").join(file)).unwrap(),
            "{file}"
        );
    }
    assert!(first.join("overlays/README").is_file());
    assert!(!first.join("start4.elf").exists());
    assert!(card.join("start4.elf").is_file() && card.join("fixup4.dat").is_file());
    assert!(first.join("cmdline.txt").is_file());
    let config = fs::read_to_string(card.join("config.txt")).unwrap();
    assert!(config.contains("\nauto_initramfs=0\n"), "{config}");
    assert!(
        config.ends_with("[all]\ninitramfs initramfs8 followkernel\n"),
        "{config}"
    );
    assert_eq!(status(&pool)["environment"], "a");
    assert_eq!(status(&pool)["behind"], Value::Null);

    let told = pool.netbe().run("activate nog/b");
    let command = format!("netbe deploy nog --boot {}", card.display());
    let warning =
        format!("nog boots from its card, which has a and is behind: b is active; {command}");
    assert!(
        told.status == 0 && told.stderr.contains(&warning),
        "{told:#?}"
    );
    assert_eq!(status(&pool)["behind"], "b is active");
    assert_eq!(status(&pool)["remedy"], command.as_str());
    let told = pool.netbe().ok("status nog");
    assert!(told.contains("card     a, written "), "{told}");
    assert!(
        told.contains(&format!("; behind: b is active; {command}")),
        "{told}"
    );
    let checked = pool.netbe().run("check nog");
    let note = format!("note: {warning}\n");
    assert_eq!((checked.status, checked.stderr), (0, note));

    // As it is told to do.
    pool.netbe().ok(command.strip_prefix("netbe ").unwrap());
    pool.assert_sound();
    assert!(current(&card) != first && first.join("kernel8.img").is_file());
    assert_eq!(status(&pool)["behind"], Value::Null);
    // The one before stays, the one before that does not.
    deploy(&pool, "nog/a", &card);
    assert!(!first.exists());
    assert_eq!(directories(&card), 2);
    assert_eq!(
        fs::read(card.join("wpa_supplicant.conf")).unwrap(),
        b"of the user\n"
    );
    let told = pool.netbe().run("rollback nog");
    assert!(!told.stderr.contains("card"), "{told:#?}");
}

#[test]
fn changed_boot_files_leave_the_card_behind() {
    let (pool, card) = pool();
    deploy(&pool, "nog", &card);
    let told = pool
        .netbe()
        .run("set cmdline=quietly nog --existing --force");
    let warning = "is behind: the boot files of a have changed since; netbe deploy nog --boot";
    assert!(
        told.status == 0 && told.stderr.contains(warning),
        "{told:#?}"
    );
    assert_eq!(
        status(&pool)["behind"],
        "the boot files of a have changed since"
    );
    deploy(&pool, "nog", &card);
    assert_eq!(status(&pool)["behind"], Value::Null);
    let line = fs::read_to_string(current(&card).join("cmdline.txt")).unwrap();
    assert!(line.contains("quietly"), "{line}");
}

#[test]
fn what_a_card_boots_is_protected_until_it_boots_another() {
    let (pool, card) = pool();
    pool.netbe().ok("create nog/c");
    deploy(&pool, "nog/b", &card);
    pool.saw_boot("nog", "a");
    let why = [
        "nog/b is what the card of nog boots",
        "netbe deploy nog --boot none",
    ];
    pool.refuses(3, "destroy -y nog/b", &why);
    pool.refuses(3, "rename nog/b d", &why);
    for how in ["--once", "--try"] {
        let why = [
            "nog boots from its card, which has b",
            "netbe deploy nog --boot none",
        ];
        pool.refuses(3, &format!("activate {how} nog/c"), &why);
    }
    pool.netbe().run("prune nog --keep 1");
    assert!(pool.names("nog").contains(&"b".to_string()));

    deploy(&pool, "nog/a", &card);
    pool.refuses(3, "destroy -y nog/b", &["nog may be running nog/b"]);
    pool.saw_boot("nog", "a");
    pool.netbe().ok("destroy -y nog/b");
    pool.assert_sound();
}

#[test]
fn a_deploy_that_failed_protects_both() {
    let (pool, card) = pool();
    deploy(&pool, "nog/b", &card);
    pool.netbe().ok("create nog/c");
    // What is in the way of the switch, and of nothing before it.
    fs::create_dir_all(card.join("config.txt.netbe-new/x")).unwrap();
    let failed = pool
        .netbe()
        .run(&format!("deploy nog/c --boot {}", card.display()));
    assert_eq!(failed.status, 1, "{failed:#?}");
    assert!(current(&card).join("kernel8.img").is_file());
    pool.saw_boot("nog", "a");
    for (env, why) in [
        ("b", "the card of nog may boot nog/b: the deploy of c to it"),
        ("c", "nog/c is what the card of nog boots"),
    ] {
        pool.refuses(3, &format!("destroy -y nog/{env}"), &[why]);
    }
    assert_eq!(
        status(&pool)["behind"],
        "the last deploy to it was not finished"
    );
    fs::remove_dir_all(card.join("config.txt.netbe-new")).unwrap();
    deploy(&pool, "nog/c", &card);
    assert_eq!(directories(&card), 2);
    pool.saw_boot("nog", "a");
    pool.netbe().ok("destroy -y nog/b");
}

#[test]
fn each_environment_that_cut_deploys_may_have_led_to_is_protected() {
    let (pool, card) = pool();
    for env in ["c", "d"] {
        pool.netbe().ok(&format!("create nog/{env}"));
    }
    deploy(&pool, "nog/b", &card);
    let in_the_way = card.join("config.txt.netbe-new/x");
    for env in ["c", "d"] {
        fs::create_dir_all(&in_the_way).unwrap();
        let line = format!("deploy nog/{env} --boot {}", card.display());
        assert_eq!(pool.netbe().run(&line).status, 1);
    }
    pool.saw_boot("nog", "a");
    for env in ["b", "c", "d"] {
        pool.refuses(3, &format!("destroy -y nog/{env}"), &["the card of nog"]);
    }
    fs::remove_dir_all(in_the_way.parent().unwrap()).unwrap();
    deploy(&pool, "nog/a", &card);
    pool.saw_boot("nog", "a");
    pool.netbe().ok("destroy -y nog/b nog/c nog/d");
}

#[test]
fn a_node_with_a_card_is_not_destroyed() {
    let (pool, card) = pool();
    deploy(&pool, "nog", &card);
    pool.netbe().ok("set mac= nog --force");
    pool.refuses(
        3,
        "destroy -y -r nog",
        &[
            "nog/a is what the card of nog boots",
            "netbe deploy nog --boot none",
        ],
    );
    pool.netbe().ok("deploy nog --boot none");
    pool.netbe().ok("destroy -y -r nog");
}

#[test]
fn a_pending_boot_comes_before_a_card() {
    let (pool, card) = pool();
    pool.netbe().ok("activate --try nog/b");
    pool.refuses(
        3,
        &format!("deploy nog --boot {}", card.display()),
        &["nog has a pending boot", "netbe activate --cancel nog"],
    );
}

#[test]
fn the_card_of_another_node_is_not_written() {
    let (pool, card) = pool();
    pool.netbe()
        .ok("create ordo/a --from base --mac 02:00:00:00:00:09");
    deploy(&pool, "nog", &card);
    let line = format!("deploy ordo --boot {}", card.display());
    pool.refuses(
        3,
        &line,
        &["is the card of nog", "netbe deploy nog --boot none"],
    );
    pool.netbe().ok("deploy nog --boot none");
    pool.netbe().ok(&line);
}

#[test]
fn a_card_is_forgotten() {
    let (pool, card) = pool();
    pool.refuses(3, "deploy nog --boot none", &["no card of nog is known"]);
    deploy(&pool, "nog/b", &card);
    pool.plans("deploy nog --boot none");
    assert_eq!(
        pool.netbe().ok("deploy nog --boot none"),
        "Forgot the card of nog, which booted b.\n"
    );
    assert_eq!(status(&pool), Value::Null);
    pool.refuses(3, "destroy -y nog/b", &["nog may be running nog/b"]);
    pool.saw_boot("nog", "a");
    pool.netbe().ok("destroy -y nog/b");
}

#[test]
fn a_dry_run_writes_nothing_to_the_card() {
    let (pool, card) = pool();
    let told = pool.plans(&format!("deploy nog --boot {}", card.display()));
    for step in [
        "write the boot files of nog/a to",
        "have the card of nog boot nog/a, by",
    ] {
        assert!(told.contains(step), "{told}");
    }
    assert_eq!(fs::read_dir(&card).unwrap().count(), 0);
}

#[test]
fn what_cannot_work_is_refused_with_the_reason() {
    let (pool, at) = pool();
    let line = |env: &str, at: &std::path::Path| format!("deploy {env} --boot {}", at.display());
    let plain = pool.beside().join("plain");
    fs::create_dir(&plain).unwrap();
    pool.refuses(3, &line("nog", &plain), &["nothing is mounted at"]);
    pool.refuses(3, &line("nog", pool.path()), &["btrfs"]);
    let small = card(&pool, "small", "size=16k");
    pool.refuses(3, &line("nog", &small), &["too little room", "are needed"]);
    assert_eq!(fs::read_dir(&small).unwrap().count(), 0);
    let fixed = card(&pool, "fixed", "size=1m,ro");
    pool.refuses(
        3,
        &line("nog", &fixed),
        &["mounted read-only", "remount,rw"],
    );
    pool.refuses(
        3,
        &line("base/stock", &at),
        &["no machine is known to be base"],
    );
    fs::remove_file(pool.half("nog/b", "boot").join("kernel8.img")).unwrap();
    pool.refuses(3, &line("nog/b", &at), &["nog/b would not boot"]);
    fs::write(pool.half("nog/a", "boot").join("a:b"), "").unwrap();
    pool.refuses(3, &line("nog/a", &at), &["the name is not valid on FAT"]);
    assert_eq!(fs::read_dir(&at).unwrap().count(), 0);
    pool.import("pc/x", &System::debian());
    pool.netbe()
        .ok("create ordo/x --from pc --mac 02:00:00:00:00:09");
    // With BIOS alone.
    let words = ["ordo/x", "no loader for a card", "shim-signed"];
    pool.refuses(3, &line("ordo", &at), &words);
}
