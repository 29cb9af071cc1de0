//! The remedies that `check` prints are commands that work when they are pasted.

mod network;
mod spoil;

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Pool, run};
use spoil::{delete, pool, without_boot, without_data, without_modules};

/// What becomes of a finding once its remedy was run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// It is gone.
    Mended,
    /// It stays, and something else has changed: a copy, what boots next.
    Stays,
    /// Not run: what it runs does not run in this system.
    Unrun,
}
use Then::{Mended, Stays, Unrun};

/// How a pool is spoiled; words of the finding; the remedy, or the beginning of it; what becomes of it.
type Case = (fn(&Pool), &'static str, &'static str, Then);

const CASES: &[Case] = &[
    (
        // Nothing tells whether its node has booted it.
        |p| fs::create_dir_all(p.at("nodes/nog/envs/c/root")).unwrap(),
        "nog/c: ",
        "netbe status nog",
        Stays,
    ),
    (
        |p| without_boot(p, "nog/a"),
        "nog/a: its boot half is missing",
        "netbe activate nog/b",
        Stays,
    ),
    (
        |p| {
            without_boot(p, "nog/a");
            without_boot(p, "nog/b");
        },
        "nog/a: its boot half is missing",
        "netbe create nog --from base -a",
        Stays,
    ),
    (
        |p| without_boot(p, "nog/b"),
        "nog/b: its boot half is missing",
        "netbe destroy nog/b",
        Mended,
    ),
    (
        |p| {
            p.netbe().ok("pin nog/b");
            without_boot(p, "nog/b");
        },
        "nog/b: its boot half is missing",
        "netbe unpin nog/b",
        Stays,
    ),
    (
        |p| {
            p.netbe().ok("activate --once nog/b");
            without_boot(p, "nog/b");
        },
        "nog/b: its boot half is missing",
        "netbe activate nog --cancel",
        Stays,
    ),
    (
        // Its node may be running it.
        |p| {
            p.netbe().ok("activate nog/b");
            without_modules(p, "nog/a");
        },
        "nog/a: it would not boot: ",
        "netbe clone nog/a nog/a-mended && netbe shell nog/a-mended",
        Unrun,
    ),
    (
        |p| {
            p.netbe().ok("activate --once nog/b");
            without_modules(p, "nog/b");
        },
        "nog/b: it would not boot: ",
        "netbe clone nog/b nog/b-mended && netbe shell nog/b-mended",
        Unrun,
    ),
    (
        |p| {
            p.netbe().ok("create nog/a-flat");
            p.subvolume("nodes/nog/envs/a/root/srv/inner");
        },
        "nested subvolume srv/inner",
        "netbe clone nog/a nog/a-flat2",
        Stays,
    ),
    (
        |p| {
            fs::write(p.of_node("nog", "node.json"), "x").unwrap();
            fs::create_dir_all(p.at("nodes/nog/envs/c/root")).unwrap();
        },
        "nog/c: ",
        "netbe init ",
        Unrun,
    ),
    (
        |p| {
            without_data(p, "/home,/srv", "+srv");
        },
        "its data of /srv is missing",
        "netbe set data=/home nog",
        Stays,
    ),
    (
        |p| without_data(p, "/srv", "+srv"),
        "its data of /srv is missing",
        "netbe set data=none nog",
        Stays,
    ),
    (
        |p| {
            // Else its machine may have it mounted.
            p.netbe().ok("set serial= nog");
            without_data(p, "/srv", "+srv");
            p.netbe().ok("set data=none nog");
        },
        "its data of /srv is missing",
        "netbe destroy --data nog /srv",
        Mended,
    ),
    (
        |p| {
            run(Command::new("btrfs")
                .args(["property", "set"])
                .arg(p.half("nog/b", "root"))
                .args(["ro", "true"]));
        },
        "its root half is a read-only subvolume",
        "btrfs property set ",
        Mended,
    ),
    (
        |p| fs::write(p.at("nodes/it's mine"), "x").unwrap(),
        "was not made by netbe",
        "mkdir -p ",
        Mended,
    ),
    (
        |p| p.subvolume("nodes/nog/envs/a/before-the-upgrade"),
        "was not made by netbe",
        "mkdir -p ",
        Mended,
    ),
    (
        |p| fs::write(p.at("nodes/nog/pool.json"), "x").unwrap(),
        "was not made by netbe",
        "mkdir -p ",
        Mended,
    ),
    (
        |p| fs::write(p.at("nodes/nog/envs/c"), "x").unwrap(),
        "nog/c: ",
        "mkdir -p ",
        Mended,
    ),
    (
        |p| fs::remove_file(p.at("nodes/nog/active")).unwrap(),
        "it has no active environment",
        "netbe activate nog/b",
        Mended,
    ),
    (
        |p| {
            delete(p, "nog/a");
            delete(p, "nog/b");
        },
        "its active environment a does not exist",
        "netbe create nog --from base -a",
        Mended,
    ),
    (
        |p| {
            // Of a served node it may be running.
            p.netbe().ok("set serial= nog");
            fs::create_dir_all(p.at("nodes/nog/envs/c/root")).unwrap();
        },
        "nog/c: ",
        "netbe destroy nog/c",
        Mended,
    ),
    (
        |p| fs::write(p.half("nog/a", "boot").join("cmdline.txt"), "quiet\n").unwrap(),
        "nog/a: it would not boot: ",
        "netbe set --existing nog",
        Mended,
    ),
    (
        |p| {
            for env in ["nog/a", "nog/b"] {
                fs::write(p.half(env, "root").join("etc/fstab"), "").unwrap();
            }
        },
        "boot files: nog/a, nog/b would not boot",
        "netbe set --existing",
        Mended,
    ),
    (
        |p| without_modules(p, "nog/b"),
        "nog/b: it would not boot: ",
        "netbe shell nog/b",
        Unrun,
    ),
    (
        |p| without_modules(p, "nog/a"),
        "nog/a: it would not boot: ",
        "netbe clone nog/a nog/a-mended && netbe shell nog/a-mended",
        Unrun,
    ),
    (
        |p| {
            p.netbe().ok("activate nog/b");
            without_modules(p, "nog/b");
        },
        "nog/b: it would not boot: ",
        "netbe rollback nog",
        Stays,
    ),
    (
        |p| without_modules(p, "base/stock"),
        "base/stock: it would not boot: ",
        "netbe shell base/stock",
        Unrun,
    ),
    (
        |p| p.subvolume("nodes/nog/envs/a/root/srv/inner"),
        "nested subvolume srv/inner",
        "netbe clone nog/a nog/a-flat",
        Stays,
    ),
    (
        |p| fs::set_permissions(p.at("nodes"), Permissions::from_mode(0o755)).unwrap(),
        "every user of this server can reach",
        "netbe init ",
        Mended,
    ),
    (
        |p| fs::set_permissions(p.state(), Permissions::from_mode(0o755)).unwrap(),
        "users other than root can read",
        "chmod 700 ",
        Mended,
    ),
    (
        |p| fs::remove_file(p.half("nog/b", "").join("env.json")).unwrap(),
        "nog/b: ",
        "netbe check --repair",
        Mended,
    ),
];

