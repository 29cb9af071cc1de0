//! Who a machine is: its own where it is another one, kept where it is the same.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Fingerprint, Pool, System, output, run};

const OLD_ID: &str = "0123456789abcdef0123456789abcdef\n";

/// The kinds of host keys that cost nothing to make; RSA takes seconds.
const QUICK: &[(&str, &str)] = &[("ed25519", "256"), ("ecdsa", "256")];

/// Returns a system that has been somebody: real host keys of these kinds, leases, an initiator name.
fn somebody(system: System, keys_of: &[(&str, &str)]) -> System {
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
    let pool = Pool::with_template_of(&somebody(System::debian(), QUICK));
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
    let pool = Pool::with_template_of(&somebody(System::debian(), &kinds));
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
fn a_system_without_host_keys_gets_none() {
    let pool = Pool::with_template_of(&System::debian().without("etc/ssh"));
    pool.netbe().ok("create nog/a");
    assert!(!root(&pool, "nog/a", "etc/ssh").exists());
}

#[test]
fn firmware_that_waits_to_be_flashed_is_not_handed_to_another_machine() {
    let system = somebody(System::raspberry_pi(), QUICK)
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
    let pool = Pool::with_template_of(&somebody(System::raspberry_pi(), QUICK));
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
fn invariant_13_nothing_but_names_and_paths_differs_in_a_copy() {
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
    let pool = Pool::with_template_of(&somebody(System::debian(), QUICK));
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
fn a_system_that_was_nobody_yet_stays_so() {
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

#[test]
fn cloud_init_leaves_a_new_node_its_name() {
    let pool = Pool::new();
    let system = System::debian()
        .file("usr/bin/cloud-init", "#!ELF\n")
        .file("etc/cloud/cloud.cfg", "preserve_hostname: false\n")
        .file(
            "boot/user-data",
            "#cloud-config\nhostname: desk\nmanage_etc_hosts: true\n",
        )
        .file(
            "var/lib/cloud/seed/nocloud/meta-data",
            "instance-id: one\nlocal-hostname: desk\n",
        );
    system.build(&pool.beside().join("system"));
    let imported = pool.netbe().run("import base/it system");
    assert_eq!(imported.status, 0, "{imported:#?}");
    assert!(imported.stderr.contains("cloud-init"), "{imported:#?}");
    pool.netbe()
        .ok("create nog/a --from base --mac 52:54:00:00:00:01");
    let settings = "etc/cloud/cloud.cfg.d/99-netbe.cfg";
    assert!(text(&pool, "nog/a", settings).contains("preserve_hostname: true"));
    assert!(!root(&pool, "base/it", settings).exists());
    let seed = text(&pool, "nog/a", "var/lib/cloud/seed/nocloud/meta-data");
    assert!(seed.starts_with("instance-id: nog-"), "{seed}");
    assert!(seed.ends_with("\nlocal-hostname: nog\n"), "{seed}");
    let data = fs::read_to_string(pool.half("nog/a", "boot").join("user-data")).unwrap();
    assert_eq!(
        data,
        "#cloud-config\nhostname: nog\nmanage_etc_hosts: true\n"
    );
    // The same machine stays who it is.
    fs::write(root(&pool, "nog/a", settings), "# mine\n").unwrap();
    pool.netbe().ok("clone nog/a nog/b");
    assert_eq!(text(&pool, "nog/b", settings), "# mine\n");
    let again = pool.netbe().run("import base/again system");
    let note = "new nodes are still made from base/it, which is active";
    assert!(again.stderr.contains(note), "{}", again.stderr);
    assert!(again.stderr.contains("netbe activate base/again"));
}

/// Files that say which machine a system is, by what they hold; each new node's is gone, empty or its own.
const OF_ONE_MACHINE: &[(&str, &str)] = &[
    ("etc/machine-id", OLD_ID),
    ("var/lib/dbus/machine-id", OLD_ID),
    ("etc/hostid", "abcd"),
    ("etc/nvme/hostid", "0f0f0f0f-0000-4000-8000-000000000000\n"),
    (
        "etc/nvme/hostnqn",
        "nqn.2014-08.org.nvmexpress:uuid:0f0f0f0f-0000-4000-8000-000000000000\n",
    ),
    ("etc/machine-info", "PRETTY_HOSTNAME=Stock\n"),
    ("etc/dhcpcd.duid", "00:01\n"),
    ("var/lib/dhcpcd/duid", "00:01\n"),
    ("var/lib/dhcpcd/secret", "s"),
    (
        "var/lib/dhcp/dhclient6.enp1s0.leases",
        "default-duid \"\\000\\001\";\n",
    ),
    ("var/lib/dhclient/dhclient-x-eth0.lease", "lease {}\n"),
    ("var/lib/NetworkManager/secret_key", "nm-v2:x\n"),
    ("var/lib/NetworkManager/timestamps", "[timestamps]\n"),
    ("var/lib/NetworkManager/internal-x-eth0.lease", "x"),
    ("var/lib/dibbler/client-duid", "00:01\n"),
    ("var/lib/dhcpv6/dhcp6c_duid", "x"),
    ("var/lib/wicked/duid.xml", "<duid/>\n"),
    ("var/lib/systemd/random-seed", "seed"),
    ("var/lib/systemd/credential.secret", "secret"),
    ("var/lib/random-seed", "seed"),
    (
        "var/log/journal/0123456789abcdef0123456789abcdef/system.journal",
        "LPKSHHRH",
    ),
    ("var/lib/cloud/data/instance-id", "iid-stock\n"),
    (
        "var/lib/cloud/instances/iid-stock/sem/config_runcmd",
        "done\n",
    ),
    ("var/lib/cloud/instances/iid-stock/obj.pkl", "x"),
    ("var/lib/cloud/sem/config_scripts_per_once.once", "done\n"),
    (
        "var/lib/cloud/seed/nocloud/meta-data",
        "instance-id: iid-stock\nlocal-hostname: stock\n",
    ),
];

#[test]
fn two_nodes_of_one_template_have_no_identity_in_common() {
    let mut system = somebody(System::debian(), QUICK)
        .file("usr/bin/cloud-init", "#!ELF\n")
        .file("etc/credstore.encrypted/key", "x")
        .link("var/lib/cloud/instance", "instances/iid-stock");
    for (path, text) in OF_ONE_MACHINE {
        system = system.file(path, text);
    }
    let pool = Pool::with_template_of(&system);
    let made = pool.netbe().run("create nog/a");
    assert_eq!(made.status, 0, "{made:#?}");
    assert!(made.stderr.contains("credstore.encrypted"), "{made:#?}");
    assert!(made.stderr.contains("journal"), "{made:#?}");
    pool.netbe().ok("create ordo/a");
    let own = [
        "etc/hostid",
        "etc/nvme/hostid",
        "etc/nvme/hostnqn",
        "etc/machine-info",
        "var/lib/cloud/seed/nocloud/meta-data",
    ];
    for (path, text) in OF_ONE_MACHINE {
        let of = |env: &str| fs::read_to_string(root(&pool, env, path)).ok();
        let is_own = own.contains(path);
        for env in ["nog/a", "ordo/a"] {
            let is_left = of(env).is_some_and(|t| !t.is_empty());
            let hostid = *path == "etc/hostid" && root(&pool, env, path).exists();
            assert_eq!(is_left || hostid, is_own, "{env}: {path}");
        }
        let bytes = |env: &str| fs::read(root(&pool, env, path)).ok();
        assert!(!is_own || bytes("nog/a") != bytes("ordo/a"), "{path}");
        assert_eq!(of("base/stock").as_deref(), Some(*text), "{path}");
    }
    assert!(fs::symlink_metadata(root(&pool, "nog/a", "var/lib/cloud/instance")).is_err());
    // The same machine keeps all of it.
    pool.netbe().ok("clone nog/a nog/b");
    for path in own {
        let of = |env: &str| fs::read(root(&pool, env, path)).unwrap();
        assert_eq!(of("nog/a"), of("nog/b"), "{path}");
    }
}

#[test]
fn without_systemd_an_empty_machine_id_would_be_a_broken_one() {
    let pool = Pool::with_template_of(&System::debian().without("usr/lib/systemd/systemd"));
    pool.netbe().ok("create nog/a");
    assert!(!root(&pool, "nog/a", "etc/machine-id").exists());
}

/// A system whose network programs would each take the interface of the root down.
fn networked() -> System {
    System::debian()
        .file("usr/bin/cloud-init", "#!ELF\n")
        .file("etc/dhcpcd.conf", "hostname\n")
        .file("usr/sbin/ifup", "\x7fELF no-auto-down\0")
        .file(
            "etc/network/interfaces",
            "auto lo\niface lo inet loopback\nallow-hotplug eth0\niface eth0 inet dhcp\n",
        )
        .file(
            "etc/systemd/network/20-wired.network",
            "[Match]\nName=e*\n[Network]\nDHCP=yes\n",
        )
        .file(
            "etc/netplan/01.yaml",
            "network:\n  ethernets:\n    lan:\n      dhcp4: true\n",
        )
        .file(
            "etc/sysconfig/network/ifcfg-eth0",
            "BOOTPROTO='dhcp'\nSTARTMODE='auto'\n",
        )
}

#[test]
fn nothing_takes_down_the_interface_of_a_network_root() {
    let pool = Pool::new();
    networked().build(&pool.beside().join("system"));
    let imported = pool.netbe().run("import base/it system");
    assert_eq!(imported.status, 0, "{imported:#?}");
    assert!(
        imported.stderr.contains("/etc/dhcpcd.conf"),
        "{imported:#?}"
    );
    pool.netbe()
        .ok("create nog/a --from base --mac 52:54:00:00:00:01");
    let kept = [
        ("etc/dhcpcd.conf", "\npersistent\n"),
        ("etc/network/interfaces", "\nno-auto-down eth0\n"),
        (
            "etc/systemd/network/20-wired.network.d/50-netbe.conf",
            "KeepConfiguration=yes\n",
        ),
        (
            "etc/systemd/network/10-netplan-lan.network.d/50-netbe.conf",
            "KeepConfiguration=yes\n",
        ),
        (
            "etc/sysconfig/network/ifcfg-eth0",
            "\nSTARTMODE='nfsroot'\n",
        ),
        (
            "etc/cloud/cloud.cfg.d/99-netbe-network.cfg",
            "network: {config: disabled}",
        ),
    ];
    for (path, part) in kept {
        let text = text(&pool, "nog/a", path);
        assert!(text.contains(part), "{path}: {text}");
    }
    // What the node then does is its own choice.
    fs::write(root(&pool, "nog/a", "etc/dhcpcd.conf"), "mine\n").unwrap();
    pool.netbe().ok("create nog/b");
    assert_eq!(text(&pool, "nog/b", "etc/dhcpcd.conf"), "mine\n");
    // With a root on a disk all of it is as it was.
    pool.netbe().ok("set root=LABEL=x base");
    pool.netbe().ok("create base/disk");
    for (path, _) in kept {
        let now = fs::read_to_string(root(&pool, "base/disk", path)).ok();
        let then = fs::read_to_string(pool.beside().join("system").join(path)).ok();
        assert_eq!(now, then, "{path}");
    }
}

#[test]
fn what_chattr_protects_is_made_the_nodes_own_and_stays_protected() {
    let pool = Pool::with_template();
    let chattr = |flag: &str, path: &Path| run(Command::new("chattr").arg(flag).arg(path));
    let protected = |path: &Path| {
        let listed = output(Command::new("lsattr").arg("-d").arg(path));
        listed[..20].iter().any(|letter| b"ia".contains(letter))
    };
    let dir = |environment: &str| {
        pool.half(environment, "root")
            .parent()
            .unwrap()
            .to_path_buf()
    };
    let base = dir("base/stock");
    // A directory, and what is in it.
    for (flag, paths) in [
        (
            "+i",
            &["root/etc/hostname", "root/etc/hosts", "root/etc/fstab"][..],
        ),
        ("+a", &["root/etc/machine-id", "root/etc/fstab"]),
        (
            "+i",
            &[
                "root/etc/ssh/ssh_host_ecdsa_key",
                "boot/pxelinux.cfg/default",
                "root/etc",
            ],
        ),
        ("+i", &["boot"]),
    ] {
        let places: Vec<PathBuf> = paths.iter().map(|path| base.join(path)).collect();
        places.iter().for_each(|path| chattr(flag, path));
        pool.netbe()
            .ok("create ordo/a --from base --serial 0badcafe");
        let made = dir("ordo/a");
        let name = fs::read_to_string(made.join("root/etc/hostname")).unwrap();
        assert_eq!(name, "ordo\n");
        for path in paths {
            assert!(protected(&made.join(path)), "{path}");
        }
        assert_eq!(pool.netbe().ok("check ordo"), "Everything is sound.\n");
        pool.netbe().ok("set serial= ordo --force");
        pool.netbe().ok("rename ordo/a b");
        pool.netbe().ok("destroy -ry ordo");
        places.iter().for_each(|path| chattr("-ia", path));
    }
}
