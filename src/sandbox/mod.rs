//! Where an environment's own programs run: as root, yet with nothing of the server within reach.
//!
//! A [`Sandbox`] is one environment being worked in; [`Sandbox::run`] runs one program in it and leaves
//! nothing mounted, running or changed behind but what the program did to the environment. Which
//! environments may be worked in is not decided here.
//!
//! What is left to it: the network that packages come from, but for this machine's own addresses; where the
//! network is the server's own, all of that, and before Linux 6.12 abstract sockets. Without control
//! groups, any number of processes and all memory. And the processor and the disk, but for the pool's reserve, for a
//! day at most.

mod attendant;
mod binfmt;
mod bounds;
mod cgroup;
pub mod emulation;
mod fork;
mod init;
mod landlock;
mod log;
mod mountpoints;
mod network;
mod privileges;
mod program;
mod protocol;
mod quotas;
mod relay;
mod rootfs;
mod seccomp;
mod services;
mod signals;
mod sockets;
mod start;
mod terminal;
mod this_program;

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

pub use cgroup::unlimited;
pub use network::Network;

/// The name the first stage is started under, instead of netbe's.
const FIRST_STAGE: &str = "netbe-sandbox";

/// Whether this program has asked the question that makes starting it again safe.
static ASKED: AtomicBool = AtomicBool::new(false);

/// An environment to run programs in.
#[derive(Debug, Clone, Copy)]
pub struct Sandbox<'a> {
    /// The environment's root, on this machine.
    pub root: &'a Path,
    /// The environment's boot half, on this machine.
    pub boot: &'a Path,
    /// Where the boot half belongs in the root: `/boot/firmware` or `/boot`.
    pub boot_mount: &'a str,
    /// What programs take the machine's name to be.
    pub hostname: &'a str,
    /// When what programs write is made durable.
    pub durable: Durable,
    /// The network programs see.
    pub network: &'a Network,
    /// A directory on this machine that apt downloads packages into, instead of the environment's own.
    pub packages: Option<&'a Path>,
}

/// When what programs write is made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Durable {
    /// Whenever they ask for it.
    Always,
    /// By the caller, afterwards: `fsync` and its kin only say that all is well.
    ///
    /// For what is thrown away unless it is finished, and then made durable as a whole before anybody
    /// relies on it; a package manager asks thousands of times.
    AtTheEnd,
}

/// Where a program reads and writes.
#[derive(Debug)]
pub enum Io {
    /// What netbe itself reads and writes; a terminal of the program's own where that is one.
    Terminal,
    /// Reads nothing; both kinds of output go into a file, in order; of what is very long, its beginning and end.
    Log {
        /// The file, written at its current position.
        log: File,
        /// Whether it is shown on netbe's stderr as well.
        echo: bool,
    },
}

/// A program to run, from the environment's own files.
#[derive(Debug)]
pub struct Program {
    /// The program, looked up in a fixed `PATH` unless it contains a slash, and its arguments.
    pub argv: Vec<String>,
    /// Variables besides the few that are always set; the last of one name counts.
    pub env: Vec<(String, String)>,
    /// Where it reads and writes.
    pub io: Io,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// By itself, with this status.
    Exited(i32),
    /// By this signal; also when netbe was told to stop while the output went to a log.
    Signalled(i32),
    /// By netbe, which had to end it, in a sentence why (status 137).
    Stopped(String),
    /// It is there and cannot be run, in a sentence (status 126).
    CannotRun(String),
    /// The environment has no such program, in a sentence (status 127).
    NotFound(String),
}

impl Ended {
    /// Returns the exit status a shell would give this, as `netbe run` ends with it.
    pub fn status(&self) -> u8 {
        match self {
            // A status is 0 to 255, a signal below 127: what is cut off is always nothing.
            Self::Exited(status) => (status & 0xff) as u8,
            Self::Signalled(signal) => 128u8.saturating_add((signal & 0x7f) as u8),
            Self::Stopped(_) => 137,
            Self::CannotRun(_) => 126,
            Self::NotFound(_) => 127,
        }
    }
}

impl Sandbox<'_> {
    /// Runs a program and returns how it ended; an error means the sandbox could not be made (125).
    ///
    /// Blocks its thread until everything inside has ended. SIGINT, SIGTERM and SIGHUP to netbe are
    /// passed on meanwhile; the program gets ten seconds, or until the next one. Wants root, and Linux
    /// 5.12.
    pub fn run(&self, program: Program) -> anyhow::Result<Ended> {
        start::run(self, program)
    }
}

/// Becomes the sandbox's first stage, and never returns, if this process was started as that.
///
/// `main` calls it before anything else: before threads, before arguments are looked at.
pub fn become_first_stage_if_asked() {
    ASKED.store(true, Ordering::Relaxed);
    let mut words = std::env::args_os();
    if words.next().is_none_or(|name| name != FIRST_STAGE) {
        return;
    }
    let channel = words.next().and_then(|word| word.to_str()?.parse().ok());
    match channel {
        Some(channel) if channel > 2 => init::run(channel),
        // Somebody has called it by that name by hand; there is nothing to do for them.
        _ => std::process::exit(125),
    }
}
