//! The outcome of an upgrade: a new environment that boots, or no change.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{assert_ok, debian, environments, pool_of, state, upgrade};
use crate::support::{Pool, System, mounts};

#[test]
fn a_failing_command_leaves_only_its_log() {
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
        &format!("\nhint: less {}\n", log.display()),
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
fn keep_keeps_the_copy_of_a_failing_command_and_it_is_never_activated() {
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

/// Returns a system as a Raspberry Pi has it, whose shell runs here.
fn raspberry_pi_that_runs() -> Pool {
    let busybox = fs::read("/bin/busybox").expect("busybox-static is installed");
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
fn an_upgrade_that_removed_the_kernel_is_not_activated() {
    let pool = debian();
    let netbe = pool.netbe();
    let before = state(&pool);
    let unbootable = [
        "rm -r /usr/lib/modules/*",
        "rm /boot/initrd.img-*",
        "mv /usr/lib/modules/6.1.0-50-amd64 /usr/lib/modules/6.1.0-51-amd64",
    ];
    let refused = unbootable.map(|script| (script, 3, "would not boot: "));
    let no_kernel = (
        "rm /boot/vmlinuz-*",
        1,
        "there is no kernel in the boot folder",
    );
    for options in ["-a", "--once", "--try"] {
        for (script, status, reason) in refused.iter().chain([&no_kernel]) {
            // A log that says nothing is not pointed to.
            let outcome = upgrade(&netbe, options, &format!("echo said; {script}"));
            assert_eq!(outcome.status, *status, "{script}: {outcome:#?}");
            for text in ["nothing was kept: ", reason, "hint: less "] {
                assert!(outcome.stderr.contains(text), "{text}: {outcome:#?}");
            }
            before.assert_unchanged(&state(&pool));
        }
    }
    // Nothing leads a machine to it: it is kept, and says so.
    for (number, script) in unbootable.iter().enumerate() {
        let outcome = upgrade(&netbe, &format!("--name u{number}"), script);
        assert_eq!(outcome.status, 0, "{outcome:#?}");
        assert!(
            outcome.stdout.contains("It would not boot."),
            "{outcome:#?}"
        );
        assert!(
            outcome.stderr.contains("warning: it would not boot: "),
            "{outcome:#?}"
        );
        assert_eq!(pool.flags(&format!("nog/u{number}")), "!");
        netbe.fails(3, &format!("activate nog/u{number}"));
        netbe.ok(&format!("destroy --yes nog/u{number}"));
    }
    let outcome = upgrade(&netbe, "--keep --name bare", "rm /boot/vmlinuz-*");
    assert_eq!(outcome.status, 1, "{outcome:#?}");
    netbe.fails(3, "activate nog/bare");
    netbe.ok("activate nog");
    let active = fs::read_link(pool.path().join("nodes/nog/active")).unwrap();
    assert_eq!(active, Path::new("envs/first"));
    netbe.ok("destroy --yes nog/bare");
    netbe.ok("check");
}

#[test]
fn a_dry_run_reports_a_source_that_would_not_boot() {
    let pool = debian();
    let netbe = pool.netbe();
    netbe.ok("create nog/bare");
    let modules = pool.half("nog/bare", "root").join("usr/lib/modules");
    fs::remove_dir_all(modules).unwrap();
    let plan = netbe.ok("upgrade -n nog/bare --name next -a -- true");
    let step = "would not keep nog/next, which would not boot: ";
    assert!(plan.contains(step), "{plan}");
    netbe.fails(3, "upgrade nog/bare --name next -a -- true");
    let plan = netbe.ok("upgrade -n nog/bare --name next -- true");
    let step = "would mark nog/next with !, since it would not boot: ";
    assert!(plan.contains(step), "{plan}");
    netbe.ok("upgrade nog/bare --name next -- true");
    assert_eq!(pool.flags("nog/next"), "!");
    // What a run can fix is refused by neither.
    let plan = netbe.ok("upgrade -n nog/first --name last --once -- true");
    assert!(!plan.contains("would not"), "{plan}");
    let step = "would lead nog to nog/last for its next boot, then to nog/first";
    assert!(plan.contains(step), "{plan}");
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
pub(super) fn with_apt(pool: &Pool, upgrade: &str) {
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
    let output = netbe.ok("upgrade --node nog");
    assert!(
        output.contains("Nothing to upgrade in nog/first"),
        "{output}"
    );
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
    let output = netbe.fails(1, "upgrade nog/first");
    assert!(output.contains("E: dpkg was interrupted"), "{output}");
    netbe.ok("check");
}

#[test]
fn a_property_replaces_it_and_an_unknown_distribution_asks_for_one() {
    let pool = debian();
    let netbe = pool.netbe();
    let release = pool.half("nog/first", "root").join("usr/lib/os-release");
    fs::write(&release, "ID=slackware\nNAME=Slackware\n").unwrap();
    let output = netbe.fails(3, "upgrade --node nog");
    assert!(
        output.contains("Slackware") && output.contains("upgrade.command="),
        "{output}"
    );
    let set = [
        "set",
        "upgrade.command=echo a b > /etc/by-property; rm /var/lib/dpkg/status",
        "nog",
    ];
    assert_ok(&netbe.run_with(&set));
    let outcome = netbe.run("upgrade --node nog --name by-property");
    assert_ok(&outcome);
    let note =
        "note: the changed packages are not known: there is no package database that netbe knows";
    assert!(outcome.stderr.contains(note), "{outcome:#?}");
    let made = pool.half("nog/by-property", "root").join("etc/by-property");
    assert_eq!(fs::read_to_string(made).unwrap(), "a b\n");
}

#[test]
fn a_command_by_property_is_kept_for_changes_without_packages() {
    let pool = debian();
    let netbe = pool.netbe();
    netbe.run_with(&["set", "upgrade.command=echo changed > /etc/motd", "nog"]);
    netbe.ok("upgrade --node nog --name new");
    let motd = pool.half("nog/new", "root").join("etc/motd");
    assert_eq!(fs::read_to_string(motd).unwrap(), "changed\n");
}

#[test]
fn that_a_restart_is_due_is_no_failure_and_a_repository_left_out_is_one() {
    let zypper = |status: u8| {
        let script = format!(
            "#!/bin/sh\necho \"$*\" >> /var/log/calls\ncase \" $* \" in *' refresh '*) ;; *) touch /etc/upgraded; exit {status} ;; esac\n"
        );
        System::debian()
            .file("usr/lib/os-release", "ID=opensuse-tumbleweed\n")
            .program("usr/bin/zypper", script.as_bytes())
    };
    let pool = pool_of(&zypper(102));
    let output = pool.netbe().ok("upgrade --node nog");
    assert!(output.contains("Created nog/"), "{output}");
    let pool = pool_of(&zypper(106));
    let output = pool.netbe().fails(1, "upgrade --node nog");
    assert!(output.contains("ended with status 106"), "{output}");
}
