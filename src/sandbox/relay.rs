//! What netbe does while a program runs in a sandbox: carries bytes in and out, and passes signals on.
//!
//! Programs inside never hold one of the server's files or terminals, only pipes or a terminal of their
//! own: through an inherited descriptor they could change the file's mode, cut it short, or type
//! commands into the terminal that called netbe.

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
use super::terminal::{Raw, follow_size};
use super::{Ended, init};
use crate::fs::interrupt;

/// How long a program that was told to stop may take, before it is ended.
const GRACE: Duration = Duration::from_secs(10);
/// A signal may be handled on any thread of netbe, so no call of this one is sure to be
/// interrupted: a look every so many milliseconds.
const LOOK_FOR_SIGNALS: u8 = 100;

/// Where what a program writes goes.
#[derive(Debug)]
pub(super) enum Sink {
    Stdout,
    Stderr,
    Log(Log),
}

/// One descriptor the program writes into, and where that goes.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) from: OwnedFd,
    pub(super) to: Sink,
}

/// A running sandbox, as netbe holds it.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) first_stage: Child,
    pub(super) channel: UnixStream,
    pub(super) outputs: Vec<Output>,
    /// The pipe the program reads from, filled from our stdin.
    pub(super) input: Option<OwnedFd>,
    /// Whether a stop asked of netbe is one of the program too, whatever it makes of it.
    pub(super) stop_means_stop: bool,
    pub(super) bounds: Bounds,
}

/// What is still to come, while it runs.
#[derive(Default)]
struct State {
    reports: Reports,
    answer: Option<Report>,
    log_failure: Option<io::Error>,
    unsent: Vec<u8>,
    terminal: Option<(OwnedFd, Raw)>,
    stopped_by: Option<Signal>,
    deadline: Option<Instant>,
    /// Why it had to be ended.
    exceeded: Option<String>,
    gone: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Ready {
    Channel,
    Stdin,
    ProgramReads,
    Output(usize),
}

impl Relay {
    /// Carries on until everything inside has ended.
    pub(super) fn run(mut self) -> anyhow::Result<Ended> {
        let mut signals = Watch::begin();
        let mut state = State::default();
        while !(state.gone && self.outputs.is_empty()) {
            for ready in self.wait(&state)? {
                self.serve(ready, &mut state)?;
            }
            while let Some(signal) = signals.next() {
                self.pass_on(signal, &mut state);
            }
            if state.exceeded.is_none() {
                state.exceeded = self.bounds.exceeded(self.written());
                if state.exceeded.is_some() {
                    self.tell(init::END_NOW);
                }
            }
            if state.deadline.is_some_and(|at| at <= Instant::now()) {
                state.deadline = None;
                self.tell(init::END_NOW);
            }
        }
        drop(state.terminal);
        self.first_stage.wait()?;
        if let Some(error) = state.log_failure {
            return Err(error).context("writing the log");
        }
        // Also what was quicker than the last look.
        let exceeded = state.exceeded.or_else(|| self.bounds.exceeded_at_last());
        match (state.answer.take(), state.stopped_by) {
            // Before anything that comes of having been ended.
            (_, None) if exceeded.is_some() => Ok(Ended::Stopped(exceeded.unwrap_or_default())),
            (Some(Report::Failed(cause)), _) => bail!("making the sandbox: {cause}"),
            (_, Some(signal)) if self.stop_means_stop => {
                // So that netbe stops too, and does not go by what a program that was cut short left.
                interrupt::ask(signal);
                Ok(Ended::Signalled(signal as i32))
            }
            (Some(Report::Ended(ended)), _) => Ok(ended),
            (_, Some(signal)) => Ok(Ended::Signalled(signal as i32)),
            _ => bail!("the sandbox was ended from outside"),
        }
    }

