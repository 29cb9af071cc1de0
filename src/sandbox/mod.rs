//! Runs an environment's own programs: as root inside, isolated from the server.
//!
//! A [`Sandbox`] is an environment to run programs in. [`Sandbox::run`] runs one program and leaves no mount
//! and no process behind; what the program changed in the environment stays. The caller decides which
//! environments may be used.
//!
//! Still reachable from inside: the network except this machine's own addresses; with the host's network all of
//! it, and before Linux 6.12 abstract sockets too. Without cgroups the number of processes and the memory are
//! unlimited. Processor time is not limited; disk space only by the pool's reserve, run time by a day.

mod attendant;
mod binfmt;
mod bounds;
mod cgroup;
pub mod emulation;
mod filesystems;
mod fork;
mod hidden;
mod hooks;
mod init;
mod landlock;
mod lending;
pub mod lent;
mod log;
mod masks;
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
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

pub use cgroup::unlimited;
pub use lending::Lending;
pub use network::Network;

/// `argv[0]` of the first stage.
const FIRST_STAGE: &str = "netbe-sandbox";

/// Whether `main` has called [`become_first_stage_if_asked`]; without that, the program must not start itself.
static FIRST_STAGE_CHECKED: AtomicBool = AtomicBool::new(false);

/// An environment to run programs in.
#[derive(Debug, Clone, Copy)]
pub struct Sandbox<'a> {
    /// The environment's root, on this machine.
    pub root: &'a Path,
    /// The environment's boot half, on this machine.
    pub boot: &'a Path,
    /// Where the boot half belongs in the root: `/boot/firmware` or `/boot`.
    pub boot_mount: &'a str,
    /// The host name that programs see.
    pub hostname: &'a str,
    /// When the writes of programs are made durable.
    pub durable: Durable,
    /// The network programs see.
    pub network: &'a Network,
    /// A directory on this machine that apt downloads packages into, instead of the environment's own.
    pub packages: Option<&'a Path>,
    /// Directories on this machine that are mounted over places of the environment.
    pub data: &'a [Bound],
}

/// A directory that is mounted over a place of an environment while programs run in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// The directory, on this machine.
    pub from: PathBuf,
    /// The place, as programs see it.
    pub to: String,
}

/// When the writes of programs are made durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Durable {
    /// Whenever they ask for it.
    Always,
    /// By the caller, at the end: `fsync` and similar calls return success and do nothing.
    ///
    /// For a result that is discarded unless it is complete, and synced as a whole before anything relies on
    /// it: a package manager syncs thousands of times.
    AtTheEnd,
}

/// Where a program reads and writes.
#[derive(Debug)]
pub enum Io {
    /// netbe's own stdin, stdout and stderr; a terminal of the program's own where those are a terminal.
    Terminal,
    /// Empty stdin; stdout and stderr go into one file, in order. Of a very long output only the beginning and
    /// the end are written.
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
    /// Variables in addition to those always set; the last of one name counts.
    pub env: Vec<(String, String)>,
    /// Where it reads and writes.
    pub io: Io,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// Exited with this status.
    Exited(i32),
    /// Killed by this signal; also where netbe received a stop signal while the output went to a log.
    Signalled(i32),
    /// Killed by netbe because it exceeded a limit, named in this sentence (status 137).
    Stopped(String),
    /// The program exists and cannot be executed, for this reason (status 126).
    CannotRun(String),
    /// The environment has no such program (status 127); a sentence.
    NotFound(String),
}

impl Ended {
    /// Returns the exit status a shell would give this, as `netbe run` ends with it.
    pub fn status(&self) -> u8 {
        match self {
            // An exit status fits 8 bits, a signal 7: the masks lose nothing.
            Self::Exited(status) => (status & 0xff) as u8,
            Self::Signalled(signal) => 128u8.saturating_add((signal & 0x7f) as u8),
            Self::Stopped(_) => 137,
            Self::CannotRun(_) => 126,
            Self::NotFound(_) => 127,
        }
    }
}

impl Sandbox<'_> {
    /// Plans the files that are lent to the environment.
    ///
    /// For an environment that is kept, the caller has to record [`Lending::files`] durably before they are made, and again
    /// before it runs programs.
    pub fn plan_to_lend(&self) -> anyhow::Result<Lending> {
        Lending::plan(self)
    }

    /// Runs a program with the lent files in their places, puts the environment's own back, and returns how the program ended;
    /// an error means that the sandbox could not be made (125).
    ///
    /// Blocks the calling thread until every process inside has ended. SIGINT, SIGTERM and SIGHUP to netbe are
    /// forwarded; the program is killed after ten seconds, or at the next signal. Requires root and Linux 5.12.
    pub fn run_lending(&self, program: Program, lending: Lending) -> anyhow::Result<Ended> {
        start::run(self, program, lending)
    }

    /// Runs a program in an environment that is thrown away if netbe is killed meanwhile: the lent files are not recorded.
    ///
    /// # Errors
    /// As of [`Self::run_lending`].
    pub fn run(&self, program: Program) -> anyhow::Result<Ended> {
        self.run_lending(program, self.plan_to_lend()?.made()?)
    }
}

/// Runs the sandbox's first stage and never returns, if this process was started as that.
///
/// `main` calls it first, before it starts threads or parses arguments.
pub fn become_first_stage_if_asked() {
    FIRST_STAGE_CHECKED.store(true, Ordering::Relaxed);
    let mut args = std::env::args_os();
    if args.next().is_none_or(|name| name != FIRST_STAGE) {
        return;
    }
    let channel = args.next().and_then(|word| word.to_str()?.parse().ok());
    match channel {
        Some(channel) if channel > 2 => init::run(channel),
        // Not started by netbe: there is no channel to serve.
        _ => std::process::exit(125),
    }
}
