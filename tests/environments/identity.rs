//! Who a machine is: its own where it is a new one, kept where it is the same.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use crate::support::{Fingerprint, Pool, System, output, run};

mod carried_over;
mod first_boot;
mod one_machine;

const OLD_ID: &str = "0123456789abcdef0123456789abcdef\n";

/// The kinds of host keys that cost nothing to make; RSA takes seconds.
const QUICK: &[(&str, &str)] = &[("ed25519", "256"), ("ecdsa", "256")];

/// Returns a system that has been used: with host keys of these kinds, leases and an initiator name.
fn used_system(system: System, keys_of: &[(&str, &str)]) -> System {
    let keys = tempfile::tempdir().unwrap();
    let mut system = system
        .without("etc/ssh/ssh_host_ecdsa_key")
        .without("etc/ssh/ssh_host_ecdsa_key.pub");
    for (kind, bits) in keys_of {
        let key = keys.path().join(kind);
        run(Command::new("ssh-keygen")
            .args([
                "-q",
                "-N",
                "",
                "-C",
                "root@image",
                "-t",
                kind,
                "-b",
                bits,
                "-f",
            ])
            .arg(&key));
        let path = format!("etc/ssh/ssh_host_{kind}_key");
        system = system.with(&path, &fs::read(&key).unwrap(), 0o600).with(
            &format!("{path}.pub"),
            &fs::read(key.with_extension("pub")).unwrap(),
            0o644,
        );
    }
    system
        .file("var/lib/dbus/machine-id", OLD_ID)
        .file(
            "etc/iscsi/initiatorname.iscsi",
            "## generated\nInitiatorName=iqn.1993-08.org.debian:01:abcdef\n",
        )
        .file("var/lib/dhcp/dhclient.eth0.leases", "lease {}\n")
        .file("etc/motd", "welcome\n")
}

fn root(pool: &Pool, environment: &str, path: &str) -> PathBuf {
    pool.half(environment, "root").join(path)
}

