//! The identity of one machine: two nodes of one template have no part of it in common.

use std::fs;

use super::{OLD_ID, QUICK, root, used_system};
use crate::support::{Pool, System};

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
    let mut system = used_system(System::debian(), QUICK)
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