    /// Returns how much has gone to the log, in bytes.
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
        if !state.gone {
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
            if state.unsent.is_empty() {
                waiting.push((Ready::Stdin, stdin.as_fd(), PollFlags::POLLIN));
                // Only for the error: a pipe that nobody reads any more.
                waiting.push((Ready::ProgramReads, program.as_fd(), PollFlags::empty()));
            } else {
                waiting.push((Ready::ProgramReads, program.as_fd(), PollFlags::POLLOUT));
            }
        }
        let mut fds: Vec<PollFd<'_>> = waiting
            .iter()
            .map(|(_, fd, flags)| PollFd::new(*fd, *flags))
            .collect();
        match poll(&mut fds, PollTimeout::from(LOOK_FOR_SIGNALS)) {
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

    fn serve(&mut self, ready: Ready, state: &mut State) -> anyhow::Result<()> {
        match ready {
            Ready::Channel => self.hear(state)?,
            Ready::Stdin => self.read_input(state),
            Ready::ProgramReads => self.feed(state),
            Ready::Output(number) => self.drain(number, state),
        }
        Ok(())
    }

    fn hear(&mut self, state: &mut State) -> anyhow::Result<()> {
        let reports = match state.reports.receive(&self.channel) {
            Ok(reports) => reports,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(()),
            // Reset: it ended before it had read its request.
            Err(e) if e.kind() == io::ErrorKind::ConnectionReset => None,
            Err(e) => return Err(e).context("listening to the sandbox"),
        };
        let Some(reports) = reports else {
            state.gone = true;
            self.input = None;
            return Ok(());
        };
        for report in reports {
            match report {
                Report::Terminal => self.open_terminal(state)?,
                // The first word counts: a program that could not be started says so itself.
                answer if state.answer.is_none() => state.answer = Some(answer),
                _ => {}
            }
        }
        Ok(())
    }

    fn open_terminal(&mut self, state: &mut State) -> anyhow::Result<()> {
        let Some(master) = state.reports.take_descriptor() else {
            bail!("the sandbox has sent no terminal");
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
                state.unsent.extend_from_slice(&bytes[..length]);
                self.feed(state);
            }
            // The end, or a terminal that has gone: the program is told in its own way.
            _ => self.end_input(state),
        }
    }

    fn end_input(&mut self, state: &mut State) {
        self.input = None;
        if state.terminal.is_some() {
            state.deadline = Some(Instant::now() + GRACE);
            self.tell(Signal::SIGHUP);
        }
    }

    fn feed(&mut self, state: &mut State) {
        let program = state.terminal.as_ref().map(|(fd, _)| fd);
        let Some(program) = program.or(self.input.as_ref()) else {
            return;
        };
        match nix::unistd::write(program, &state.unsent) {
            Ok(written) => drop(state.unsent.drain(..written)),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            // It does not read any more, which is its own affair.
            Err(_) => {
                state.unsent.clear();
                self.input = None;
            }
        }
    }

    fn drain(&mut self, number: usize, state: &mut State) {
        let mut bytes = [0u8; 64 << 10];
        let output = &mut self.outputs[number];
        let length = match nix::unistd::read(&output.from, &mut bytes) {
            Err(Errno::EINTR | Errno::EAGAIN) => return,
            // A terminal whose last program has gone answers EIO.
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
                    bytes => log.take(bytes),
                };
                // A full disk must not stop the program half way: it is drained, and said afterwards.
                if let Err(e) = written {
                    state.log_failure.get_or_insert(e);
                }
                Ok(())
            }
        };
        // Nobody listens to us any more: the program learns it by its own broken pipe.
        if length == 0 || written.is_err() {
            self.outputs.remove(number);
        }
    }

    fn pass_on(&mut self, signal: Signal, state: &mut State) {
        if signal == Signal::SIGWINCH {
            if let Some((program, _)) = &state.terminal {
                let _ = follow_size(program);
            }
            return;
        }
        let again = state.stopped_by.replace(signal).is_some();
        if again && self.stop_means_stop {
            self.tell(init::END_NOW);
            return;
        }
        self.tell(signal);
        // A program on a terminal may live on after SIGINT, as an interpreter does.
        if self.stop_means_stop || signal != Signal::SIGINT {
            state.deadline = Some(Instant::now() + GRACE);
        }
    }

    fn tell(&self, signal: Signal) {
        // The child is not waited for yet, so its number is still its own.
        if let Ok(number) = i32::try_from(self.first_stage.id()) {
            let _ = kill(Pid::from_raw(number), signal);
        }
    }
}

impl Drop for Relay {
    /// Leaves nothing running, also when netbe itself has failed half way.
    fn drop(&mut self) {
        if let Ok(None) = self.first_stage.try_wait() {
            self.tell(init::END_NOW);
            let _ = self.first_stage.wait();
        }
    }
}
