//! Upgrades, runs and what goes wrong in them, on a small Debian whose package manager is a script.
//!
//! The real one is in `tests/real.rs`; here are its failures, which a real one has too rarely.

// Tests say with a panic what went wrong; clippy knows only functions marked as tests.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{Fingerprint, Netbe, Outcome, Pool, System};

/// Nothing here takes that long.
const PATIENCE: Duration = Duration::from_secs(30);

/// Returns a pool with a template of the system, and the node nog with the environment `first` made from it.
fn pool_of(system: &System) -> Pool {
    let pool = Pool::new();
    let netbe = pool.netbe();
    system.build(&pool.beside().join("system"));
    netbe.ok("import base/it system");
    netbe.ok("create nog/first --mac 52:54:00:00:00:01");
    pool
}

fn debian() -> Pool {
    pool_of(&System::debian())
}

/// Upgrades nog by a shell's script.
fn upgrade(netbe: &Netbe, options: &str, script: &str) -> Outcome {
    let mut arguments = vec!["upgrade", "--node", "nog"];
    arguments.extend(options.split_whitespace());
    arguments.extend(["--", "sh", "-c", script]);
    netbe.run_with(&arguments)
}

fn assert_ok(outcome: &Outcome) {
    assert_eq!(outcome.status, 0, "{outcome:#?}");
}

/// Returns the names of nog's environments.
fn environments(netbe: &Netbe) -> Vec<String> {
    let list = netbe.ok("list -H nog");
    let field = |line: &str| line.split('\t').nth(1).unwrap().to_string();
    list.lines().map(field).collect()
}

fn mounts() -> String {
    fs::read_to_string("/proc/self/mounts").unwrap()
}

/// Everything of a pool that counts: locks say who held them last, and a failed upgrade leaves its log.
fn state(pool: &Pool) -> Fingerprint {
    Fingerprint::of(pool.path()).without(&[".locks", "nodes/nog/failed-upgrade.log"])
}

/// Waits for something to become true.
fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Returns the processes with this argument.
fn processes_with(argument: &str) -> Vec<Pid> {
    let has = |directory: &Path| {
        let line = fs::read(directory.join("cmdline")).unwrap_or_default();
        line.split(|b| *b == 0).any(|a| a == argument.as_bytes())
    };
    let pid = |directory: PathBuf| directory.file_name()?.to_str()?.parse().ok();
    fs::read_dir("/proc")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|directory| has(directory))
        .filter_map(pid)
        .map(Pid::from_raw)
        .collect()
}

#[test]
fn a_failing_command_leaves_nothing_but_its_log() {
    let pool = debian();
    let netbe = pool.netbe();
    let (before, table) = (state(&pool), mounts());
    let outcome = upgrade(
        &netbe,
        "",
        "for i in 1 2 3 4 5 6 7; do echo line $i; done; echo E: broken >&2; echo x > /etc/changed; exit 100",
    );
    assert_eq!(outcome.status, 1, "{outcome:#?}");
    let log = pool.path().join("nodes/nog/failed-upgrade.log");
    for text in [
        "error: upgrading nog/first: nothing was kept: sh -c ",
        "ended with status 100\n",
        "\n  line 7\n  E: broken\n",
        &format!("\nhint: everything it said: less {}\n", log.display()),
    ] {
        assert!(outcome.stderr.contains(text), "{text}\n{outcome:#?}");
    }
    assert!(!outcome.stderr.contains("  line 1\n"), "{outcome:#?}");
    assert!(fs::read_to_string(&log).unwrap().starts_with("line 1\n"));
    before.assert_unchanged(&state(&pool));
    assert_eq!(mounts(), table);
    netbe.ok("check");
}

#[test]
fn what_a_failing_command_left_is_kept_on_request_and_never_activated() {
    let pool = debian();
    let netbe = pool.netbe();
    let outcome = upgrade(
        &netbe,
        "--keep --name half",
        "echo x > /etc/changed; exit 3",
    );
    assert_eq!(outcome.status, 1, "{outcome:#?}");
    let text = "the copy is kept as nog/half: sh -c ";
    assert!(outcome.stderr.contains(text), "{outcome:#?}");
    let root = pool.half("nog/half", "root");
    assert_eq!(fs::read_to_string(root.join("etc/changed")).unwrap(), "x\n");
    let line = netbe.ok("list -H nog/half");
    assert!(line.split('\t').nth(2).unwrap().contains('!'), "{line}");
    let reason = netbe.fails(3, "activate nog/half");
    assert!(reason.contains("ended with status 3"), "{reason}");
    // Nor as the newest one, nor as the origin of the next.
    netbe.fails(3, "upgrade nog/half -- true");
    assert!(netbe.ok("status nog").contains("first"));
    netbe.ok("destroy --yes nog/half");
    netbe.ok("check");
}

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
        ("absolute", &|| symlink("/etc/hostname", &resolver).unwrap()),
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
    let output = Command::new("ldd").arg(program).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let paths = text.split_whitespace().filter(|word| word.starts_with('/'));
    paths.map(PathBuf::from).collect()
}

