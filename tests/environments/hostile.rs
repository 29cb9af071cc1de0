//! A node owns its root, and may have planted anything in it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Fingerprint, PATIENCE, Pool, System, run};

/// What a node would like netbe to read or write for it: one file by each name that netbe looks for.
fn bait(pool: &Pool) -> PathBuf {
    let bait = pool.beside().join("bait");
    for path in [
        "ssh/ssh_host_ed25519_key",
        "ssh/ssh_host_ed25519_key.pub",
        "hostname",
        "hosts",
        "machine-id",
        "fstab",
        "os-release",
        "cmdline.txt",
        "config.txt",
        "random-seed",
        "systemd/random-seed",
        "default",
        "modules/6.1.0-50-amd64/modules.dep",
        "vmlinuz-6.1.0-50-amd64",
        "kernel8.img",
        "pieeprom.upd",
        "status",
    ] {
        let path = bait.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "secret of the server\n").unwrap();
    }
    bait
}

/// Puts a link where something stood.
fn plant(at: &Path, target: &Path) {
    match at.symlink_metadata() {
        Ok(m) if m.is_dir() => fs::remove_dir_all(at).unwrap(),
        Ok(_) => fs::remove_file(at).unwrap(),
        Err(_) => fs::create_dir_all(at.parent().unwrap()).unwrap(),
    }
    symlink(target, at).unwrap();
}

/// Plants links in `base/stock`, runs everything that looks into it, and shows that the bait is untouched and that
/// nothing of it was read into an answer or a copy.
fn stays_inside(system: &System, links: &[(&str, &str, &str)]) {
    for (half, at, to) in links {
        let pool = Pool::with_template_of(system);
        pool.netbe().ok("create nog/a");
        let bait = bait(&pool);
        plant(&pool.half("base/stock", half).join(at), &bait.join(to));
        plant(&pool.half("nog/a", half).join(at), &bait.join(to));
        let before = Fingerprint::of(&bait);
        for line in [
            "create ordo/x --from base",
            "create nog/b",
            "clone base/stock nog/c",
            "rename nog/a z",
            "rename base werda",
            "activate nog/z",
            "list --json",
            "check",
            "check --repair",
            "status",
        ] {
            let output = pool.netbe().run(line);
            let context = format!("{half}/{at} -> {to}: {line}: {output:#?}");
            assert!((0..=4).contains(&output.status), "{context}");
            assert!(!output.stdout.contains("secret of the server"), "{context}");
            assert!(!output.stderr.contains("secret of the server"), "{context}");
            assert!(!output.stderr.contains("panicked"), "{context}");
            before.assert_unchanged(&Fingerprint::of(&bait));
        }
        let mut grep = Command::new("grep");
        grep.args(["-rl", "secret of the server"])
            .arg(pool.at("nodes"));
        let found = grep.output().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&found.stdout),
            "",
            "{half}/{at} -> {to}"
        );
    }
}

#[test]
fn invariant_5_links_out_of_a_root_are_not_followed() {
    stays_inside(
        &System::debian(),
        &[
            ("root", "etc", ""),
            ("root", "etc/ssh", "ssh"),
            (
                "root",
                "etc/ssh/ssh_host_ed25519_key",
                "ssh/ssh_host_ed25519_key",
            ),
            ("root", "etc/hostname", "hostname"),
            ("root", "etc/hosts", "hosts"),
            ("root", "etc/machine-id", "machine-id"),
            ("root", "etc/fstab", "fstab"),
            ("root", "var/lib", ""),
            ("root", "var/lib/systemd/random-seed", "random-seed"),
            ("root", "usr/lib", ""),
        ],
    );
}

#[test]
fn invariant_5_links_out_of_a_boot_half_are_not_followed() {
    stays_inside(
        &System::raspberry_pi(),
        &[
            ("boot", "cmdline.txt", "cmdline.txt"),
            ("boot", "config.txt", "config.txt"),
            ("boot", "kernel8.img", "kernel8.img"),
            ("boot", "pieeprom.upd", "pieeprom.upd"),
        ],
    );
    stays_inside(
        &System::debian(),
        &[
            ("boot", "pxelinux.cfg", ""),
            ("boot", "pxelinux.cfg/default", "default"),
            ("boot", "vmlinuz-6.1.0-50-amd64", "vmlinuz-6.1.0-50-amd64"),
        ],
    );
}

