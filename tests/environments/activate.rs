//! `activate`: the one commit point, what is checked before it, and pointers that are broken.

use std::fs;
use std::os::unix::fs::symlink;

use super::support::{Pool, System, kernel};

#[test]
fn an_environment_is_activated_and_activated_again() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    assert_eq!(
        pool.netbe().ok("activate nog/b"),
        "Activated nog/b; before it was nog/a.\n"
    );
    assert_eq!(pool.active("nog"), "b");
    let before = pool.fingerprint();
    assert_eq!(pool.netbe().ok("activate nog/b"), "nog/b is active.\n");
    before.assert_unchanged(&pool.fingerprint());
    pool.assert_sound();
}

#[test]
fn a_node_alone_means_its_newest_when_that_is_newer() {
    let pool = Pool::with_node();
    for name in ["b", "c"] {
        pool.netbe().ok(&format!("create nog/{name}"));
    }
    pool.netbe().ok("activate nog");
    assert_eq!(pool.active("nog"), "c");
    // Nothing newer: what is active stays.
    assert_eq!(pool.netbe().ok("activate nog"), "nog/c is active.\n");
    pool.netbe().ok("activate nog/b");
    assert_eq!(
        pool.netbe().ok("activate nog"),
        "Activated nog/c; before it was nog/b.\n"
    );
}

#[test]
fn without_an_operand_exactly_one_candidate_is_taken() {
    let pool = Pool::with_node();
    pool.refuses(
        3,
        "activate",
        &["no node has an environment newer", "hint: netbe list"],
    );
    pool.netbe().ok("create ordo/a");
    pool.netbe().ok("create ordo/b");
    pool.netbe().ok("activate");
    assert_eq!(pool.active("ordo"), "b");
    pool.netbe().ok("create nog/b");
    pool.netbe().ok("create ordo/c");
    pool.refuses(
        3,
        "activate",
        &["nog/b, ordo/c", "hint: netbe activate nog"],
    );
}

#[test]
fn what_does_not_exist_is_not_found() {
    let pool = Pool::with_node();
    pool.refuses(4, "activate ordo", &["no node ordo", "hint: "]);
    pool.refuses(
        4,
        "activate nog/zz",
        &["no environment nog/zz", "hint: netbe list nog"],
    );
    pool.refuses(4, "rollback ordo", &["no node ordo"]);
}

#[test]
fn a_dry_run_refuses_or_says_the_step() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    let plan = pool.plans("activate nog/b");
    assert_eq!(plan.lines().next(), Some("would export nog/b"));
    assert!(plan.contains("nog/b instead of nog/a"), "{plan}");
    pool.refuses(4, "activate nog/zz -n", &["no environment nog/zz"]);
}

/// Returns a served pool with `nog/b` in it, of a kind of system.
fn with_b(system: &System) -> Pool {
    let pool = Pool::with_template_of(system);
    pool.netbe()
        .ok("create nog/a --mac dc:a6:32:01:02:03 --serial 9ffefdef");
    pool.netbe().ok("create nog/b");
    pool
}

/// Spoils `nog/b`, then shows that it is refused with these words, and activated under protest with `--force`.
fn is_refused_and_can_be_forced(system: &System, spoil: impl FnOnce(&Pool), words: &[&str]) {
    let pool = with_b(system);
    spoil(&pool);
    let mut all = vec!["nog/b would not boot: ", "hint: ", "--force"];
    all.extend(words);
    pool.refuses(3, "activate nog/b", &all);
    pool.refuses(3, "activate nog/b -n", &all);
    assert_eq!(pool.active("nog"), "a");
    let said = pool.netbe().run("activate nog/b --force");
    assert_eq!(said.status, 0, "{said:#?}");
    assert!(
        said.stderr.contains("warning: nog/b may not boot: "),
        "{said:#?}"
    );
    assert_eq!(pool.active("nog"), "b");
    assert_eq!(pool.netbe().run("check").status, 1);
}