/// Returns a system as a Raspberry Pi has it, whose shell runs here.
fn raspberry_pi_that_runs() -> Pool {
    let busybox = fs::read("/bin/busybox").unwrap();
    pool_of(&System::raspberry_pi().program("usr/bin/busybox", &busybox))
}

#[test]
fn boot_files_and_fstab_that_it_wrote_anew_are_put_right() {
    let pool = raspberry_pi_that_runs();
    let netbe = pool.netbe();
    let script = "echo console=tty0 root=LABEL=RASPIROOT ro rootwait > /boot/firmware/cmdline.txt; \
                  echo LABEL=RASPIROOT / ext4 rw 0 1 > /etc/fstab; \
                  echo tmpfs /scratch tmpfs size=1g 0 0 >> /etc/fstab; \
                  echo LABEL=RASPIFIRM /boot/firmware vfat rw 0 2 >> /etc/fstab";
    let outcome = upgrade(&netbe, "--name second -a", script);
    assert_ok(&outcome);
    let (root, boot) = (
        pool.half("nog/second", "root"),
        pool.half("nog/second", "boot"),
    );
    let first = fs::read_to_string(pool.half("nog/first", "boot").join("cmdline.txt")).unwrap();
    let cmdline = fs::read_to_string(boot.join("cmdline.txt")).unwrap();
    // What the node had, and nothing of what the hook made of the server.
    assert_eq!(
        cmdline,
        first.replace("/nog/envs/first/", "/nog/envs/second/")
    );
    assert!(
        cmdline.contains(&format!(":{}", root.display())),
        "{cmdline}"
    );
    let fstab = fs::read_to_string(root.join("etc/fstab")).unwrap();
    let live: Vec<_> = fstab.lines().filter(|l| !l.starts_with('#')).collect();
    assert_eq!(live.len(), 2, "{fstab}");
    assert_eq!(live[0], "tmpfs /scratch tmpfs size=1g 0 0");
    assert!(
        live[1].contains(&format!(":{} /boot/firmware nfs ", boot.display())),
        "{fstab}"
    );
    netbe.ok("check");
}

#[test]
fn one_that_took_the_kernel_away_is_not_kept() {
    let pool = debian();
    let netbe = pool.netbe();
    let before = state(&pool);
    for script in [
        "rm -r /usr/lib/modules/*",
        "rm /boot/vmlinuz-*",
        "rm /boot/initrd.img-*",
        "mv /usr/lib/modules/6.1.0-50-amd64 /usr/lib/modules/6.1.0-51-amd64",
    ] {
        let outcome = upgrade(&netbe, "", script);
        assert_eq!(outcome.status, 3, "{script}: {outcome:#?}");
        assert!(outcome.stderr.contains("would not boot: "), "{outcome:#?}");
        before.assert_unchanged(&state(&pool));
    }
    netbe.ok("check");
}

#[test]
fn name_activation_and_dry_run_are_as_asked() {
    let pool = debian();
    let netbe = pool.netbe();
    let before = state(&pool);
    let plan = netbe.ok("upgrade -n --node nog --name next -a -- true");
    for step in [
        "snapshot both halves of nog/first as nog/next",
        "run in it: true",
        "activate nog/next",
    ] {
        assert!(plan.contains(step), "{plan}");
    }
    netbe.fails(3, "upgrade -n --node nog --name first -- true");
    netbe.fails(3, "upgrade --node nog --name first -- true");
    netbe.fails(4, "upgrade --node none -- true");
    netbe.fails(4, "upgrade nog/none -- true");
    netbe.fails(2, "upgrade --node nog --name no/name -- true");
    before.assert_unchanged(&state(&pool));
    let active = || fs::read_link(pool.path().join("nodes/nog/active")).unwrap();
    netbe.ok("upgrade --node nog --name next -- touch /etc/next");
    assert_eq!(active(), Path::new("envs/first"));
    netbe.ok("upgrade nog/next --name last -a -- touch /etc/last");
    assert_eq!(active(), Path::new("envs/last"));
    assert!(pool.half("nog/last", "root").join("etc/next").exists());
    let origin = netbe.ok("list -H nog/last");
    assert!(origin.contains("\tnog/next\t"), "{origin}");
    assert_eq!(environments(&netbe), ["first", "last", "next"]);
}

