//! An environment that would not boot is not activated, except with `--force`.

use std::fs;

use crate::support::{Pool, System, kernel};

/// Returns a served pool with `nog/b` in it, of a kind of system.
fn with_b(system: &System) -> Pool {
    let pool = Pool::with_template_of(system);
    pool.netbe()
        .ok("create nog/a --mac dc:a6:32:01:02:03 --serial 9ffefdef");
    pool.netbe().ok("create nog/b");
    pool
}

/// Spoils `nog/b`, then shows that it is refused with these words, and activated under protest with `--force`.
fn is_refused_and_can_be_forced(system: &System, damage: impl FnOnce(&Pool), words: &[&str]) {
    let pool = with_b(system);
    damage(&pool);
    let mut all = vec!["nog/b would not boot: ", "hint: ", "--force"];
    all.extend(words);
    pool.refuses(3, "activate nog/b", &all);
    pool.refuses(3, "activate nog/b -n", &all);
    assert_eq!(pool.active("nog"), "a");
    let output = pool.netbe().run("activate nog/b --force");
    assert_eq!(output.status, 0, "{output:#?}");
    assert!(
        output.stderr.contains("warning: nog/b may not boot: "),
        "{output:#?}"
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
fn a_missing_kernel_is_refused() {
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
fn a_missing_initramfs_is_refused() {
    let version = System::debian().version().to_string();
    let file = format!("initrd.img-{version}");
    is_refused_and_can_be_forced(
        &System::debian(),
        |p| remove(p, "boot", &file),
        &["initrd.img"],
    );
}

#[test]
fn an_empty_kernel_is_refused() {
    is_refused_and_can_be_forced(
        &System::raspberry_pi(),
        |p| fs::write(p.half("nog/b", "boot").join("kernel8.img"), "").unwrap(),
        &["kernel8.img"],
    );
}

#[test]
fn missing_modules_are_refused() {
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
fn modules_of_another_kernel_are_refused() {
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
fn boot_files_that_name_another_root_are_refused() {
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
fn an_fstab_that_names_another_boot_half_is_refused() {
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
fn a_command_line_of_two_lines_is_refused() {
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
    crate::support::run(
        std::process::Command::new("btrfs")
            .args(["-q", "subvolume", "delete"])
            .arg(pool.half("nog/c", "boot")),
    );
    pool.refuses(3, "activate nog/c --force", &["boot half", "hint: "]);
}

#[test]
fn version_3_without_etc_protocols_warns() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("set nfs.version=3 nog");
    let output = pool.netbe().run("create nog/b");
    assert!(
        output.stderr.contains("the root has no /etc/protocols"),
        "{output:?}"
    );
    pool.netbe().ok("set nfs.version= nog");
    let output = pool.netbe().run("create nog/c");
    assert!(!output.stderr.contains("/etc/protocols"), "{output:?}");
}

/// Takes the modules of `nog/b` away.
fn remove_modules(pool: &Pool) {
    remove(pool, "root", "usr/lib/modules");
}

#[test]
fn an_environment_that_would_not_boot_is_refused_for_the_next_boot_and_flagged_otherwise() {
    let pool = with_b(&System::debian());
    remove_modules(&pool);
    for line in [
        "create nog/c --from nog/b -a",
        "clone nog/b nog/c -a",
        "create ordo/c --from nog/b --mac 02:00:00:00:00:07",
    ] {
        pool.refuses(
            3,
            &format!("{line} -n"),
            &["would not boot: ", "modules", "hint: "],
        );
        pool.refuses(3, line, &["would not boot: ", "modules", "hint: "]);
    }
    let output = pool.netbe().run("create nog/c --from nog/b");
    assert_eq!(output.status, 0, "{output:#?}");
    let told = |words: &str| words.contains("would not boot: ") && words.contains("modules");
    assert!(told(&output.stderr), "{output:#?}");
    assert_eq!(pool.flags("nog/c"), "!");
    let list = pool.netbe().run("list nog/c");
    assert!(
        list.stderr.contains("nog/c: it would not boot: "),
        "{list:#?}"
    );
    let json: serde_json::Value =
        serde_json::from_str(&pool.netbe().ok("list --json nog/c")).unwrap();
    assert_eq!(json["environments"][0]["complete"], true);
    // Another name changes nothing of it.
    pool.netbe().ok("rename nog/c d");
    assert_eq!(pool.flags("nog/d"), "!");
    pool.refuses(3, "activate nog/d", &["would not boot: "]);
    // What is put right in it is seen.
    let modules = pool.half("nog/a", "root").join("usr/lib/modules");
    let status = std::process::Command::new("cp")
        .arg("-a")
        .args([modules, pool.half("nog/d", "root").join("usr/lib")])
        .status()
        .unwrap();
    assert!(status.success());
    pool.netbe().ok("activate nog/d");
    assert_eq!(pool.flags("nog/d"), "?R");
}

#[test]
fn rename_refuses_an_active_environment_that_would_not_boot() {
    let pool = with_b(&System::debian());
    remove_modules(&pool);
    pool.netbe().run("activate nog/b --force");
    pool.netbe().ok("set mac= serial= nog");
    for line in ["rename nog/b c", "rename nog ordo"] {
        pool.refuses(3, &format!("{line} -n"), &["would not boot: ", "modules"]);
        pool.refuses(3, line, &["would not boot: ", "modules"]);
    }
    assert_eq!(pool.active("nog"), "b");
}

#[test]
fn repair_does_not_activate_an_environment_that_would_not_boot() {
    let pool = Pool::with_template_of(&System::debian());
    pool.netbe().ok("create nog/a");
    let link = pool.at("nodes/nog/active");
    fs::remove_file(&link).unwrap();
    fs::remove_dir_all(pool.half("nog/a", "root").join("usr/lib/modules")).unwrap();
    let output = pool.netbe().run("check --repair");
    assert!(
        output
            .stderr
            .contains("to activate nog/a: nog/a would not boot: "),
        "{output:#?}"
    );
    assert!(link.symlink_metadata().is_err());
}
