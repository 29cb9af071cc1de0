//! A Linux as a process: Debian's User Mode Linux, whose files are this machine's, and which runs commands for a test.
//!
//! It runs at native speed and has what this machine's kernel may lack, such as an NFS server. What it writes is lost
//! with it, but for its disk. See `server/init` for its inside.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::child::{self, EndedChild};
use crate::console::Console;
use crate::support::{Outcome, run};
use crate::systems;

/// Where it takes commands.
const PORT: u16 = 1;

/// How it is to be started.
#[derive(Debug, Clone)]
pub(crate) struct Wish<'a> {
    pub(crate) name: &'a str,
    /// Taps, each with the address and length it gets inside.
    pub(crate) links: &'a [(&'a str, &'a str)],
    /// A file that is its disk.
    pub(crate) disk: Option<&'a Path>,
    /// A file that is the disk of a machine, which it has as `/dev/ubdb`.
    pub(crate) of_machine: Option<&'a Path>,
}

/// A running one.
#[derive(Debug)]
pub(crate) struct Uml {
    address: String,
    // Before the console, which ends with it.
    _process: EndedChild,
    _console: Console,
}

impl Uml {
    /// Starts one; `directory` gets its log, and what it needs while it runs.
    pub(crate) fn start(wish: &Wish, directory: &Path) -> Self {
        let inside = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/server");
        let log = directory.join(format!("{}.log", wish.name));
        let mut links = Vec::new();
        let mut command = command(wish.name, directory);
        command
            .args([
                "mem=1G",
                "rootfstype=hostfs",
                "ro",
                "con=null",
                "con0=null,fd:1",
            ])
            .arg(format!("init={}", inside.join("init").display()))
            .arg(format!("agent={}", inside.join("agent").display()))
            .arg(format!("netbe={}", env!("CARGO_BIN_EXE_netbe")))
            .arg(format!("keep={}", kept_places()))
            .arg(format!("name={}", wish.name));
        for (number, (tap, address)) in wish.links.iter().enumerate() {
            command.arg(format!(
                "vec{number}:transport=tap,ifname={tap},depth=128,gro=1"
            ));
            links.push(format!("vec{number}={address}"));
        }
        command.arg(format!("links={}", links.join(",")));
        if let Some(disk) = wish.disk {
            command.arg(format!("ubd0={}", disk.display()));
        }
        if let Some(disk) = wish.of_machine {
            command.arg(format!("ubd1={}", disk.display()));
        }
        let mut process = EndedChild::start(command.stdin(Stdio::null()));
        let output = process.child().stdout.take().expect("it is piped");
        let mut console = Console::listen(wish.name, &log, output, None);
        console.wait_for("server: ready", Duration::from_secs(60));
        let (_, address) = wish.links.first().expect("it is reached by a link");
        let (address, _) = address.split_once('/').expect("an address has a length");
        Self {
            address: address.to_string(),
            _process: process,
            _console: console,
        }
    }

    /// Runs a shell's command line in it.
    ///
    /// # Panics
    ///
    /// When it cannot be asked, or does not answer within five minutes.
    pub(crate) fn run(&self, line: &str) -> Outcome {
        let answer = self
            .ask(line)
            .unwrap_or_else(|error| panic!("{line}: asking {}: {error}", self.address));
        let end = answer
            .iter()
            .position(|b| *b == b'\n')
            .expect("a first line");
        let first = String::from_utf8_lossy(&answer[..end]);
        let mut numbers = first
            .split(' ')
            .map(|n| n.parse::<usize>().expect("a number"));
        let mut next = || numbers.next().expect("three numbers");
        let (status, output) = (next(), next());
        let (stdout, stderr) = answer[end + 1..].split_at(output);
        Outcome {
            status: i32::try_from(status).expect("a status is small"),
            stdout: String::from_utf8_lossy(stdout).into_owned(),
            stderr: String::from_utf8_lossy(stderr).into_owned(),
        }
    }

    fn ask(&self, line: &str) -> std::io::Result<Vec<u8>> {
        let mut stream = self.reach()?;
        stream.set_read_timeout(Some(Duration::from_secs(300)))?;
        stream.write_all(format!("{line}\n.\n").as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    }

    /// Connects; for a moment after it is ready it does not listen yet.
    fn reach(&self) -> std::io::Result<TcpStream> {
        let mut tries = 0;
        loop {
            match TcpStream::connect((self.address.as_str(), PORT)) {
                Err(_) if tries < 50 => std::thread::sleep(Duration::from_millis(100)),
                result => return result,
            }
            tries += 1;
        }
    }
}

/// Returns the command of one, without what it is to have; `directory` gets what it needs while it runs, and says while it
/// starts.
pub(crate) fn command(name: &str, directory: &Path) -> Command {
    let output = File::create(directory.join(format!("{name}-uml.log")));
    let mut command = child::command("linux.uml");
    command
        .arg(format!("uml_dir={}", directory.join("uml").display()))
        // Its memory is a file there.
        .env("TMPDIR", "/dev/shm")
        .env("HOME", directory)
        .stdout(Stdio::piped())
        .stderr(output.expect("the story's directory is writable"));
    if let Some(preload) = preload(directory) {
        command.env("LD_PRELOAD", preload);
    }
    command
}

/// Returns the directories its inside must see although they may lie where it has something of its own.
fn kept_places() -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_netbe"));
    let system = systems::real(&[]);
    let places = [
        Some(Path::new(env!("CARGO_MANIFEST_DIR"))),
        program.parent(),
        system.parent(),
    ];
    let places: Vec<_> = places
        .into_iter()
        .flatten()
        .map(|place| place.display().to_string())
        .collect();
    places.join(":")
}

/// Builds what User Mode Linux needs on processors with AMX; elsewhere nothing.
///
/// Its kernel hands the floating point registers back in a buffer of a fixed size, which is too small for theirs.
fn preload(directory: &Path) -> Option<PathBuf> {
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let wide = processor.split_whitespace().any(|flag| flag == "amx_tile");
    if !wide && std::env::var_os("NETBE_E2E_PRELOAD").is_none() {
        return None;
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/server/registers.c");
    let library = directory.join("registers.so");
    run(Command::new("gcc")
        .args(["-O2", "-shared", "-fPIC", "-o"])
        .args([&library, &source]));
    Some(library)
}