/// What stands in for apt-get: it logs how it was called, and does to the package database what is asked of it.
fn with_apt(pool: &Pool, upgrade: &str) {
    let root = pool.half("nog/first", "root");
    let script = format!(
        "#!/bin/sh\necho \"$DEBIAN_FRONTEND $*\" >> /var/log/apt-calls\ncase \" $* \" in\n*' update '*) exit 0 ;;\nesac\n{upgrade}\n"
    );
    let program = root.join("usr/bin/apt-get");
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_distributions_own_upgrade_is_the_default() {
    let pool = debian();
    let netbe = pool.netbe();
    with_apt(&pool, "exit 0");
    let before = state(&pool);
    let said = netbe.ok("upgrade --node nog");
    assert!(said.contains("Nothing to upgrade in nog/first"), "{said}");
    before.assert_unchanged(&state(&pool));

    with_apt(
        &pool,
        "sed -i 's/^Version: 12.4.*/Version: 12.5/' /var/lib/dpkg/status\n\
         printf 'Package: hello\\nStatus: install ok installed\\nArchitecture: amd64\\nVersion: 2.10-3\\n\\n' >> /var/lib/dpkg/status",
    );
    let table = netbe.ok("upgrade --node nog --name new");
    let rows: BTreeMap<_, _> = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|words| words.len() == 3)
        .map(|words| {
            (
                words[0].to_string(),
                (words[1].to_string(), words[2].to_string()),
            )
        })
        .collect();
    let change = |old: &str, new: &str| (old.to_string(), new.to_string());
    assert_eq!(
        rows["base-files"],
        change("12.4+deb12u12", "12.5"),
        "{table}"
    );
    assert_eq!(rows["hello"], change("-", "2.10-3"), "{table}");
    let calls = fs::read_to_string(pool.half("nog/new", "root").join("var/log/apt-calls")).unwrap();
    let calls: Vec<_> = calls.lines().collect();
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert!(
        calls.iter().all(|c| c.starts_with("noninteractive ")),
        "{calls:?}"
    );
    assert!(
        calls[0].ends_with(" update") && calls[1].ends_with(" dist-upgrade"),
        "{calls:?}"
    );

    with_apt(&pool, "echo 'E: dpkg was interrupted'; exit 100");
    let said = netbe.fails(1, "upgrade nog/first");
    assert!(said.contains("E: dpkg was interrupted"), "{said}");
    netbe.ok("check");
}

#[test]
fn a_property_replaces_it_and_an_unknown_distribution_asks_for_one() {
    let pool = debian();
    let netbe = pool.netbe();
    let release = pool.half("nog/first", "root").join("usr/lib/os-release");
    fs::write(&release, "ID=slackware\nNAME=Slackware\n").unwrap();
    let said = netbe.fails(3, "upgrade --node nog");
    assert!(
        said.contains("Slackware") && said.contains("upgrade.command="),
        "{said}"
    );
    let set = [
        "set",
        "upgrade.command=echo a b > /etc/by-property; rm /var/lib/dpkg/status",
        "nog",
    ];
    assert_ok(&netbe.run_with(&set));
    netbe.ok("upgrade --node nog --name by-property");
    let made = pool.half("nog/by-property", "root").join("etc/by-property");
    assert_eq!(fs::read_to_string(made).unwrap(), "a b\n");
}

#[test]
fn run_ends_as_its_command_did() {
    let pool = debian();
    let netbe = pool.netbe();
    netbe.ok("clone nog/first nog/next");
    for (command, status) in [
        (&["sh", "-c", "exit 7"][..], 7),
        (&["true"], 0),
        (&["/no/such/program"], 127),
        (&["no-such-program"], 127),
        (&["/etc/passwd"], 126),
        (&["sh", "-c", "kill -9 $$"], 137),
    ] {
        let outcome = netbe.run_with(&[&["run", "nog/next", "--"], command].concat());
        assert_eq!(outcome.status, status, "{command:?}: {outcome:#?}");
    }
    let outcome = netbe.run_with(&[
        "run",
        "nog/next",
        "--",
        "sh",
        "-c",
        "hostname; id -u; echo here >&2",
    ]);
    assert_eq!(outcome.stdout, "nog\n0\n");
    assert_eq!(outcome.stderr, "here\n");
    netbe.fails(4, "run nog/none -- true");
    // What it changed of netbe's own is put right.
    netbe.ok("run nog/next -- rm /etc/fstab");
    netbe.ok("activate nog/next");
    netbe.ok("check");
}

