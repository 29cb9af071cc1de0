//! The process that faces the network has nothing, and neither outlives the other.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::client::Got;
use super::scene;
use crate::support::wait_until;

fn status(pid: u32) -> impl Fn(&str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    move |key| {
        let line = text
            .lines()
            .find_map(|l| l.strip_prefix(&format!("{key}:")))
            .unwrap();
        line.split_whitespace()
            .next()
            .unwrap_or_default()
            .to_string()
    }
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(i32::try_from(number).unwrap())
}

fn is_there(number: u32) -> bool {
    fs::read_to_string(format!("/proc/{number}/stat")).is_ok_and(|s| !s.contains(") Z "))
}

#[test]
fn the_process_that_faces_the_network_has_no_privileges_and_no_files() {
    let scene = scene();
    assert!(matches!(scene.get("pxelinux.0"), Got::File(_)));
    let (_, front) = scene.serve.processes();
    let of = status(front);
    assert!(
        !["0", "65534"].contains(&of("Uid").as_str()),
        "{}",
        of("Uid")
    );
    assert_eq!(of("Gid"), of("Uid"));
    assert_eq!(of("Groups"), "");
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(of(set), "0".repeat(16), "{set}");
    }
    assert_eq!(
        (of("NoNewPrivs").as_str(), of("Seccomp").as_str()),
        ("1", "2")
    );
    // The file goes when the last acknowledgement has come.
    let mut open: Vec<String> = Vec::new();
    let is_ours = |to: &String| {
        ["socket:", "anon_inode:"].iter().any(|s| to.starts_with(s)) || to.ends_with("serve.log")
    };
    wait_until("the transfer has ended", || {
        let descriptors = fs::read_dir(format!("/proc/{front}/fd")).unwrap();
        let links = descriptors.filter_map(|e| fs::read_link(e.unwrap().path()).ok());
        open = links
            .map(|to| to.display().to_string())
            .filter(|to| !is_ours(to))
            .collect();
        !open.iter().any(|to| to.ends_with("pxelinux.0"))
    });
    assert!(open.is_empty(), "{open:?}");
    let environment = fs::read(format!("/proc/{front}/environ")).unwrap();
    assert!(environment.is_empty());
}

#[test]
fn a_signal_ends_both() {
    let mut scene = scene();
    let (back, front) = scene.serve.processes();
    kill(pid(back), Signal::SIGTERM).unwrap();
    let ended = scene.serve.child.wait().unwrap();
    assert!(ended.success(), "{ended:?}");
    wait_until("both have ended", || !is_there(front));
}

#[test]
fn neither_outlives_the_other() {
    let mut one = scene();
    let (back, front) = one.serve.processes();
    kill(pid(back), Signal::SIGKILL).unwrap();
    wait_until("the other has ended", || !is_there(front));
    drop(one.serve.child.wait());

    one.serve = super::Serve::start(&one.pool);
    let (_, front) = one.serve.processes();
    kill(pid(front), Signal::SIGKILL).unwrap();
    let ended = one.serve.child.wait().unwrap();
    assert_eq!(ended.code(), Some(1));
    assert!(
        one.serve
            .log_text()
            .contains("the process that faces the network ended"),
        "{}",
        one.serve.log_text()
    );
}
