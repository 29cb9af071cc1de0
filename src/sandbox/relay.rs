//! Forwards input, output and signals between netbe and a program in a sandbox.
//!
//! Programs inside hold only pipes or a terminal of their own, never a file or terminal of the server. Through
//! an inherited descriptor they could change a file's mode, truncate it, or type commands into the terminal
//! that called netbe.

use std::io::{self, Write, stderr, stdin, stdout};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::bounds::Bounds;
use super::log::Log;
use super::protocol::{Report, Reports};
use super::signals::Watch;
use super::terminal::{Raw, copy_size};
use super::{Ended, init};
use crate::fs::interrupt;

/// Time between a stop signal to the program and its kill.
const GRACE: Duration = Duration::from_secs(10);
/// Poll timeout in milliseconds: a signal may be handled on any thread, so it does not always interrupt this
/// one's poll.
const POLL_TIMEOUT: u8 = 100;

/// Destination of a program's output.
#[derive(Debug)]
pub(super) enum Sink {
    Stdout,
    Stderr,
    Log(Log),
}

/// The read end of an output pipe, and its destination.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) from: OwnedFd,
    pub(super) to: Sink,
}

/// netbe's side of a running sandbox.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) first_stage: Child,
    pub(super) channel: UnixStream,
    pub(super) outputs: Vec<Output>,
    /// Write end of the program's stdin, filled from netbe's.
    pub(super) input: Option<OwnedFd>,
    /// Whether a stop signal to netbe ends the program even if the program ignores it.
    pub(super) stop_means_stop: bool,
    pub(super) bounds: Bounds,
}

/// State of the loop in [`Relay::run`].
#[derive(Default)]
struct State {
    reports: Reports,
    answer: Option<Report>,
    log_failure: Option<io::Error>,
    pending_input: Vec<u8>,
    terminal: Option<(OwnedFd, Raw)>,
    stopped_by: Option<Signal>,
    deadline: Option<Instant>,
    /// The limit that was exceeded, as a sentence.
    exceeded: Option<String>,
    is_closed: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Ready {
    Channel,
    Stdin,
    ProgramReads,
    Output(usize),
}

impl Relay {
    /// Runs until every process inside has ended.
    pub(super) fn run(mut self) -> anyhow::Result<Ended> {
        let mut signals = Watch::begin();
        let mut state = State::default();
        while !(state.is_closed && self.outputs.is_empty()) {
            for ready in self.wait(&state)? {
                self.handle(ready, &mut state)?;
            }
            while let Some(signal) = signals.next() {
                self.forward_signal(signal, &mut state);
            }
            if state.exceeded.is_none() {
                state.exceeded = self.bounds.exceeded(self.written());
                if state.exceeded.is_some() {
                    self.signal_first_stage(init::END_NOW);
                }
            }
            if state.deadline.is_some_and(|at| at <= Instant::now()) {
                state.deadline = None;
                self.signal_first_stage(init::END_NOW);
            }
        }
        drop(state.terminal);
        self.first_stage.wait()?;
        if let Some(error) = state.log_failure {
            return Err(error).context("writing the log");
        }
        // A program may have exceeded a limit after the last check.
        let exceeded = state.exceeded.or_else(|| self.bounds.exceeded_at_last());
        match (state.answer.take(), state.stopped_by) {
            // Takes precedence over the errors that the kill caused.
            (_, None) if exceeded.is_some() => Ok(Ended::Stopped(exceeded.unwrap_or_default())),
            (Some(Report::Failed(cause)), _) => bail!("making the sandbox: {cause}"),
            (_, Some(signal)) if self.stop_means_stop => {
                // netbe stops too: the interrupted program's result must not be used.
                interrupt::request(signal);
                Ok(Ended::Signalled(signal as i32))
            }
            (Some(Report::Ended(ended)), _) => Ok(ended),
            (_, Some(signal)) => Ok(Ended::Signalled(signal as i32)),
            _ => bail!("the sandbox was killed by another process"),
        }
    }

    /// Returns the number of bytes output to the log.
    fn written(&self) -> u64 {
        let logs = self.outputs.iter().map(|output| match &output.to {
            Sink::Log(log) => log.written(),
            Sink::Stdout | Sink::Stderr => 0,
        });
        logs.sum()
    }

