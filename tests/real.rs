//! Real systems, whole: Debian's own packages, kernels and package manager, from the machine's own apt sources.
//!
//! `scripts/make-system` makes them, once, into a cache; the first time that takes some minutes.

#[cfg(target_arch = "x86_64")]
#[path = "real/alpine.rs"]
mod alpine;
#[path = "real/hooks.rs"]
mod hooks;
#[path = "real/managers.rs"]
mod managers;
#[path = "real/merged.rs"]
mod merged;
#[path = "real/mirror.rs"]
mod mirror;
#[path = "real/package_hooks.rs"]
mod package_hooks;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{Fingerprint, Netbe, Pool, mounts};

/// Returns a real system's file, making it where it is not there yet.
fn real(arguments: &[&str]) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/make-system");
    let output = Command::new(&script)
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .expect("the script can be run");
    assert!(output.status.success(), "{} failed", script.display());
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

/// Returns the names of a node's environments, oldest first, each with its kernel.
fn environments(netbe: &Netbe, node: &str) -> Vec<(String, String)> {
    netbe
        .ok(&format!("list -H -s created {node}"))
        .lines()
        .map(|line| {
            let fields: Vec<_> = line.split('\t').collect();
            (fields[1].to_string(), fields[3].to_string())
        })
        .collect()
}

/// Returns the one line of a boot file that names the root.
fn naming(text: &str, root: &Path) -> usize {
    text.matches(&format!(":{}", root.display())).count()
}

#[test]
fn a_debian_is_upgraded_in_a_copy_activated_and_rolled_back() {
    let pool = Pool::new();
    let netbe = pool.netbe();
    let system = real(&[]);
    let mounted = mounts();
    let resolver = fs::read("/etc/resolv.conf").ok();

    netbe.ok(&format!("import debian {}", system.display()));
    netbe.ok("create nog --mac 52:54:00:00:00:01");
    netbe.ok("create ordo --mac 52:54:00:00:00:02");
    let [(first, old_kernel)] = environments(&netbe, "ordo").try_into().unwrap();
    let before = Fingerprint::of(&pool.path().join("nodes/ordo/envs").join(&first));

    netbe.ok("upgrade --node ordo");
    let upgraded = environments(&netbe, "ordo");
    assert_eq!(upgraded.len(), 2, "{upgraded:?}");
    let (second, new_kernel) = &upgraded[1];
    assert_ne!(
        *new_kernel, old_kernel,
        "the release's updates bring a kernel"
    );
    before.assert_unchanged(&Fingerprint::of(
        &pool.path().join("nodes/ordo/envs").join(&first),
    ));
    let active = || fs::read_link(pool.path().join("nodes/ordo/active")).unwrap();
    assert_eq!(active(), Path::new("envs").join(&first));

    netbe.ok("activate ordo");
    assert_eq!(active(), Path::new("envs").join(second));
    let root = pool.half(&format!("ordo/{second}"), "root");
    let served = fs::canonicalize(pool.path().join("tftp/52-54-00-00-00-02")).unwrap();
    let config = fs::read_to_string(served.join("pxelinux.cfg/default")).unwrap();
    assert_eq!(naming(&config, &root), 1, "{config}");
    assert!(
        config.contains(&format!("vmlinuz-{new_kernel}")),
        "{config}"
    );
    assert!(served.join(format!("initrd.img-{new_kernel}")).exists());
    assert!(root.join("usr/lib/modules").join(new_kernel).exists());

    netbe.ok("rollback ordo");
    assert_eq!(active(), Path::new("envs").join(&first));
    netbe.ok("check");

    // The machine itself noticed nothing.
    assert_eq!(mounts(), mounted);
    assert_eq!(fs::read("/etc/resolv.conf").ok(), resolver);
}

