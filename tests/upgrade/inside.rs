//! What a command finds inside, what it can reach, and what becomes of what it leaves.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{assert_ok, debian, mounts, pool_of, processes_with, state, upgrade};
use crate::support::{Fingerprint, System};

#[test]
fn a_daemon_it_started_is_gone_with_it() {
    let pool = debian();
    let script = "busybox setsid sleep 424242 >/dev/null 2>&1 & sleep 1";
    assert_ok(&upgrade(&pool.netbe(), "", script));
    assert_eq!(processes_with("424242"), []);
}

#[test]
fn the_resolver_and_the_policy_are_lent_and_given_back_exactly() {
    let pool = debian();
    let netbe = pool.netbe();
    let etc = pool.half("nog/first", "root").join("etc");
    let resolver = etc.join("resolv.conf");
    let policy = pool.half("nog/first", "root").join("usr/sbin/policy-rc.d");
    fs::write(&policy, "#!/bin/sh\nexit 0\n").unwrap();
    fs::set_permissions(&policy, fs::Permissions::from_mode(0o750)).unwrap();
    let cases: [(&str, &dyn Fn()); 4] = [
        ("file", &|| {
            fs::write(&resolver, "nameserver 192.0.2.53\n").unwrap();
            fs::set_permissions(&resolver, fs::Permissions::from_mode(0o600)).unwrap();
        }),
        ("dangling", &|| {
            symlink("../run/no/such", &resolver).unwrap();
        }),
        ("absolute", &|| {
            symlink("/etc/hostname", &resolver).unwrap();
        }),
        ("missing", &|| {}),
    ];
    let server = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let lookups = |text: &str| -> Vec<String> {
        let names = text.lines().filter(|l| l.starts_with("nameserver"));
        names.map(str::to_string).collect()
    };
    for (name, plant) in cases {
        let _ = fs::remove_file(&resolver);
        plant();
        let before = Fingerprint::of(&etc).without(&["fstab"]);
        let script = "cat /etc/resolv.conf > /seen; /usr/sbin/policy-rc.d; echo $? > /policy";
        assert_ok(&upgrade(&netbe, &format!("--name {name}"), script));
        let root = pool.half(&format!("nog/{name}"), "root");
        before.assert_unchanged(&Fingerprint::of(&root.join("etc")).without(&["fstab"]));
        let seen = fs::read_to_string(root.join("seen")).unwrap();
        assert_eq!(lookups(&seen), lookups(&server), "{name}");
        assert_eq!(
            fs::read_to_string(root.join("policy")).unwrap(),
            "101\n",
            "{name}"
        );
        let after = root.join("usr/sbin/policy-rc.d");
        assert_eq!(fs::read(&after).unwrap(), fs::read(&policy).unwrap());
        assert_eq!(
            after.metadata().unwrap().permissions().mode() & 0o7777,
            0o750
        );
    }
    assert_eq!(
        fs::read_to_string("/etc/resolv.conf").unwrap_or_default(),
        server
    );
}

#[test]
fn links_planted_where_it_mounts_lead_nowhere() {
    let pool = debian();
    let netbe = pool.netbe();
    let outside = pool.beside().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "the server's\n").unwrap();
    let (untouched, table) = (Fingerprint::of(&outside), mounts());
    let root = pool.half("nog/first", "root");
    for place in [
        "proc",
        "dev",
        "sys",
        "run",
        "tmp",
        "boot",
        "etc/resolv.conf",
        "usr/sbin/policy-rc.d",
    ] {
        let at = root.join(place);
        let away = root.join("away");
        let was_there = fs::rename(&at, &away).is_ok();
        let target = match place.contains('.') {
            true => outside.join("file"),
            false => outside.clone(),
        };
        for link in [
            target.clone(),
            Path::new("../../../../../../..").join(target.strip_prefix("/").unwrap()),
        ] {
            symlink(&link, &at).unwrap();
            let before = state(&pool);
            let outcome = upgrade(
                &netbe,
                "--name planted",
                &format!("echo owned > /{place}; echo owned > /{place}/file; exit 1"),
            );
            assert_eq!(outcome.status, 1, "{place}: {outcome:#?}");
            before.assert_unchanged(&state(&pool));
            untouched.assert_unchanged(&Fingerprint::of(&outside));
            assert_eq!(mounts(), table, "{place}");
            fs::remove_file(&at).unwrap();
        }
        if was_there {
            fs::rename(&away, &at).unwrap();
        }
    }
}