    fn wait(&self, state: &State) -> anyhow::Result<Vec<Ready>> {
        let stdin = stdin();
        let mut waiting: Vec<(Ready, BorrowedFd<'_>, PollFlags)> = Vec::new();
        if !state.is_closed {
            waiting.push((Ready::Channel, self.channel.as_fd(), PollFlags::POLLIN));
        }
        for (number, output) in self.outputs.iter().enumerate() {
            waiting.push((
                Ready::Output(number),
                output.from.as_fd(),
                PollFlags::POLLIN,
            ));
        }
        let program = state.terminal.as_ref().map(|(fd, _)| fd);
        if let Some(program) = program.or(self.input.as_ref()) {
            if state.pending_input.is_empty() {
                waiting.push((Ready::Stdin, stdin.as_fd(), PollFlags::POLLIN));
                // For POLLERR only: the program has closed the pipe.
                waiting.push((Ready::ProgramReads, program.as_fd(), PollFlags::empty()));
            } else {
                waiting.push((Ready::ProgramReads, program.as_fd(), PollFlags::POLLOUT));
            }
        }
        let mut fds: Vec<PollFd<'_>> = waiting
            .iter()
            .map(|(_, fd, flags)| PollFd::new(*fd, *flags))
            .collect();
        match poll(&mut fds, PollTimeout::from(POLL_TIMEOUT)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
        Ok(waiting
            .iter()
            .zip(&fds)
            .filter(|(_, fd)| fd.any().unwrap_or(true))
            .map(|((ready, ..), _)| *ready)
            .rev()
            .collect())
    }

    fn handle(&mut self, ready: Ready, state: &mut State) -> anyhow::Result<()> {
        match ready {
            Ready::Channel => self.read_reports(state)?,
            Ready::Stdin => self.read_input(state),
            Ready::ProgramReads => self.write_input(state),
            Ready::Output(number) => self.forward_output(number, state),
        }
        Ok(())
    }

    fn read_reports(&mut self, state: &mut State) -> anyhow::Result<()> {
        let reports = match state.reports.receive(&self.channel) {
            Ok(reports) => reports,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(()),
            // Reset: the first stage ended before it had read its request.
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => None,
            Err(e) => return Err(e).context("reading from the sandbox"),
        };
        let Some(reports) = reports else {
            state.is_closed = true;
            self.input = None;
            return Ok(());
        };
        for report in reports {
            match report {
                Report::Terminal => self.open_terminal(state)?,
                // The first report counts: init reports after a program that could not be started.
                answer if state.answer.is_none() => state.answer = Some(answer),
                _ => {}
            }
        }
        Ok(())
    }

    fn open_terminal(&mut self, state: &mut State) -> anyhow::Result<()> {
        let Some(master) = state.reports.take_descriptor() else {
            bail!("the sandbox sent no terminal");
        };
        self.outputs.push(Output {
            from: master.try_clone()?,
            to: Sink::Stdout,
        });
        let raw = Raw::begin(&master).context("setting up the terminal")?;
        state.terminal = Some((master, raw));
        Ok(())
    }

    fn read_input(&mut self, state: &mut State) {
        let mut bytes = [0u8; 16 << 10];
        match nix::unistd::read(stdin(), &mut bytes) {
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Ok(length) if length > 0 => {
                state.pending_input.extend_from_slice(&bytes[..length]);
                self.write_input(state);
            }
            // End of input, or the terminal was closed.
            _ => self.end_input(state),
        }
    }

    fn end_input(&mut self, state: &mut State) {
        self.input = None;
        if state.terminal.is_some() {
            state.deadline = Some(Instant::now() + GRACE);
            self.signal_first_stage(Signal::SIGHUP);
        }
    }

    fn write_input(&mut self, state: &mut State) {
        let program = state.terminal.as_ref().map(|(fd, _)| fd);
        let Some(program) = program.or(self.input.as_ref()) else {
            return;
        };
        match nix::unistd::write(program, &state.pending_input) {
            Ok(written) => drop(state.pending_input.drain(..written)),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            // The program has closed its stdin, which is no error.
            Err(_) => {
                state.pending_input.clear();
                self.input = None;
            }
        }
    }

    fn forward_output(&mut self, number: usize, state: &mut State) {
        let mut bytes = [0u8; 64 << 10];
        let output = &mut self.outputs[number];
        let length = match nix::unistd::read(&output.from, &mut bytes) {
            Err(Errno::EINTR | Errno::EAGAIN) => return,
            // A terminal without a program returns EIO.
            Ok(0) | Err(_) => 0,
            Ok(length) => length,
        };
        let bytes = &bytes[..length];
        let written = match &mut output.to {
            Sink::Stdout => stdout().write_all(bytes).and_then(|()| stdout().flush()),
            Sink::Stderr => stderr().write_all(bytes),
            Sink::Log(log) => {
                let written = match bytes {
                    [] => log.finish(),
                    bytes => log.write(bytes),
                };
                // A full disk must not stop the program: output is read on, and the error returned at the end.
                if let Err(e) = written {
                    state.log_failure.get_or_insert(e);
                }
                Ok(())
            }
        };
        // netbe's own output is closed: the program gets a broken pipe too.
        if length == 0 || written.is_err() {
            self.outputs.remove(number);
        }
    }

    fn forward_signal(&mut self, signal: Signal, state: &mut State) {
        if signal == Signal::SIGWINCH {
            if let Some((program, _)) = &state.terminal {
                let _ = copy_size(program);
            }
            return;
        }
        let is_second = state.stopped_by.replace(signal).is_some();
        if is_second && self.stop_means_stop {
            self.signal_first_stage(init::END_NOW);
            return;
        }
        self.signal_first_stage(signal);
        // A program on a terminal may handle SIGINT and go on, as an interpreter does.
        if self.stop_means_stop || signal != Signal::SIGINT {
            state.deadline = Some(Instant::now() + GRACE);
        }
    }

    fn signal_first_stage(&self, signal: Signal) {
        // The child is not reaped yet, so its process ID is not reused.
        if let Ok(number) = i32::try_from(self.first_stage.id()) {
            let _ = kill(Pid::from_raw(number), signal);
        }
    }
}

impl Drop for Relay {
    /// Kills the sandbox if it still runs, also after an error of netbe's own.
    fn drop(&mut self) {
        if let Ok(None) = self.first_stage.try_wait() {
            self.signal_first_stage(init::END_NOW);
            let _ = self.first_stage.wait();
        }
    }
}