#[test]
fn run_is_for_what_nobody_boots() {
    let pool = debian();
    let netbe = pool.netbe();
    let before = state(&pool);
    let said = netbe.fails(3, "run nog/first -- true");
    assert!(said.contains("nog/first"), "{said}");
    netbe.fails(3, "run nog -- true");
    netbe.fails(3, "shell nog/first");
    before.assert_unchanged(&state(&pool));
    netbe.ok("run base/it -- touch /etc/in-the-template");
    assert!(
        pool.half("base/it", "root")
            .join("etc/in-the-template")
            .exists()
    );
    netbe.ok("clone nog/first nog/next");
    let mut shell = netbe.command();
    let output = shell
        .args(["shell", "nog/next"])
        .write_stdin("echo in a shell > /etc/shell\nexit 9\n")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(9), "{output:?}");
    let made = pool.half("nog/next", "root").join("etc/shell");
    assert_eq!(fs::read_to_string(made).unwrap(), "in a shell\n");
}

/// Starts an upgrade that does not end by itself; returns netbe once the command runs.
fn started(pool: &Pool, mark: &str) -> Child {
    let script = format!("trap '' TERM INT; echo begun; touch /begun; sleep {mark}; sleep {mark}");
    let child = Command::new(assert_cmd::cargo::cargo_bin!("netbe"))
        .args(["upgrade", "--node", "nog", "--", "sh", "-c", &script])
        .env("NETBE_POOL", pool.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("the command runs", || !processes_with(mark).is_empty());
    child
}

/// Waits for netbe to end, and returns its status, −1 after a signal, and what it said on stderr.
fn ended(child: Child) -> (i32, String) {
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap_or(-1), said)
}

#[test]
fn asked_to_stop_it_stops_its_command_and_leaves_nothing() {
    let pool = debian();
    let netbe = pool.netbe();
    for (signal, mark) in [
        (Signal::SIGINT, "515101"),
        (Signal::SIGTERM, "515102"),
        (Signal::SIGHUP, "515103"),
    ] {
        let (before, table) = (state(&pool), mounts());
        let child = started(&pool, mark);
        kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
        let (status, said) = ended(child);
        assert_eq!(status, 1, "{said}");
        assert!(said.contains(&format!("stopped by {signal}")), "{said}");
        assert_eq!(processes_with(mark), []);
        before.assert_unchanged(&state(&pool));
        assert_eq!(mounts(), table);
        netbe.ok("check");
    }
}

#[test]
fn its_command_killed_it_leaves_nothing() {
    let pool = debian();
    let (before, table) = (state(&pool), mounts());
    let child = started(&pool, "515104");
    // The shell, not what it waits for: the program netbe started.
    for pid in processes_with("515104") {
        let parent = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let parent = parent
            .rsplit_once(") ")
            .unwrap()
            .1
            .split(' ')
            .nth(1)
            .unwrap();
        kill(Pid::from_raw(parent.parse().unwrap()), Signal::SIGKILL).unwrap();
    }
    let (status, said) = ended(child);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("was ended by SIGKILL"), "{said}");
    assert_eq!(processes_with("515104"), []);
    before.assert_unchanged(&state(&pool));
    assert_eq!(mounts(), table);
    pool.netbe().ok("check");
}

#[test]
fn netbe_killed_its_command_dies_and_check_removes_what_is_left() {
    let pool = debian();
    let netbe = pool.netbe();
    let (before, table) = (state(&pool), mounts());
    let child = started(&pool, "515105");
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL).unwrap();
    let (status, _) = ended(child);
    assert_eq!(status, -1);
    wait_until("the command is gone", || {
        processes_with("515105").is_empty()
    });
    assert_eq!(mounts(), table);
    // Hidden, and in nobody's way: the lock went with its holder.
    assert_eq!(environments(&netbe), ["first"]);
    netbe.ok("describe --wait 0 nog/first anything");
    netbe.ok("describe nog/first nothing");
    let found = netbe.run("check");
    assert_eq!(found.status, 1, "{found:#?}");
    assert!(found.stdout.contains(".staged-"), "{found:#?}");
    netbe.ok("check --repair");
    netbe.ok("check");
    assert_eq!(mounts(), table);
    let same = &["nodes/nog/envs/first/env.json"];
    before
        .without(same)
        .assert_unchanged(&state(&pool).without(same));
}
