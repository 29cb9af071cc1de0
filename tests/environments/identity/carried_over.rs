//! A node that exists stays who it is in another node's system.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use nix::sys::stat::Mode;

use super::{QUICK, root, text, used_system};
use crate::support::{Pool, System};

const KEY: &str = "etc/ssh/ssh_host_ed25519_key";
const CERTIFICATE: &str = "etc/ssh/ssh_host_ed25519_key-cert.pub";
const ID: &str = "00112233445566778899aabbccddeeff\n";

/// What is a node's own, written into its active environment as it has become.
const OF_NOG: &[(&str, &str)] = &[
    ("etc/hostname", "nog.lan\n"),
    ("etc/machine-id", ID),
    ("etc/hostid", "abcd"),
    ("etc/nvme/hostnqn", "nqn.2014-08.org.nvmexpress:uuid:nogs\n"),
    (
        "etc/machine-info",
        "PRETTY_HOSTNAME=\"The Desk\"\nLOCATION=cellar\n",
    ),
    (
        "etc/iscsi/initiatorname.iscsi",
        "InitiatorName=iqn.2020-01.lan:nog\n",
    ),
    ("var/lib/dhcpcd/duid", "00:02\n"),
    ("var/lib/NetworkManager/secret_key", "nm-v2:nogs\n"),
    ("var/lib/systemd/random-seed", "nogs seed"),
    ("var/lib/systemd/credential.secret", "nogs secret"),
    (CERTIFICATE, "nogs certificate\n"),
    (
        "etc/network/interfaces",
        "auto eth0\niface eth0 inet static\n  address 10.0.0.7/24\n",
    ),
    (
        "etc/NetworkManager/system-connections/lan.nmconnection",
        "[ipv4]\naddress1=10.0.0.8/24\n",
    ),
];

