//! Starts a program in a sandbox: its request, its input and output.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write, stderr, stdin, stdout};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;

use anyhow::{Context, bail};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::fstat;

use super::bounds::Bounds;
use super::log::Log;
use super::protocol::{Input, Request};
use super::relay::{Output, Relay, Sink};
use super::{
    FIRST_STAGE, FIRST_STAGE_CHECKED, Io, Lending, Program, Sandbox, services, this_program,
};
use crate::fs::opener::descriptor_path;

/// `PATH` of root on Debian.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn run(
    sandbox: &Sandbox<'_>,
    program: Program,
    mut lending: Lending,
) -> anyhow::Result<super::Ended> {
    if !FIRST_STAGE_CHECKED.load(Ordering::Relaxed) {
        // Started again, it would run its own `main` instead of the first stage.
        bail!(
            "this program cannot make a sandbox: its `main` does not call become_first_stage_if_asked"
        );
    }
    let starting = || format!("starting the sandbox of {}", sandbox.root.display());
    let wiring = Wiring::for_io(program.io).with_context(starting)?;
    let request = Request {
        parent: std::process::id(),
        root: sandbox.root.to_path_buf(),
        boot: sandbox.boot.to_path_buf(),
        boot_mount: sandbox.boot_mount.to_string(),
        hostname: sandbox.hostname.to_string(),
        argv: program.argv,
        env: environment(&wiring, &lending.variables, program.env),
        input: wiring.input,
        errors_to_terminal: wiring.errors_to_terminal,
        durable: sandbox.durable,
        network: sandbox.network.clone(),
        range: lending.range.take(),
        packages: sandbox.packages.map(Path::to_path_buf),
        data: sandbox.data.to_vec(),
        files: std::mem::take(&mut lending.fresh),
    };
    lending.put()?;
    let relay = wiring.start(&request).with_context(starting)?;
    let ended = relay.run()?;
    let given_back = lending.give_back();
    match ended {
        // The exceeded limit is the cause of both errors: on a full disk, files cannot be put back either. The next command puts
        // recorded files back.
        super::Ended::Stopped(_) => Ok(ended),
        _ => given_back.map(|()| ended),
    }
}

fn environment(
    wiring: &Wiring,
    variables: &[(&'static str, String)],
    extra: Vec<(String, String)>,
) -> Vec<(String, String)> {
    let terminal = match wiring.input {
        Input::Terminal => std::env::var("TERM").unwrap_or_else(|_| "dumb".into()),
        Input::Null | Input::Pipe => "dumb".into(),
    };
    let path = format!("{}:{PATH}", services::MASKS);
    let always = [
        ("PATH", path.as_str()),
        ("HOME", "/root"),
        ("USER", "root"),
        ("LOGNAME", "root"),
        ("LANG", "C.UTF-8"),
        ("TERM", &terminal),
        // For hooks that behave differently in netbe.
        ("NETBE", "1"),
    ];
    let all: BTreeMap<String, String> = always
        .into_iter()
        .chain(services::VARIABLES.iter().copied())
        .chain(
            variables
                .iter()
                .map(|(name, value)| (*name, value.as_str())),
        )
        .map(|(k, v)| (k.to_string(), v.to_string()))
        .chain(extra)
        .collect();
    all.into_iter().collect()
}

/// The program's stdin, stdout and stderr.
#[derive(Default)]
struct Wiring {
    input: Input,
    errors_to_terminal: bool,
    stdin: Option<(OwnedFd, OwnedFd)>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    outputs: Vec<Output>,
    stop_means_stop: bool,
}

impl Wiring {
    fn for_io(io: Io) -> anyhow::Result<Self> {
        let mut wiring = Self::default();
        match io {
            Io::Log { log, echo } => {
                let end = wiring.output(Sink::Log(Log::new(log, echo)))?;
                wiring.stdout = Some(end.try_clone()?);
                wiring.stderr = Some(end);
                wiring.stop_means_stop = true;
            }
            Io::Terminal if stdin().is_terminal() && stdout().is_terminal() => {
                wiring.input = Input::Terminal;
                if stderr().is_terminal() {
                    wiring.errors_to_terminal = true;
                } else {
                    wiring.stderr = Some(wiring.output(Sink::Stderr)?);
                }
            }
            Io::Terminal => {
                wiring.input = Input::Pipe;
                let (theirs, ours) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
                // A program that does not read must not block netbe, which has to notice its end.
                fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
                wiring.stdin = Some((theirs, ours));
                let end = wiring.output(Sink::Stdout)?;
                // `2>&1`: one pipe, to keep the order of what is written.
                wiring.stderr = Some(if same_file()? {
                    end.try_clone()?
                } else {
                    wiring.output(Sink::Stderr)?
                });
                wiring.stdout = Some(end);
            }
        }
        Ok(wiring)
    }

    fn output(&mut self, to: Sink) -> anyhow::Result<OwnedFd> {
        let (from, end) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
        self.outputs.push(Output { from, to });
        Ok(end)
    }

    fn start(self, request: &Request) -> anyhow::Result<Relay> {
        let (ours, theirs) = UnixStream::pair()?;
        let (stdin, input) = self.stdin.unzip();
        let or_null = |fd: Option<OwnedFd>| fd.map_or_else(Stdio::null, Stdio::from);
        let program = this_program::open().context("opening netbe's own file read-only")?;
        let mut command = Command::new(descriptor_path(&program));
        command
            .arg0(FIRST_STAGE)
            .env_clear()
            // Read from process 1 of the sandbox.
            .env("container", "netbe")
            .current_dir("/")
            .stdin(or_null(stdin))
            .stdout(or_null(self.stdout))
            .stderr(or_null(self.stderr));
        let first_stage = start_with(&mut command, &theirs)?;
        let relay = Relay {
            first_stage,
            channel: ours,
            outputs: self.outputs,
            input,
            stop_means_stop: self.stop_means_stop,
            bounds: Bounds::new(&request.root, !self.stop_means_stop),
        };
        drop(theirs);
        // Closes netbe's copies of the program's ends of the pipes: while open, reads would not see the end.
        drop(command);
        let mut channel = &relay.channel;
        channel.write_all(&serde_json::to_vec(request)?)?;
        relay.channel.shutdown(Shutdown::Write)?;
        Ok(relay)
    }
}

#[allow(unsafe_code)]
fn start_with(command: &mut Command, channel: &UnixStream) -> std::io::Result<Child> {
    let channel = channel.as_raw_fd();
    command.arg(channel.to_string());
    // SAFETY: between fork and exec only fcntl(2) is called, which needs no lock and no memory.
    unsafe {
        command.pre_exec(move || {
            let result = nix::libc::fcntl(channel, nix::libc::F_SETFD, 0);
            nix::errno::Errno::result(result)
                .map(drop)
                .map_err(Into::into)
        });
    }
    command.spawn()
}

fn same_file() -> anyhow::Result<bool> {
    let (out, err) = (fstat(stdout())?, fstat(stderr())?);
    Ok((out.st_dev, out.st_ino) == (err.st_dev, err.st_ino))
}
