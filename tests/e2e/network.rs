//! A network of the test's own: bridges and taps in a network namespace that nothing leads out of.
//!
//! The namespace is the calling thread's and what that starts; with the last process in it, it is gone, and its links.

use std::process::Command;

use nix::sched::{CloneFlags, unshare};

use crate::support::{require_root, run};

/// A network namespace, this thread's.
#[derive(Debug)]
pub(crate) struct Network(());

impl Network {
    /// Moves the calling thread into a namespace of its own.
    ///
    /// # Panics
    ///
    /// When not run as root.
    pub(crate) fn new() -> Self {
        require_root();
        unshare(CloneFlags::CLONE_NEWNET).expect("root may make a network namespace");
        ip("link set lo up");
        Self(())
    }

    /// Makes a switch; with an address on it, the test itself is reached there.
    pub(crate) fn bridge(&self, name: &str, address: Option<&str>) {
        ip(&format!(
            "link add {name} type bridge forward_delay 0 stp_state 0"
        ));
        if let Some(address) = address {
            ip(&format!("address add {address} dev {name}"));
        }
        ip(&format!("link set {name} up"));
    }

    /// Makes a socket for a machine's network card in a switch.
    pub(crate) fn tap(&self, name: &str, bridge: &str) {
        ip(&format!("tuntap add {name} mode tap"));
        ip(&format!("link set {name} master {bridge} up"));
    }
}

/// Runs ip(8) with arguments without blanks.
pub(crate) fn ip(line: &str) {
    run(Command::new("ip").args(line.split_whitespace()));
}
