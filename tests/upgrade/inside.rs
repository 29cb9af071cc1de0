//! The view and reach of a command inside the sandbox, and the end of its processes.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{assert_ok, debian, pool_of, processes_with, state, upgrade};
use crate::support::{Fingerprint, Pool, System, mounts, run};

#[test]
fn a_daemon_started_by_the_command_ends_with_it() {
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
    let own = |seen: &str| seen.starts_with("nameserver 10.") && seen.contains(".3\n");
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
        assert!(own(&seen), "{name}: {seen}");
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
    netbe.ok("set upgrade.network=host nog");
    assert_ok(&upgrade(
        &netbe,
        "--name host",
        "cat /etc/resolv.conf > /seen",
    ));
    let seen = fs::read_to_string(pool.half("nog/host", "root").join("seen")).unwrap();
    assert_eq!(lookups(&seen), lookups(&server));
    assert_eq!(
        fs::read_to_string("/etc/resolv.conf").unwrap_or_default(),
        server
    );
}

#[test]
fn without_its_tool_a_network_apart_is_refused_before_anything_is_made() {
    let pool = debian();
    let netbe = pool.netbe();
    bind("/dev/null", "/usr/bin/slirp4netns");
    let before = state(&pool);
    for line in [
        "upgrade --node nog -- true",
        "upgrade -n --node nog -- true",
        "run base/it -- true",
    ] {
        let status = match line.starts_with("run") {
            true => 125,
            false => 3,
        };
        let output = netbe.fails(status, line);
        assert!(
            output.contains("slirp4netns, which is not installed"),
            "{output}"
        );
        assert!(
            output.contains("netbe set upgrade.network=host"),
            "{output}"
        );
    }
    before.assert_unchanged(&state(&pool));
    netbe.ok("set upgrade.network=host");
    netbe.ok("run base/it -- true");
}

/// Covers a file of this machine's, for this test alone.
fn bind(from: &str, to: &str) {
    use nix::mount::{MsFlags, mount};
    let none = None::<&str>;
    mount(Some(from), to, none, MsFlags::MS_BIND, none).unwrap();
}

#[test]
fn endless_output_is_cut_in_the_log() {
    let pool = debian();
    let netbe = pool.netbe();
    let script = "echo begin; busybox yes | head -c 200000000; echo; echo end";
    assert_ok(&upgrade(&netbe, "--name loud", script));
    let log = pool.path().join("nodes/nog/envs/loud/upgrade.log");
    let text = fs::read_to_string(log).unwrap();
    assert!(text.len() < 10 << 20, "{}", text.len());
    assert!(text.starts_with("begin\n") && text.ends_with("end\n"));
    assert!(text.contains(" bytes are left out here]\n"));
}

#[test]
fn an_upgrade_that_fills_the_pool_is_ended_while_its_reserve_is_free() {
    let pool = Pool::bare(1 << 30);
    let netbe = pool.netbe();
    netbe.ok("init --server 192.0.2.1");
    pool.import("base/it", &System::debian());
    netbe.ok("create nog/first");
    let before = state(&pool);
    for script in [
        // It would try for ever.
        "while :; do busybox dd if=/dev/urandom of=/fill.$((i += 1)) bs=1M count=8 2>/dev/null; done",
        // Gone before anybody looks, as if all were well.
        "busybox dd if=/dev/zero of=/fill bs=1M 2>/dev/null; true",
    ] {
        let outcome = upgrade(&netbe, "", script);
        assert_eq!(outcome.status, 1, "{outcome:#?}");
        assert!(
            outcome.stderr.contains("kept free"),
            "{script}: {outcome:#?}"
        );
        assert!(outcome.stderr.contains("nothing was kept"), "{outcome:#?}");
        assert!(!outcome.stderr.contains(".staged-"), "{outcome:#?}");
        assert!(outcome.stderr.ends_with("netbe prune -n\n"), "{outcome:#?}");
        before.assert_unchanged(&state(&pool));
        // What was deleted frees its space a while later.
        let mut freed = Command::new("btrfs");
        run(freed.args(["subvolume", "sync"]).arg(pool.path()));
    }
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
fn syncs_are_made_by_the_property_and_in_published_environments() {
    let pool = debian();
    let netbe = pool.netbe();
    // A pipe cannot be synced: one that is asked for says so.
    let script = "busybox dd if=/dev/zero bs=1 count=1 conv=fsync 2>&1 | busybox cat";
    let made = |output: &str| output.contains("nvalid argument");
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
    let output = netbe.run_with(&["run", "nog/quick", "--", "sh", "-c", script]);
    assert!(made(&output.stdout), "{output:#?}");
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
        let output = netbe.fails(3, line);
        assert!(output.contains("which this machine cannot run"), "{output}");
        assert!(
            output.contains("hint: ") && output.contains("qemu-user-static"),
            "{output}"
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
