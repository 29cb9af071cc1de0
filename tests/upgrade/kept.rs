//! Whether a run is kept: by what it changed on disk, not by a table of versions.

use std::fs;

use super::outcome::with_apt;
use super::{assert_ok, debian, environments, pool_of, state};
use crate::support::{System, wait_until};

#[test]
fn an_upgrade_is_kept_if_it_changed_the_system() {
    let pool = debian();
    let netbe = pool.netbe();
    let root = pool.half("nog/first", "root");
    for (number, (script, changed)) in [
        // A package that is configured at last, at the version it had.
        (
            "echo >> /var/lib/dpkg/status",
            Some("/var/lib/dpkg/status"),
        ),
        // The same version built anew.
        ("echo rebuilt > /usr/lib/rebuilt.so", Some("/usr/lib/rebuilt.so")),
        ("rm /etc/hostname; echo nog > /etc/hostname; chmod 600 /etc/hostname", Some("/etc/hostname")),
        ("rm /usr/lib/old.so", Some("/usr/lib/old.so")),
        ("ln -s /dev/null /etc/masked", Some("/etc/masked")),
        ("echo x > /boot/extra", Some("/boot/extra")),
        ("mkdir -p /etc/new.d", Some("/etc/new.d")),
        // Written again as it was, read, touched: nothing has changed.
        (
            "cp /var/lib/dpkg/status /tmp/s; cat /tmp/s > /var/lib/dpkg/status; touch /etc/fstab",
            None,
        ),
        (
            "mkdir -p /var/lib/apt/lists/partial /var/cache/apt; echo x > /var/lib/apt/lists/l; echo x > /var/cache/apt/c; \
             echo x > /var/log/l; cp /var/lib/dpkg/status /var/lib/dpkg/status-old; echo x > /var/lib/dpkg/lock; echo x > /tmp/x",
            None,
        ),
        ("", None),
    ]
    .into_iter()
    .enumerate()
    {
        fs::write(root.join("usr/lib/old.so"), "old").unwrap();
        with_apt(&pool, script);
        let name = format!("u{number}");
        let output = netbe.run(&format!("upgrade --node nog --name {name}"));
        assert_ok(&output);
        let is_made = environments(&netbe).contains(&name);
        assert_eq!(is_made, changed.is_some(), "{script}: {output:#?}");
        match changed {
            Some(path) => {
                let note = format!("what the run changed: {path}\n");
                assert!(output.stderr.contains(&note), "{script}: {output:#?}");
                netbe.ok(&format!("destroy --yes nog/{name}"));
            }
            None => assert!(output.stdout.contains("Nothing to upgrade"), "{output:#?}"),
        }
    }
    netbe.ok("check");
}

#[test]
fn changes_of_the_source_meanwhile_do_not_count() {
    let pool = debian();
    let netbe = pool.netbe();
    let root = pool.half("nog/first", "root");
    // What is below /var/log counts for nothing.
    with_apt(
        &pool,
        "touch /var/log/begun; until test -e /var/log/go; do sleep 0.1; done",
    );
    let node = pool.at("nodes/nog");
    let writer = std::thread::spawn(move || {
        let log = || {
            let mut entries = fs::read_dir(&node).unwrap().flatten();
            let is_stage = |name: &str| name.starts_with(".staged-");
            let stage = entries.find(|e| is_stage(&e.file_name().to_string_lossy()))?;
            Some(stage.path().join("root/var/log")).filter(|log| log.join("begun").exists())
        };
        wait_until("the upgrade runs", || log().is_some());
        fs::write(root.join("etc/written-by-the-node"), "x").unwrap();
        fs::write(root.join("etc/hostname"), "other").unwrap();
        fs::write(log().unwrap().join("go"), "").unwrap();
    });
    let output = netbe.ok("upgrade --node nog");
    writer.join().unwrap();
    assert!(
        output.contains("Nothing to upgrade in nog/first"),
        "{output}"
    );
}

#[test]
fn a_command_by_property_without_changes_makes_no_environment() {
    let pool = debian();
    let netbe = pool.netbe();
    assert_ok(&netbe.run_with(&["set", "upgrade.command=true", "nog"]));
    let before = state(&pool);
    let output = netbe.ok("upgrade --node nog");
    assert!(
        output.contains("Nothing to upgrade in nog/first"),
        "{output}"
    );
    before.assert_unchanged(&state(&pool));
    // One that somebody gives is kept all the same: they asked for an environment.
    netbe.ok("upgrade --node nog --name asked -- true");
    assert_eq!(environments(&netbe), ["asked", "first"]);
}

#[test]
fn packages_kept_back_are_named_with_or_without_an_upgrade() {
    let pool = debian();
    let netbe = pool.netbe();
    let kept = "printf 'The following packages have been kept back:\\n  linux-image-amd64 vim\\n0 upgraded\\n'";
    let note = "note: there are newer packages that were kept back: linux-image-amd64, vim\n";
    for more in ["", "; touch /etc/new"] {
        with_apt(&pool, &format!("{kept}{more}"));
        let output = netbe.run("upgrade --node nog --name next");
        assert_ok(&output);
        assert!(output.stderr.contains(note), "{output:#?}");
    }
    let output = netbe.run("upgrade --all");
    assert_ok(&output);
    assert!(
        output
            .stderr
            .contains(&note.replace("note: ", "note: nog: ")),
        "{output:#?}"
    );
}

#[test]
fn a_package_managers_request_for_a_second_run_is_reported() {
    for (status, word) in [(103, "once more"), (107, "script of a package failed")] {
        let script = format!(
            "#!/bin/sh\ncase \" $* \" in *' refresh '*) ;; *) touch /etc/new; exit {status} ;; esac\n"
        );
        let pool = pool_of(
            &System::debian()
                .file("usr/lib/os-release", "ID=opensuse-tumbleweed\n")
                .program("usr/bin/zypper", script.as_bytes()),
        );
        let output = pool.netbe().run("upgrade --node nog");
        assert_ok(&output);
        assert!(output.stderr.contains(word), "{output:#?}");
    }
}