#[test]
fn invariant_5_links_up_and_to_the_pool_are_not_followed() {
    let pool = Pool::with_node();
    let victim = pool.at("nodes/base/node.json");
    let before = pool.fingerprint();
    pool.netbe().ok("create nog/b");
    let root = pool.half("nog/b", "root");
    plant(
        &root.join("etc/hostname"),
        Path::new("../../../../../../base/node.json"),
    );
    plant(&root.join("etc/hosts"), &victim);
    plant(&root.join("etc/fstab"), &victim);
    pool.netbe().run("create ordo/x --from nog/b");
    pool.netbe().run("rename nog/b c");
    let text = fs::read_to_string(&victim).unwrap();
    assert!(text.contains("\"template\": true"), "{text}");
    before
        .clone()
        .without(&["nodes/nog", "nodes/ordo"])
        .assert_unchanged(&pool.fingerprint().without(&["nodes/nog", "nodes/ordo"]));
}

#[test]
fn invariant_5_pipes_and_devices_block_no_command() {
    let pool = Pool::with_node();
    for (path, kind) in [
        ("etc/hostname", vec!["p"]),
        ("etc/hosts", vec!["c", "1", "5"]),
        ("etc/machine-id", vec!["p"]),
        ("etc/fstab", vec!["p"]),
        ("etc/os-release", vec!["p"]),
        ("var/lib/dpkg/status", vec!["p"]),
        ("etc/ssh/ssh_host_ed25519_key", vec!["p"]),
    ] {
        pool.netbe().ok("create nog/b");
        let at = pool.half("nog/b", "root").join(path);
        fs::remove_file(&at).unwrap();
        run(Command::new("mknod").arg(&at).args(&kind));
        for line in [
            "create ordo/x --from nog/b",
            "create nog/c --from nog/b",
            "activate nog/b",
            "list",
            "check",
        ] {
            let mut command = pool.netbe().command();
            let output = command
                .args(line.split_whitespace())
                .timeout(PATIENCE)
                .output()
                .unwrap();
            assert!(output.status.code().is_some(), "{path}: {line} hangs");
        }
        pool.netbe().ok("activate nog/a");
        for env in pool.names("nog").iter().filter(|n| *n != "a") {
            pool.netbe().ok(&format!("destroy -y nog/{env}"));
        }
        if pool.at("nodes/ordo").exists() {
            pool.netbe().ok("destroy -y -r ordo");
        }
    }
}

#[test]
fn hostile_boot_files_do_not_break_the_list() {
    let pool = Pool::with_template_of(&System::raspberry_pi());
    pool.netbe().ok("create nog/a --serial 9ffefdef");
    pool.netbe().ok("create nog/b");
    let boot = pool.half("nog/b", "boot");
    fs::write(boot.join("kernel8.img"), vec![0x1f; 3 << 20]).unwrap();
    fs::write(boot.join("config.txt"), vec![0xff; 2 << 20]).unwrap();
    fs::write(boot.join("cmdline.txt"), [0xff, 0xfe, 0x00, 0x0a]).unwrap();
    fs::set_permissions(&boot, fs::Permissions::from_mode(0o000)).unwrap();
    assert_eq!(pool.names("nog"), ["a", "b"]);
    assert_eq!(pool.netbe().run("check").status, 1);
    pool.refuses(3, "activate nog/b", &["nog/b would not boot"]);
    // A bomb: a gigabyte of zeroes in a megabyte.
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let zeroes = vec![0_u8; 1 << 20];
    for _ in 0..512 {
        std::io::Write::write_all(&mut encoder, &zeroes).unwrap();
    }
    fs::set_permissions(&boot, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(boot.join("kernel8.img"), encoder.finish().unwrap()).unwrap();
    let start = std::time::Instant::now();
    assert_eq!(pool.names("nog"), ["a", "b"]);
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}