fn remove(pool: &Pool, half: &str, path: &str) {
    let path = pool.half("nog/b", half).join(path);
    let gone = match path.is_dir() {
        true => fs::remove_dir_all(&path),
        false => fs::remove_file(&path),
    };
    gone.unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

#[test]
fn p13_a_missing_kernel_is_refused() {
    let version = System::debian().version().to_string();
    let file = format!("vmlinuz-{version}");
    is_refused_and_can_be_forced(
        &System::debian(),
        |p| remove(p, "boot", &file),
        &["vmlinuz"],
    );
    is_refused_and_can_be_forced(
        &System::raspberry_pi(),
        |p| remove(p, "boot", "kernel8.img"),
        &["kernel"],
    );
}

#[test]
fn p13_a_missing_initramfs_is_refused() {
    let version = System::debian().version().to_string();
    let file = format!("initrd.img-{version}");
    is_refused_and_can_be_forced(
        &System::debian(),
        |p| remove(p, "boot", &file),
        &["initrd.img"],
    );
}

#[test]
fn p13_an_empty_kernel_is_refused() {
    is_refused_and_can_be_forced(
        &System::raspberry_pi(),
        |p| fs::write(p.half("nog/b", "boot").join("kernel8.img"), "").unwrap(),
        &["kernel8.img"],
    );
}

#[test]
fn p13_missing_modules_are_refused() {
    for system in [System::debian(), System::raspberry_pi()] {
        let version = system.version().to_string();
        is_refused_and_can_be_forced(
            &system,
            |p| remove(p, "root", &format!("usr/lib/modules/{version}")),
            &["modules", &version],
        );
    }
}

#[test]
fn p13_modules_of_another_kernel_are_refused() {
    is_refused_and_can_be_forced(
        &System::raspberry_pi(),
        |p| {
            fs::write(
                p.half("nog/b", "boot").join("kernel8.img"),
                kernel::arm64_gzip("6.12.9+rpt-rpi-v8"),
            )
            .unwrap();
        },
        &["modules", "6.12.9+rpt-rpi-v8"],
    );
}

#[test]
fn p13_boot_files_that_name_another_root_are_refused() {
    is_refused_and_can_be_forced(
        &System::raspberry_pi(),
        |p| {
            let file = p.half("nog/b", "boot").join("cmdline.txt");
            let text = fs::read_to_string(&file).unwrap();
            fs::write(&file, text.replace("envs/b/root", "envs/a/root")).unwrap();
        },
        &["envs/a/root"],
    );
}

#[test]
fn p13_an_fstab_that_names_another_boot_half_is_refused() {
    is_refused_and_can_be_forced(
        &System::debian(),
        |p| {
            let file = p.half("nog/b", "root").join("etc/fstab");
            let text = fs::read_to_string(&file).unwrap();
            fs::write(&file, text.replace("envs/b/boot", "envs/a/boot")).unwrap();
        },
        &["fstab"],
    );
}

#[test]
fn p13_a_command_line_of_two_lines_is_refused() {
    is_refused_and_can_be_forced(
        &System::raspberry_pi(),
        |p| {
            let file = p.half("nog/b", "boot").join("cmdline.txt");
            let text = fs::read_to_string(&file).unwrap();
            fs::write(&file, format!("{text}quiet\n{text}")).unwrap();
        },
        &["cmdline.txt"],
    );
}

#[test]
fn half_an_environment_is_not_activated_by_any_flag() {
    let pool = with_b(&System::debian());
    pool.netbe().ok("create nog/c");
    super::support::run(
        std::process::Command::new("btrfs")
            .args(["-q", "subvolume", "delete"])
            .arg(pool.half("nog/c", "boot")),
    );
    pool.refuses(3, "activate nog/c --force", &["boot half", "hint: "]);
}

/// Spoils `nog`'s pointer, then shows that reading works and that `activate` mends it.
fn pointer_is_mended(spoil: impl FnOnce(&std::path::Path)) {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    let link = pool.at("nodes/nog/active");
    fs::remove_file(&link).unwrap();
    spoil(&link);
    let list = pool.netbe().run("list");
    assert_eq!(list.status, 0, "{list:#?}");
    assert_eq!(pool.names("nog"), ["a", "b"]);
    assert!(!pool.flags("nog/a").contains('R'));
    let status = pool.netbe().run("status nog");
    assert_eq!(status.status, 0, "{status:#?}");
    assert!(status.stderr.contains("warning: nog: "), "{status:#?}");
    let check = pool.netbe().run("check");
    assert_eq!(check.status, 1, "{check:#?}");
    assert!(check.stdout.contains("nog: "), "{check:#?}");
    for line in ["create nog/c", "clone nog nog/c", "pin nog"] {
        pool.refuses(4, line, &["nog"]);
    }
    pool.netbe().ok("activate nog/a");
    assert_eq!(pool.active("nog"), "a");
    let names: Vec<_> = fs::read_dir(pool.at("tftp"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names, ["dc-a6-32-01-02-03"]);
    pool.assert_sound();
}

#[test]
fn p10_a_missing_pointer_is_mended() {
    pointer_is_mended(|_| {});
}

#[test]
fn p10_a_dangling_pointer_is_mended() {
    pointer_is_mended(|link| symlink("envs/gone", link).unwrap());
}

#[test]
fn p10_a_looped_pointer_is_mended() {
    pointer_is_mended(|link| symlink("active", link).unwrap());
}

#[test]
fn p10_a_pointer_out_of_the_node_is_mended() {
    pointer_is_mended(|link| symlink("../base/envs/stock", link).unwrap());
    pointer_is_mended(|link| symlink("/etc", link).unwrap());
}

#[test]
fn p10_a_file_for_a_pointer_is_mended() {
    pointer_is_mended(|link| fs::write(link, "envs/a\n").unwrap());
}

#[test]
fn p10_a_directory_for_a_pointer_is_mended() {
    pointer_is_mended(|link| fs::create_dir(link).unwrap());
}

#[test]
fn p10_a_directory_with_something_in_it_is_kept_and_named() {
    let pool = Pool::with_node();
    let link = pool.at("nodes/nog/active");
    fs::remove_file(&link).unwrap();
    fs::create_dir(&link).unwrap();
    fs::write(link.join("precious"), "mine").unwrap();
    let said = pool.netbe().fails(1, "activate nog/a");
    assert!(said.contains("nodes/nog/active"), "{said}");
    assert_eq!(fs::read(link.join("precious")).unwrap(), b"mine");
}

#[test]
fn invariant_2_what_is_activated_is_exported_before_the_pointer_moves() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    // The server cannot take it over: nothing may lead to it.
    super::support::run(std::process::Command::new("mount").args([
        "-o",
        "remount,ro",
        "/etc/exports.d",
    ]));
    let said = pool.netbe().fails(1, "activate nog/b");
    assert!(said.contains("nothing was changed"), "{said}");
    assert_eq!(pool.active("nog"), "a");
    super::support::run(std::process::Command::new("mount").args([
        "-o",
        "remount,rw",
        "/etc/exports.d",
    ]));
    pool.netbe().ok("activate nog/b");
    assert!(pool.read("publish/exports").contains("envs/b/root\""));
    pool.assert_sound();
}

#[test]
fn a_template_is_not_held_to_what_a_machine_needs() {
    let pool = Pool::with_template();
    pool.netbe().ok("create base/next");
    fs::remove_dir_all(pool.half("base/next", "root").join("usr/lib/modules")).unwrap();
    pool.netbe().ok("activate base/next");
    assert_eq!(pool.active("base"), "next");
}
