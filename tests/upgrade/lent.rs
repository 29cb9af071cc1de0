//! Files lent to an environment for a run, if netbe is killed meanwhile: they are restored before the environment boots.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{debian, processes_with};
use crate::support::{Fingerprint, Netbe, Pool, run, wait_until};

const OWN: &str = "nameserver 192.0.2.1\n";

/// Runs a script in nog/work, kills netbe once the script has come to its end, and waits until all of it is gone.
fn killed(pool: &Pool, script: &str, mark: &str) {
    let script = format!("{script}; exec sleep {mark}");
    let mut child: Child = Command::new(assert_cmd::cargo::cargo_bin!("netbe"))
        .args(["run", "nog/work", "--", "sh", "-c", &script])
        .env("NETBE_POOL", pool.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let runs = |wanted: bool| {
        // `sleep` itself, not the shell that names it.
        let is_there = || {
            processes_with(mark).iter().any(|pid| {
                fs::read_to_string(format!("/proc/{pid}/comm"))
                    .is_ok_and(|c| c.starts_with("sleep") || c.starts_with("busybox"))
            })
        };
        let what = format!("sleep {mark} runs: {wanted}");
        wait_until(&what, || is_there() == wanted);
    };
    runs(true);
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGKILL).unwrap();
    child.wait().unwrap();
    runs(false);
}

/// Returns the flags that an environment has in the list.
fn flags(netbe: &Netbe, env: &str) -> String {
    let line = netbe.ok(&format!("list -H {env}"));
    line.split('\t').nth(2).unwrap().to_string()
}

#[test]
fn after_a_kill_the_next_command_restores_lent_files_and_activation_is_refused_before() {
    let pool = debian();
    let netbe = pool.netbe();
    netbe.ok("clone nog/first nog/work");
    let root = pool.half("nog/work", "root");
    let resolver = root.join("etc/resolv.conf");
    let policy = root.join("usr/sbin/policy-rc.d");
    // It makes the mount points that are missing.
    netbe.ok("run nog/work -- true");
    for (number, link) in [false, true].into_iter().enumerate() {
        let _ = fs::remove_file(&resolver);
        match link {
            true => symlink("/proc/net/pnp", &resolver).unwrap(),
            false => fs::write(&resolver, OWN).unwrap(),
        }
        let before = Fingerprint::of(&root);
        for (turn, next) in [
            "check --repair nog",
            "run nog/work -- true",
            "upgrade nog/work --name up -- true",
        ]
        .into_iter()
        .enumerate()
        {
            killed(&pool, "true", &format!("51520{number}{turn}"));
            assert!(
                fs::read_to_string(&resolver)
                    .unwrap()
                    .starts_with("nameserver 10.")
            );
            assert!(policy.exists());
            for command in [
                "activate nog/work",
                "clone nog/work nog/copy",
                "activate --force nog/work",
            ] {
                let output = netbe.fails(3, command);
                assert!(
                    output.contains("stand in place of its own")
                        && output.contains("/etc/resolv.conf"),
                    "{output}"
                );
                assert!(
                    output.contains("hint: netbe check --repair nog"),
                    "{output}"
                );
            }
            assert!(flags(&netbe, "nog/work").contains('!'));
            let found = netbe.run("check nog");
            assert_eq!(found.status, 1, "{found:#?}");
            assert!(
                found.stdout.contains("stand in place of its own"),
                "{found:#?}"
            );
            let planned = match next.split_once(" -- ") {
                Some((netbe, program)) => format!("{netbe} -n -- {program}"),
                None => format!("{next} -n"),
            };
            let planned = netbe.run(&planned);
            // What is found is there until it is mended.
            assert_eq!(planned.status, i32::from(turn == 0), "{planned:#?}");
            netbe.ok(next);
            before.assert_unchanged(&Fingerprint::of(&root));
            netbe.ok("check");
            assert!(!flags(&netbe, "nog/work").contains('!'));
        }
        netbe.ok("destroy --yes nog/up");
    }
    netbe.ok("activate nog/work");
}

