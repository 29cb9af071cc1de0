//! A dnsmasq that serves files by TFTP, in a network of the test's own.

use std::process::{Child, Command, Stdio};

use nix::sched::{CloneFlags, unshare};

use crate::support::run;

/// The process; it ends with this value.
#[derive(Debug)]
pub(super) struct TftpOfDnsmasq(Child);

/// Gives the calling thread a network of its own, whose ports are free.
pub(super) fn leave_the_network() {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    run(Command::new("ip").args(["link", "set", "lo", "up"]));
}

impl TftpOfDnsmasq {
    /// Starts it; it may not answer yet.
    pub(super) fn start() -> Self {
        let child = Command::new("dnsmasq")
            .args(["--keep-in-foreground", "--conf-file=/dev/null", "--port=0"])
            .args(["--enable-tftp", "--interface=lo", "--bind-interfaces"])
            .args(["--pid-file=", "--user=root"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }
}

impl Drop for TftpOfDnsmasq {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