fn text(pool: &Pool, environment: &str, path: &str) -> String {
    let path = root(pool, environment, path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn another_node_gets_an_identity_of_its_own() {
    let pool = Pool::with_template_of(&used_system(System::debian(), QUICK));
    pool.netbe().ok("create nog/a");
    assert_eq!(text(&pool, "nog/a", "etc/hostname"), "nog\n");
    assert_eq!(
        text(&pool, "nog/a", "etc/hosts"),
        "127.0.0.1\tlocalhost\n127.0.1.1\tnog\n::1\t\tlocalhost ip6-localhost\n"
    );
    // Empty, not missing: a missing one makes it a first boot.
    assert_eq!(text(&pool, "nog/a", "etc/machine-id"), "");
    for path in [
        "var/lib/dbus/machine-id",
        "var/lib/systemd/random-seed",
        "var/lib/dhcp/dhclient.eth0.leases",
    ] {
        assert!(!root(&pool, "nog/a", path).exists(), "{path}");
    }
    let initiator = text(&pool, "nog/a", "etc/iscsi/initiatorname.iscsi");
    assert!(
        initiator.starts_with("## generated\nInitiatorName=iqn."),
        "{initiator}"
    );
    assert!(!initiator.contains("abcdef"), "{initiator}");
    assert!(initiator.contains("nog"), "{initiator}");
    // What it was made from is what it was.
    assert_eq!(text(&pool, "base/stock", "etc/hostname"), "debian\n");
    assert_eq!(text(&pool, "base/stock", "etc/machine-id"), OLD_ID);
    assert_eq!(text(&pool, "nog/a", "etc/motd"), "welcome\n");
}

#[test]
fn host_keys_are_new_and_of_the_kinds_there_were() {
    let kinds = [QUICK, &[("rsa", "2048")]].concat();
    let pool = Pool::with_template_of(&used_system(System::debian(), &kinds));
    pool.netbe().ok("create nog/a");
    for (kind, length, word) in [
        ("ed25519", "256", "(ED25519)"),
        ("rsa", "3072", "(RSA)"),
        ("ecdsa", "256", "(ECDSA)"),
    ] {
        let path = format!("etc/ssh/ssh_host_{kind}_key");
        let shown = |environment: &str, path: &str| {
            let path = root(&pool, environment, path);
            let line = output(Command::new("ssh-keygen").arg("-lf").arg(path));
            String::from_utf8(line).unwrap()
        };
        let own = shown("nog/a", &path);
        assert!(own.starts_with(&format!("{length} SHA256:")), "{own}");
        assert!(own.trim_end().ends_with(word), "{own}");
        assert!(own.contains("root@nog"), "{own}");
        assert_eq!(own, shown("nog/a", &format!("{path}.pub")));
        assert_ne!(
            own.split(' ').nth(1),
            shown("base/stock", &path).split(' ').nth(1)
        );
        let mode = |path: &str| {
            let meta = fs::metadata(root(&pool, "nog/a", path)).unwrap();
            meta.permissions().mode() & 0o7777
        };
        assert_eq!(mode(&path), 0o600, "{path}");
        assert_eq!(mode(&format!("{path}.pub")), 0o644, "{path}.pub");
        // Derived from the private half by the tool that will use it.
        let derived = output(
            Command::new("ssh-keygen")
                .arg("-yf")
                .arg(root(&pool, "nog/a", &path)),
        );
        let public = text(&pool, "nog/a", &format!("{path}.pub"));
        let words = |t: &str| t.split(' ').take(2).map(str::to_string).collect::<Vec<_>>();
        assert_eq!(
            words(String::from_utf8(derived).unwrap().trim()),
            words(public.trim())
        );
    }
    let keys = fs::read_dir(root(&pool, "nog/a", "etc/ssh"))
        .unwrap()
        .count();
    assert_eq!(keys, 6);
}

#[test]
fn a_system_without_ssh_gets_no_host_keys() {
    let pool = Pool::with_template_of(&System::debian().without("etc/ssh"));
    pool.netbe().ok("create nog/a");
    assert!(!root(&pool, "nog/a", "etc/ssh").exists());
}

#[test]
fn firmware_that_waits_to_be_flashed_is_not_handed_to_another_machine() {
    let system = used_system(System::raspberry_pi(), QUICK)
        .file("boot/firmware/pieeprom.upd", "x")
        .file("boot/firmware/recovery.bin", "x");
    let pool = Pool::with_template_of(&system);
    pool.netbe().ok("create nog/a");
    for name in ["pieeprom.upd", "recovery.bin"] {
        assert!(!pool.half("nog/a", "boot").join(name).exists(), "{name}");
        assert!(
            pool.half("base/stock", "boot").join(name).exists(),
            "{name}"
        );
    }
    assert!(pool.half("nog/a", "boot").join("start4.elf").exists());
}

#[test]
fn the_same_node_keeps_its_identity_to_the_byte() {
    let pool = Pool::with_template_of(&used_system(System::raspberry_pi(), QUICK));
    pool.netbe().ok("create nog/a");
    // What it became when it ran.
    fs::write(root(&pool, "nog/a", "etc/machine-id"), OLD_ID).unwrap();
    fs::write(root(&pool, "nog/a", "var/lib/systemd/random-seed"), "seed").unwrap();
    fs::write(pool.half("nog/a", "boot").join("pieeprom.upd"), "x").unwrap();
    for line in ["create nog/b", "clone nog/a nog/c"] {
        pool.netbe().ok(line);
    }
    let half = |environment: &str, half: &str| Fingerprint::of(&pool.half(environment, half));
    for environment in ["nog/b", "nog/c"] {
        half("nog/a", "root")
            .without(&["etc/fstab"])
            .assert_unchanged(&half(environment, "root").without(&["etc/fstab"]));
        half("nog/a", "boot")
            .without(&["cmdline.txt"])
            .assert_unchanged(&half(environment, "boot").without(&["cmdline.txt"]));
    }
}

#[test]
fn invariant_13_a_copy_differs_in_names_and_paths_only() {
    let pool = Pool::with_template_of(&System::raspberry_pi());
    pool.netbe().ok("create nog/a");
    pool.netbe().ok("create nog/b");
    for (half, path) in [("boot", "cmdline.txt"), ("root", "etc/fstab")] {
        let of = |env: &str| {
            fs::read_to_string(pool.half(&format!("nog/{env}"), half).join(path)).unwrap()
        };
        assert_eq!(of("a").replace("/envs/a/", "/envs/b/"), of("b"), "{path}");
    }
    let text = pool.boot_text("nog/b");
    assert_eq!(text.lines().count(), 1, "{text:?}");
    for word in ["console=serial0,115200", "console=tty1", "quiet"] {
        assert!(text.split_whitespace().any(|w| w == word), "{word}: {text}");
    }
    // The same edit again changes nothing.
    pool.netbe().ok("create nog/c --from nog/b");
    assert_eq!(
        pool.boot_text("nog/c"),
        text.replace("/envs/b/", "/envs/c/")
    );
}

#[test]
fn a_clone_to_another_node_becomes_that_nodes() {
    let pool = Pool::with_template_of(&used_system(System::debian(), QUICK));
    pool.netbe().ok("create nog/a");
    pool.netbe().ok("create ordo/a");
    fs::write(root(&pool, "nog/a", "etc/machine-id"), OLD_ID).unwrap();
    pool.netbe().ok("clone nog/a ordo/b");
    assert_eq!(text(&pool, "ordo/b", "etc/hostname"), "ordo\n");
    assert_eq!(text(&pool, "ordo/b", "etc/machine-id"), "");
    let hosts = text(&pool, "ordo/b", "etc/hosts");
    assert!(
        hosts.contains("127.0.1.1\tordo\n") && !hosts.contains("nog"),
        "{hosts}"
    );
    let key = "etc/ssh/ssh_host_ed25519_key";
    assert_ne!(text(&pool, "ordo/b", key), text(&pool, "nog/a", key));
}

#[test]
fn an_uninitialized_system_stays_uninitialized() {
    // As Raspberry Pi OS ships: the first boot makes it all.
    let system = System::raspberry_pi()
        .file("etc/machine-id", "uninitialized\n")
        .without("etc/ssh/ssh_host_ed25519_key")
        .without("etc/ssh/ssh_host_ed25519_key.pub")
        .without("etc/ssh/ssh_host_ecdsa_key")
        .without("etc/ssh/ssh_host_ecdsa_key.pub");
    let pool = Pool::with_template_of(&system);
    pool.netbe().ok("create nog/a");
    assert_eq!(text(&pool, "nog/a", "etc/machine-id"), "uninitialized\n");
    assert_eq!(
        fs::read_dir(root(&pool, "nog/a", "etc/ssh")).map_or(0, Iterator::count),
        0
    );
}