#[test]
fn syncs_are_made_where_the_property_says_so_and_in_what_is_published_already() {
    let pool = debian();
    let netbe = pool.netbe();
    // A pipe cannot be synced: one that is asked for says so.
    let script = "busybox dd if=/dev/zero bs=1 count=1 conv=fsync 2>&1 | busybox cat";
    let made = |said: &str| said.contains("nvalid argument");
    let upgraded = |name: &str| {
        let outcome = upgrade(&netbe, &format!("--name {name}"), script);
        assert_ok(&outcome);
        let log = pool
            .path()
            .join(format!("nodes/nog/envs/{name}/upgrade.log"));
        made(&fs::read_to_string(log).unwrap())
    };
    assert!(!upgraded("quick"));
    netbe.ok("set upgrade.sync=on");
    assert!(upgraded("safe"));
    netbe.ok("set upgrade.sync=off nog");
    assert!(!upgraded("again"));
    let said = netbe.run_with(&["run", "nog/quick", "--", "sh", "-c", script]);
    assert!(made(&said.stdout), "{said:#?}");
}

#[test]
fn a_foreign_system_without_an_emulator_is_refused_before_anything_is_made() {
    let pool = debian();
    let netbe = pool.netbe();
    // No emulator knows a machine of this number.
    let shell = pool.half("nog/first", "root").join("usr/bin/busybox");
    let mut program = fs::read(&shell).unwrap();
    program[18..20].copy_from_slice(&0x1234_u16.to_le_bytes());
    fs::write(&shell, program).unwrap();
    let before = state(&pool);
    for line in [
        "upgrade --node nog -- true",
        "upgrade --node nog",
        "upgrade -n --node nog",
    ] {
        let said = netbe.fails(3, line);
        assert!(said.contains("which this machine cannot run"), "{said}");
        assert!(
            said.contains("hint: ") && said.contains("qemu-user-static"),
            "{said}"
        );
    }
    before.assert_unchanged(&state(&pool));
}

#[test]
fn a_subvolume_made_inside_becomes_a_directory_with_its_content() {
    let mut system = System::debian();
    let program = PathBuf::from("/usr/bin/btrfs");
    for file in std::iter::once(program.clone()).chain(libraries(&program)) {
        let content = fs::read(&file).unwrap();
        let path = file.strip_prefix("/").unwrap().display().to_string();
        // The small system's lib is a link into usr.
        let path = path
            .strip_prefix("lib")
            .map_or(path.clone(), |rest| format!("usr/lib{rest}"));
        system = system.program(&path, &content);
    }
    let pool = pool_of(&system.link("lib64", "usr/lib64"));
    let netbe = pool.netbe();
    let script = "btrfs subvolume create /var/lib/machines && echo x > /var/lib/machines/file && \
                  btrfs subvolume create /var/lib/machines/inner && echo y > /var/lib/machines/inner/file";
    let outcome = upgrade(&netbe, "--name flat", script);
    assert_ok(&outcome);
    assert!(outcome.stderr.contains("var/lib/machines"), "{outcome:#?}");
    let machines = pool.half("nog/flat", "root").join("var/lib/machines");
    assert_eq!(fs::read_to_string(machines.join("file")).unwrap(), "x\n");
    assert_eq!(
        fs::read_to_string(machines.join("inner/file")).unwrap(),
        "y\n"
    );
    let number = |path: &Path| std::os::unix::fs::MetadataExt::ino(&path.metadata().unwrap());
    assert_ne!(number(&machines), 256, "the root of a subvolume");
    netbe.ok("clone nog/flat nog/again");
    let again = pool
        .half("nog/again", "root")
        .join("var/lib/machines/inner/file");
    assert_eq!(fs::read_to_string(again).unwrap(), "y\n");
    netbe.ok("destroy --yes nog/again nog/flat");
    netbe.ok("check");
}

/// Returns the libraries a program is linked with, its interpreter among them.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd")
        .arg(program)
        .output()
        .expect("ldd can be run");
    let text = String::from_utf8(output.stdout).expect("paths are ASCII");
    let paths = text.split_whitespace().filter(|word| word.starts_with('/'));
    paths.map(PathBuf::from).collect()
}