/// Returns a pool with `nog/a`, which has run, and a template of a newer system.
fn pool() -> Pool {
    let pool = Pool::with_template_of(&used_system(System::debian(), QUICK));
    pool.netbe().ok("create nog/a");
    for (path, text) in OF_NOG {
        let path = root(&pool, "nog/a", path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    fs::write(
        root(&pool, "nog/a", "etc/hosts"),
        "127.0.0.1 localhost\n127.0.1.1 nog.lan nog\n",
    )
    .unwrap();
    let newer = used_system(System::debian(), QUICK)
        .file("etc/motd", "newer\n")
        .file("etc/hostid", "base")
        .file(
            "etc/network/interfaces",
            "auto lo\niface lo inet loopback\n",
        )
        .file("etc/group", "root:x:0:\nkeys:x:998:\n")
        .file("var/lib/dhcp/dhclient.eth0.leases", "lease {}\n");
    pool.import("newer/x", &newer);
    pool
}

#[test]
fn an_existing_node_keeps_its_identity() {
    for line in ["create nog/b --from newer", "clone newer/x nog/b"] {
        let pool = pool();
        fs::write(
            root(&pool, "nog/a", "etc/group"),
            "root:x:0:\nkeys:x:101:\n",
        )
        .unwrap();
        chown(root(&pool, "nog/a", KEY), Some(0), Some(101)).unwrap();
        let mode = PermissionsExt::from_mode(0o640);
        fs::set_permissions(root(&pool, "nog/a", KEY), mode).unwrap();
        let plan = pool.plans(line);
        assert!(
            plan.contains("would give nog/b the identity of nog, from nog/a\n"),
            "{plan}"
        );
        let made = pool.netbe().run(line);
        assert_eq!(made.status, 0, "{made:#?}");
        let note = "nog keeps its identity, with these of nog/a: host name, names for storage, machine-id, ssh host keys, \
                    DHCP leases and identifiers, random seeds, systemd's key for credentials; its address in \
                    /etc/NetworkManager/system-connections/lan.nmconnection, /etc/network/interfaces";
        assert!(made.stderr.contains(note), "{}", made.stderr);
        for (path, is) in OF_NOG {
            assert!(text(&pool, "nog/b", path).starts_with(is), "{path}");
        }
        for path in [KEY, "etc/ssh/ssh_host_ecdsa_key"] {
            for path in [path.to_string(), format!("{path}.pub")] {
                assert_eq!(text(&pool, "nog/a", &path), text(&pool, "nog/b", &path));
            }
        }
        let key = fs::metadata(root(&pool, "nog/b", KEY)).unwrap();
        assert_eq!((key.mode() & 0o7777, key.uid(), key.gid()), (0o640, 0, 998));
        let hosts = text(&pool, "nog/b", "etc/hosts");
        assert!(hosts.contains("127.0.1.1 nog.lan nog\n"), "{hosts}");
        assert!(!hosts.contains("debian"), "{hosts}");
        // The system is the other's, and nothing of who that is.
        assert_eq!(text(&pool, "nog/b", "etc/motd"), "newer\n");
        assert!(!root(&pool, "nog/b", "var/lib/dhcp/dhclient.eth0.leases").exists());
        assert_eq!(text(&pool, "newer/x", "etc/hostid"), "base");
    }
}

#[test]
fn links_and_pipes_of_a_node_are_not_followed() {
    let pool = pool();
    let plant = |path: &str| {
        let path = root(&pool, "nog/a", path);
        let _ = fs::remove_file(&path);
        path
    };
    symlink("/etc/shadow", plant("var/lib/systemd/random-seed")).unwrap();
    symlink("../../../../../../etc/nowhere", plant("etc/hostid")).unwrap();
    nix::unistd::mkfifo(&plant("etc/machine-id"), Mode::S_IRWXU).unwrap();
    fs::File::create(plant("var/lib/dhcpcd/duid"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    fs::write(plant("etc/hostname"), "../../x y\n").unwrap();
    let made = pool.netbe().run("create nog/b --from newer");
    assert_eq!(made.status, 0, "{made:#?}");
    for said in [
        "/etc/hostid of nog/a was not taken: it is a symbolic link to",
        "/etc/machine-id of nog/a was not taken: it is no regular file",
        "/var/lib/dhcpcd/duid of nog/a was not taken: it is too large",
    ] {
        assert!(made.stderr.contains(said), "{said}: {}", made.stderr);
    }
    let seed = root(&pool, "nog/b", "var/lib/systemd/random-seed");
    assert_eq!(fs::read_link(seed).unwrap().to_str(), Some("/etc/shadow"));
    assert_eq!(text(&pool, "nog/b", "etc/machine-id"), "");
    assert!(text(&pool, "nog/b", "etc/hosts").contains("127.0.1.1 nog.lan nog\n"));
    assert!(!root(&pool, "nog/b", "var/lib/dhcpcd/duid").exists());
}

#[test]
fn cloud_init_does_not_delete_host_keys() {
    let system = || {
        used_system(System::debian(), QUICK)
            .file("usr/bin/cloud-init", "#!ELF\n")
            .file(
                "var/lib/cloud/seed/nocloud/meta-data",
                "instance-id: stock\n",
            )
            .file("var/lib/cloud/data/instance-id", "stock\n")
    };
    let pool = Pool::with_template_of(&system());
    pool.netbe().ok("create nog/a");
    let meta = "var/lib/cloud/seed/nocloud/meta-data";
    let data = root(&pool, "nog/a", "var/lib/cloud/data/instance-id");
    let instance = text(&pool, "nog/a", meta);
    fs::write(data, instance.strip_prefix("instance-id: ").unwrap()).unwrap();
    pool.import("newer/x", &system());
    pool.netbe().ok("create nog/b --from newer");
    assert_eq!(text(&pool, "nog/b", meta), instance);
    // The new system has everything to do.
    assert!(!root(&pool, "nog/b", "var/lib/cloud/data/instance-id").exists());
    let keys = text(&pool, "nog/b", "etc/cloud/cloud.cfg.d/99-netbe-keys.cfg");
    assert!(keys.ends_with("\nssh_deletekeys: false\n"), "{keys}");
}

#[test]
fn a_node_without_a_readable_identity_gets_a_new_one() {
    let pool = pool();
    fs::remove_file(pool.at("nodes/nog/active")).unwrap();
    let made = pool.netbe().run("create nog/b --from newer");
    assert_eq!(made.status, 0, "{made:#?}");
    assert!(made.stderr.contains("it has a new identity"), "{made:#?}");
    assert_ne!(text(&pool, "nog/a", KEY), text(&pool, "nog/b", KEY));
}