#[test]
fn a_package_is_downloaded_once_for_all_nodes() {
    let pool = Pool::new();
    let netbe = pool.netbe();
    netbe.ok(&format!("import debian {}", real(&[]).display()));
    netbe.ok("create nog/first");
    netbe.ok("create ordo/first");
    for node in ["nog", "ordo"] {
        // Making an initramfs takes longer than all the rest.
        let script =
            "echo linux-image-cloud-$(dpkg --print-architecture) hold | dpkg --set-selections";
        let root = pool.half(&format!("{node}/first"), "root");
        support::run(Command::new("chroot").arg(root).args(["sh", "-c", script]));
    }
    netbe.ok("upgrade --all -j 2 --name second");
    let logs = ["nog", "ordo"].map(|node| {
        let env = pool.path().join("nodes").join(node).join("envs/second");
        fs::read_to_string(env.join("upgrade.log")).unwrap()
    });
    // In the end everything was there, and one of the two had downloaded nothing.
    for log in &logs {
        let last = log.lines().rfind(|l| l.starts_with("Need to get "));
        assert!(
            last.is_some_and(|l| l.starts_with("Need to get 0 B/")),
            "{log}"
        );
    }
    let downloads = logs
        .iter()
        .filter(|log| log.contains("in download only mode"));
    assert_eq!(downloads.count(), 1, "{logs:#?}");

    // The next one has them from the pool, also alone; none of it stays in an environment.
    netbe.ok("upgrade nog/first --name third");
    let log = pool.path().join("nodes/nog/envs/third/upgrade.log");
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("Need to get 0 B/"), "{log}");
    for environment in ["nog/second", "nog/third", "ordo/second"] {
        let archives = pool
            .half(environment, "root")
            .join("var/cache/apt/archives");
        let left: Vec<_> = fs::read_dir(archives)
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
            .filter(|name| name.ends_with(".deb"))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
    netbe.ok("check");
}

#[test]
fn a_raspberry_pi_image_becomes_a_node_that_boots_over_the_network() {
    let pool = Pool::new();
    let netbe = pool.netbe();
    netbe.ok(&format!("import raspi {}", real(&["--pi"]).display()));
    netbe.ok("create nog/first --mac DC:A6:32:01:02:03 --serial 10000000abcdef01");

    // Both names lead to the boot half, and to nothing else.
    let boot = pool.half("nog/first", "boot");
    let names: BTreeSet<_> = fs::read_dir(pool.path().join("tftp"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    for name in ["dc-a6-32-01-02-03", "abcdef01"] {
        assert!(names.contains(name), "{names:?}");
        let served = pool.path().join("tftp").join(name);
        assert_eq!(fs::canonicalize(served).unwrap(), boot);
    }

    // The boot files name this environment, and what they name is there.
    let root = pool.half("nog/first", "root");
    let cmdline = fs::read_to_string(boot.join("cmdline.txt")).unwrap();
    assert_eq!(cmdline.lines().count(), 1, "{cmdline:?}");
    assert!(cmdline.contains("root=/dev/nfs "), "{cmdline}");
    assert_eq!(naming(&cmdline, &root), 1, "{cmdline}");
    assert!(!cmdline.contains("RASPIROOT"), "{cmdline}");
    assert!(cmdline.contains("console=ttyS1,115200"), "{cmdline}");
    let config = fs::read_to_string(boot.join("config.txt")).unwrap();
    for key in ["kernel=", "initramfs "] {
        let named = config
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .unwrap_or_else(|| panic!("{key} in {config}"));
        let file = named.split_whitespace().next().unwrap();
        assert!(boot.join(file).is_file(), "{file}");
    }
    let fstab = fs::read_to_string(root.join("etc/fstab")).unwrap();
    let live: Vec<_> = fstab.lines().filter(|l| !l.starts_with('#')).collect();
    assert_eq!(live.len(), 1, "{fstab}");
    assert!(
        live[0].contains(&format!(":{} /boot/firmware nfs ", boot.display())),
        "{fstab}"
    );
    assert_eq!(
        fs::read_to_string(root.join("etc/hostname")).unwrap(),
        "nog\n"
    );

    // Without its modules the kernel would not get far.
    netbe.ok("create nog/second");
    let modules = pool.half("nog/second", "root").join("usr/lib/modules");
    fs::rename(&modules, modules.with_extension("away")).unwrap();
    let reason = netbe.fails(3, "activate nog/second");
    assert!(reason.contains("modules"), "{reason}");
    let active = || fs::read_link(pool.path().join("nodes/nog/active")).unwrap();
    assert_eq!(active(), Path::new("envs/first"));
    netbe.ok("activate --force nog/second");
    assert_eq!(active(), Path::new("envs/second"));
}
