//! Remedies of what does not fit together: addresses, clients, machines without a name, records, the filesystem.

use std::fs;
use std::process::Command;

use super::Then::{Mended, Stays, Unrun};
use super::{Case, assert_each_works};
use crate::support::{Pool, System, run};

/// A MAC address of `ordo`.
const MAC: &str = "02:00:00:00:77:01";

const CASES: &[Case] = &[
    (
        |p| fs::remove_file(p.at("tftp/9ffefdef")).unwrap(),
        "the published configuration is not up to date",
        "netbe check --repair",
        Mended,
    ),
    (
        |p| drop(p.netbe().ok("set server=203.0.113.9")),
        "server: nodes are told to reach this machine at 203.0.113.9",
        "netbe set server=",
        Mended,
    ),
    (
        |p| drop(p.netbe().ok("set server=203.0.113.9 nog")),
        "nog: nodes are told to reach this machine at 203.0.113.9",
        "netbe set server=",
        Mended,
    ),
    (
        |p| {
            // It warns of what is found.
            p.netbe()
                .run("set ip=192.0.2.50/24 clients=198.51.100.7 nog");
        },
        "nog: its address is 192.0.2.50",
        "netbe set clients=198.51.100.7,192.0.2.50 nog",
        Mended,
    ),
    (
        |p| {
            p.netbe().ok("set ip=192.0.2.50/24 --existing nog");
            ordo(p, &[("ip", "192.0.2.50/24")]);
        },
        "ordo: it has the address 192.0.2.50, and so has nog",
        "netbe set ip=dhcp ordo --existing",
        Mended,
    ),
    (
        |p| ordo(p, &[("mac", "any"), ("access", "ro")]),
        "ordo: it has mac=any, which serves no machine while nog is known by its serial alone",
        "netbe get mac nog",
        Stays,
    ),
    (
        |p| {
            p.netbe().ok("set serial= mac=02:00:00:00:77:02 nog");
            ordo(p, &[("mac", "any"), ("access", "ro")]);
            let dir = p.of_node("ordo", "machines");
            fs::create_dir_all(&dir).unwrap();
            for number in 0..4096 {
                let name = format!("02-00-00-00-{:02x}-{:02x}", number / 256, number % 256);
                let its = r#"{"fetched":[{"env":"x","time":"2026-11-30T10:00:00Z"}]}"#;
                fs::write(dir.join(name), its).unwrap();
            }
        },
        "ordo: 4096 machines have booted it by mac=any",
        "netbe set --force mac=any ordo",
        Mended,
    ),
    (
        copied_by_hand,
        "its env.json is that of nog/b: one of them was copied by hand",
        "rm ",
        Mended,
    ),
    (
        |p| p.remount(true),
        "its filesystem is mounted read-only",
        "dmesg | grep -i btrfs; mount -o remount,rw ",
        Mended,
    ),
    (
        // As on a server without the package.
        |p| {
            run(Command::new("mount").args(["-t", "tmpfs", "none", "/usr/lib/PXELINUX"]));
            p.import("pc/stock", &System::debian());
            p.netbe().ok(&format!("create rom/a --from pc --mac {MAC}"));
            p.netbe().ok("set model=pc-bios rom");
        },
        "rom/a: it would not boot: ",
        "apt-get install pxelinux syslinux-common && netbe set --existing rom",
        Unrun,
    ),
];

#[test]
fn each_works_when_it_is_pasted() {
    assert_each_works(CASES);
}

/// Makes a node with properties that `set` would refuse, as an editor can give it.
fn ordo(pool: &Pool, properties: &[(&str, &str)]) {
    pool.netbe()
        .ok(&format!("create ordo --from base --mac {MAC}"));
    let file = pool.of_node("ordo", "node.json");
    let text = fs::read_to_string(&file).unwrap();
    let mut record: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (name, value) in properties {
        record["properties"][*name] = (*value).into();
    }
    fs::write(&file, record.to_string()).unwrap();
}

/// Makes `nog/c` of `nog/b` without netbe, and has a takeover believe both.
fn copied_by_hand(pool: &Pool) {
    fs::create_dir(pool.half("nog/c", "")).unwrap();
    for half in ["root", "boot"] {
        run(Command::new("btrfs")
            .args(["-q", "subvolume", "snapshot"])
            .args([pool.half("nog/b", half), pool.half("nog/c", half)]));
    }
    let record = |env: &str| pool.half(env, "").join("env.json");
    fs::copy(record("nog/b"), record("nog/c")).unwrap();
    fs::remove_file(pool.state().join("key")).unwrap();
    let take_over = format!("init {} --take-over --yes", pool.path().display());
    pool.netbe().ok(&take_over);
    // So that nothing else is to be repaired.
    pool.netbe().ok("set --existing nog");
}