#[test]
fn each_is_a_command_that_works_when_it_is_pasted() {
    assert_each_works(CASES);
}

fn assert_each_works(cases: &[Case]) {
    for (spoil, words, start, then) in cases {
        let pool = pool();
        spoil(&pool);
        let found = pool.findings();
        for (_, remedy) in &found {
            assert_is_command(remedy);
        }
        let (line, remedy) = found
            .iter()
            .find(|(line, remedy)| line.contains(words) && remedy.starts_with(start))
            .unwrap_or_else(|| panic!("{words}: {found:#?}"));
        if *then == Unrun {
            continue;
        }
        paste(&pool, remedy);
        let stays = pool.findings().iter().any(|(left, _)| left == line);
        assert_eq!(stays, *then == Stays, "{line}: {remedy}");
    }
}

/// Asserts that every command of a line is that of a program, and that nothing is left to be filled in.
fn assert_is_command(remedy: &str) {
    let parts = remedy.split(" && ").flat_map(|part| part.split("; "));
    for command in parts.flat_map(|part| part.split(" | ")) {
        let program = command.split(' ').next().unwrap();
        let known = [
            "netbe",
            "mkdir",
            "mv",
            "rm",
            "chmod",
            "btrfs",
            "dmesg",
            "grep",
            "mount",
            "man",
            "apt-get",
            "ss",
            "echo",
            "sed",
            "sysctl",
            "systemctl",
            "pacman",
            "dnf",
            "zypper",
            "apk",
        ];
        assert!(known.contains(&program), "{remedy}");
        let is_left = |word: &str| word.len() > 1 && word.bytes().all(|b| b.is_ascii_uppercase());
        let mut words = command.split([' ', '/', '=']);
        assert!(!words.any(is_left), "{remedy}");
    }
}

/// Runs a line as a shell does, with the program in its path; what it would ask on a terminal is answered with yes.
///
/// Of commands with `;` between them the last has to succeed.
pub(crate) fn paste(pool: &Pool, line: &str) {
    let line = line.replace("netbe destroy ", "netbe destroy -y ");
    let netbe = pool.netbe().plain();
    let bin = Path::new(netbe.get_program()).parent().unwrap();
    let mut shell = Command::new("sh");
    let variables = netbe.get_envs();
    shell.envs(variables.filter_map(|(key, value)| Some((key, value?))));
    let mut path = OsString::from(bin);
    // Where a test has a program of its own in the place of one that would change this machine.
    path.push(":");
    path.push(pool.beside().join("bin"));
    path.push(":/usr/sbin:/usr/bin:/sbin:/bin");
    shell.env("PATH", path).stdin(Stdio::null());
    run(shell.args(["-c", &line]));
}