#[test]
fn a_resolver_that_chattr_protects_is_lent_over_and_protected_again() {
    let pool = debian();
    let netbe = pool.netbe();
    netbe.ok("clone nog/first nog/work");
    let resolver = pool.half("nog/work", "root").join("etc/resolv.conf");
    let _ = fs::remove_file(&resolver);
    fs::write(&resolver, OWN).unwrap();
    let protected = |path: &Path| {
        let listed = Command::new("lsattr").arg(path).output().unwrap().stdout;
        String::from_utf8(listed).unwrap()[..20].contains(['i', 'a'])
    };
    for (turn, flag) in ["+i", "+a"].into_iter().enumerate() {
        run(Command::new("chattr").arg(flag).arg(&resolver));
        netbe.ok("run nog/work -- grep -q 10 /etc/resolv.conf");
        assert!(protected(&resolver), "{flag}");
        netbe.ok("upgrade nog/work --name up -- touch /srv/new");
        let new = pool.half("nog/up", "root").join("etc/resolv.conf");
        assert!(protected(&new), "{flag}");
        killed(&pool, "true", &format!("51522{turn}"));
        netbe.ok("check --repair nog");
        for file in [&resolver, &new] {
            assert_eq!(fs::read_to_string(file).unwrap(), OWN);
            assert!(protected(file), "{flag}");
        }
        netbe.ok("destroy -y nog/up");
        run(Command::new("chattr").arg("-ia").arg(&resolver));
    }
}

#[test]
fn changes_of_a_lent_file_by_a_killed_command_are_kept() {
    let pool = debian();
    let netbe = pool.netbe();
    netbe.ok("clone nog/first nog/work");
    let resolver = pool.half("nog/work", "root").join("etc/resolv.conf");
    fs::remove_file(&resolver).unwrap();
    fs::write(&resolver, OWN).unwrap();
    killed(&pool, "echo search x >> /etc/resolv.conf", "515211");
    netbe.ok("check --repair");
    assert_eq!(
        fs::read_to_string(&resolver).unwrap(),
        format!("{OWN}search x\n")
    );
    // A copy that was made of it, as resolvconf makes one, has what the environment had.
    let own = fs::read_to_string(&resolver).unwrap();
    let kept = resolver.with_file_name("original");
    let older = resolver.with_file_name("older");
    fs::write(&older, "nameserver 10.0.2.3\n").unwrap();
    killed(&pool, "cat /etc/resolv.conf >/etc/original", "515213");
    assert_ne!(fs::read_to_string(&kept).unwrap(), own);
    netbe.ok("check --repair");
    assert_eq!(fs::read_to_string(&kept).unwrap(), own);
    assert_eq!(fs::read_to_string(&older).unwrap(), "nameserver 10.0.2.3\n");
    killed(
        &pool,
        "ln -sf ../run/x/resolv.conf /etc/resolv.conf",
        "515212",
    );
    netbe.ok("check --repair");
    let link = fs::read_link(&resolver).unwrap();
    assert_eq!(link.to_str(), Some("../run/x/resolv.conf"));
    netbe.ok("check");
}

#[test]
fn during_a_run_check_is_sound() {
    let pool = debian();
    let netbe = pool.netbe();
    netbe.ok("clone nog/first nog/work");
    let mut child = Command::new(assert_cmd::cargo::cargo_bin!("netbe"))
        .args([
            "run",
            "nog/work",
            "--",
            "sh",
            "-c",
            "touch /begun; until test -e /go; do sleep 0.1; done",
        ])
        .env("NETBE_POOL", pool.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let root = pool.half("nog/work", "root");
    wait_until("it runs", || root.join("begun").exists());
    // Only its command, which has not ended, may be about to put this in place.
    let in_the_making = root.join("etc/.hosts.netbe-new");
    fs::write(&in_the_making, "half").unwrap();
    netbe.ok("check");
    assert!(!flags(&netbe, "nog/work").contains('!'));
    fs::write(root.join("go"), "").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(netbe.run("check").status, 1);
    netbe.ok("check --repair");
    assert!(!in_the_making.exists());
    netbe.ok("check");
    netbe.ok("activate nog/work");
}

#[test]
fn a_lent_file_that_a_command_moves_is_the_environments_own() {
    let pool = debian();
    let netbe = pool.netbe();
    netbe.ok("clone nog/first nog/work");
    let etc = pool.half("nog/work", "root").join("etc");
    fs::remove_file(etc.join("resolv.conf")).unwrap();
    fs::write(etc.join("resolv.conf"), OWN).unwrap();
    let script = "mv /etc/resolv.conf /home/kept; echo nameserver 192.0.2.77 > /etc/resolv.conf";
    let output = netbe.run_with(&["run", "nog/work", "--", "sh", "-c", script]);
    assert_eq!(output.status, 0, "{output:#?}");
    let text = |path: &str| fs::read_to_string(etc.join(path)).unwrap();
    assert_eq!(text("../home/kept"), OWN);
    assert_eq!(text("resolv.conf"), "nameserver 192.0.2.77\n");
    // Also where netbe was killed.
    killed(&pool, "mv /etc/resolv.conf /etc/resolv.conf.old", "515231");
    netbe.ok("check --repair");
    assert_eq!(text("resolv.conf.old"), "nameserver 192.0.2.77\n");
    assert!(!etc.join("resolv.conf").exists());
}
