//! The disks that tgt offers, and which machine reaches them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command};

use nix::sched::{CloneFlags, unshare};

use super::with_disk;
use crate::support;

/// tgt, in a network of the test's own.
struct Tgt(Child);

impl Tgt {
    fn start() -> Self {
        unshare(CloneFlags::CLONE_NEWNET).expect("root may make a network namespace");
        support::run(Command::new("ip").args(["link", "set", "lo", "up"]));
        let place = ["-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run/tgtd"];
        fs::create_dir_all("/run/tgtd").unwrap();
        support::run(Command::new("mount").args(place));
        let tgt = Command::new("tgtd")
            .arg("-f")
            .spawn()
            .expect("tgt is installed");
        support::wait_until("tgt answers", || !shown().contains("failed"));
        Self(tgt)
    }
}

impl Drop for Tgt {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns what tgt offers.
fn shown() -> String {
    let command = ["--lld", "iscsi", "--op", "show", "--mode", "target"];
    let output = Command::new("tgtadm").args(command).output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// Returns whether a machine at 127.0.0.1 reaches a disk, by the name that its boot files say.
fn reaches(line: &str) -> bool {
    let value = |key: &str| {
        let mut words = line.split_whitespace();
        words
            .find_map(|word| word.strip_prefix(key))
            .unwrap()
            .to_string()
    };
    let (initiator, target) = (value("iscsi_initiator="), value("iscsi_target_name="));
    let account = format!("{}%{}", value("iscsi_username="), value("iscsi_password="));
    let url = format!("iscsi://{account}@127.0.0.1/{target}/1");
    let asked = Command::new("iscsi-inq")
        .args(["-i", &initiator, &url])
        .output();
    asked.expect("libiscsi-bin is installed").status.success()
}

#[test]
fn invariant_8_the_nodes_address_alone_with_its_secret_reaches_its_disk() {
    let pool = with_disk();
    let netbe = pool.netbe();
    let line = pool.boot_text("nog/b");
    let _tgt = Tgt::start();
    netbe.ok("set clients=127.0.0.1 nog");
    netbe.ok("publish");
    assert!(reaches(&line), "{}", shown());
    let without_secret = line.replace("iscsi_password=", "iscsi_password=0");
    assert!(!reaches(&without_secret), "{}", shown());
    assert!(shown().contains("        127.0.0.1\n"), "{}", shown());
    for file in fs::read_dir("/etc/tgt/conf.d").unwrap().flatten() {
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600, "{file:?}");
    }
    // A name that another machine claims is no way in.
    netbe.ok("set clients=127.0.0.9 nog");
    netbe.ok("publish");
    assert!(!reaches(&line), "{}", shown());
    // tgt offers a disk without an address to everybody: of names alone there is none.
    netbe.ok("set root=nfs clients=nog.lan nog");
    let output = netbe.run("publish").stderr;
    assert!(
        output.contains("nog/b cannot be offered to any machine"),
        "{output}"
    );
    assert!(!reaches(&line), "{}", shown());
    netbe.ok("set root=iscsi clients=127.0.0.9 nog");
    netbe.ok("create nog/c -a");
    assert!(shown().contains(":nog:c"), "{}", shown());
    netbe.ok("clone nog/c nog/d");
    netbe.ok("activate nog/d");
    netbe.ok("rename nog/c e");
    assert!(!shown().contains(":nog:c"), "{}", shown());
    pool.assert_sound();
}
