//! A machine that Debian was just installed on, as a person sits at it: User Mode Linux with systemd, on a disk of its own.
//!
//! Its console is a terminal with a shell in it; lines are typed there. A home's router, with a DHCP server and the way out,
//! is slirp4netns. Not for the boot server that the other stories have: `server.rs`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::child::{self, EndedChild};
use crate::console::{Console, show_command};
use crate::machine::PATIENCE;
use crate::network::{Network, ip};
use crate::running::Running;
use crate::scene::Logs;
use crate::server::DISK_OF_MACHINE;
use crate::support::{self, run};
use crate::uml;

/// The address of its card: by that, the router gives it the same address at each boot.
const MAC: &str = "52:54:00:73:72:76";
/// The password that it gives where one is asked for.
pub(crate) const PASSWORD: &str = "as-written";

/// Such a machine, and what it is connected to.
#[derive(Debug)]
pub(crate) struct FreshMachine {
    running: Running,
    pub(crate) network: Network,
    _router: EndedChild,
}

impl FreshMachine {
    /// Starts one of a release of Debian, with these files in the home directory of its user.
    ///
    /// In a mount namespace that is the caller's own.
    pub(crate) fn start(suite: &str, files: &[&Path], logs: &Logs) -> Self {
        let directory = logs.directory();
        let disk = directory.join(DISK_OF_MACHINE);
        run(Command::new(in_tests("fresh-machine"))
            .arg(suite)
            .arg(&disk)
            .args(files));
        let outside = keep_network(directory, "outside");
        let network = Network::new();
        network.bridge("shared", None);
        network.tap("server", "shared");
        let router = connect_router(directory, &outside);
        Self {
            running: switch_on(directory, &disk),
            network,
            _router: router,
        }
    }

    /// Logs in at its console as somebody who needs no password for that.
    pub(crate) fn log_in(&mut self, name: &str) {
        self.running.console.wait_for("login: ", PATIENCE);
        let console = &mut self.running.console;
        console.send(&format!("{name}\n"));
        console.wait_for("$ ", PATIENCE);
        // As `take_shell`, without a prompt in the environment: sudo would keep that.
        console.send("exec sh\n");
        console.wait_for("$ ", PATIENCE);
        console.send("PS1=; stty -echo -onlcr; echo re\"\"ady\n");
        console.wait_for("ready\n", PATIENCE);
    }

    /// Has all that follows be done by root in its home directory, as this line does.
    pub(crate) fn become_root(&mut self, line: &str) {
        show_command(self.running.console.name(), line);
        self.running.console.send(&format!("{line}\n"));
        self.running.console.wait_for("# ", PATIENCE);
        self.running.take_shell();
    }

    /// Runs a line, which must succeed; returns what it printed.
    pub(crate) fn ok(&mut self, line: &str) -> String {
        self.running.ok(line)
    }

    /// Runs a line that asks, each question by the words that it ends with, and must succeed; returns what it printed.
    pub(crate) fn answers(&mut self, line: &str, questions: &[(&str, &str)]) -> String {
        let outcome = self.running.run_and_answer(line, questions);
        assert_eq!(outcome.status, 0, "{line}\n{outcome:#?}");
        outcome.stdout
    }
}

/// Returns a file among the tests that boot machines.
fn in_tests(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/e2e")
        .join(name)
}

/// Keeps the calling thread's network as a file.
fn keep_network(directory: &Path, name: &str) -> PathBuf {
    let file = directory.join(name);
    std::fs::write(&file, "").expect("the story's directory is writable");
    run(Command::new("mount")
        .args(["--bind", "/proc/self/ns/net"])
        .arg(&file));
    file
}

/// Connects the switch with a router, whose other side is in the network `outside`.
fn connect_router(directory: &Path, outside: &Path) -> EndedChild {
    let inside = keep_network(directory, "inside");
    let log = std::fs::File::create(directory.join("router.log"));
    let log = log.expect("the story's directory is writable");
    let router = EndedChild::start(
        child::command("nsenter")
            .arg(format!("--net={}", outside.display()))
            .args(["slirp4netns", "--disable-host-loopback"])
            .arg("--netns-type=path")
            .arg(inside)
            .arg("router")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log),
    );
    support::wait_until("the router is connected", || {
        let mut show = Command::new("ip");
        show.args(["link", "show", "router"]);
        show.output().is_ok_and(|shown| shown.status.success())
    });
    ip("link set router master shared up");
    router
}

fn switch_on(directory: &Path, disk: &Path) -> Running {
    let mut command = uml::command("server", directory);
    command
        .args(["mem=1G", "root=/dev/ubda", "rw", "quiet"])
        // Its terminal is a serial one. It has no screen, where another login would be.
        .args(["con=null", "ssl=null", "ssl0=fd:0,fd:1", "console=ttyS0"])
        .arg("systemd.mask=getty@tty1.service")
        .arg(format!("ubd0={}", disk.display()))
        .arg(format!(
            "vec0:transport=tap,ifname=server,mac={MAC},depth=128,gro=1"
        ));
    let mut process = EndedChild::start(command.stdin(Stdio::piped()));
    let child = process.child();
    let output = child.stdout.take().expect("it is piped");
    let keys = Box::new(child.stdin.take().expect("it is piped"));
    let log = directory.join("server.log");
    Running {
        console: Console::listen("server", &log, output, Some(keys)),
        process,
        commands: 0,
    }
}

/// Packs the netbe that was just built as scripts/package does for a release, and returns the file.
pub(crate) fn package(directory: &Path) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/package");
    let made = support::output(
        Command::new(script)
            .args(["--program", env!("CARGO_BIN_EXE_netbe"), "--dir"])
            .arg(directory.join("package"))
            .arg(directory),
    );
    PathBuf::from(String::from_utf8_lossy(&made).trim())
}
