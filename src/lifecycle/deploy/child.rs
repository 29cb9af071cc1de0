//! Runs a program with limits on its output and time, and ends it when netbe is to stop.
//!
//! For programs whose output or run time may be endless, as on a machine that is reached by ssh. The program and all that it
//! starts are one process group, which is ended as a whole. Not for the programs of an environment, which run in the sandbox.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::fs::{interrupt, interruptible_io, threads};
use crate::terminal;

/// The time between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(5);
/// The pause between two checks of its state.
const PAUSE: Duration = Duration::from_millis(20);
/// How much of the messages is kept, in bytes.
const MESSAGES: u64 = 64 << 10;

/// The limits of a program.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Its output, in bytes.
    pub(super) output: u64,
    /// Its time.
    pub(super) time: Duration,
}

/// Runs a program to its end; returns its output and the beginning of its messages.
///
/// # Errors
/// If it cannot be started, exceeds a limit, or netbe is to stop. Then it is ended.
pub(super) fn run(command: &mut Command, bounds: Bounds) -> Result<Output> {
    let program = command.get_program().display().to_string();
    let running = || format!("running {program}");
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .with_context(running)?;
    let watched = watch(&mut child, bounds);
    if watched.is_err() {
        end(&mut child);
    }
    watched
}

fn watch(child: &mut Child, bounds: Bounds) -> Result<Output> {
    let stdout = Gathered::begin(child.stdout.take().map(OwnedFd::from), bounds.output)?;
    let stderr = Gathered::begin(child.stderr.take().map(OwnedFd::from), MESSAGES)?;
    let since = Instant::now();
    let mut status: Option<ExitStatus> = None;
    loop {
        interrupt::check()?;
        if stdout.is_too_much() {
            bail!("its output exceeds {}", terminal::bytes(bounds.output));
        }
        if status.is_none() {
            status = match child.try_wait() {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => None,
                ended => ended?,
            };
        }
        if let Some(status) = status
            && stdout.is_complete()
            && stderr.is_complete()
        {
            return Ok(Output {
                status,
                stdout: stdout.finish()?,
                stderr: stderr.finish()?,
            });
        }
        if since.elapsed() > bounds.time {
            bail!("it did not end within {} s", bounds.time.as_secs());
        }
        std::thread::sleep(PAUSE);
    }
}

/// Ends a process group: programs that hold a lock or have something mounted end by themselves, if they can.
fn end(child: &mut Child) {
    let Ok(group) = i32::try_from(child.id()) else {
        return;
    };
    let since = Instant::now();
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let _ = killpg(Pid::from_raw(group), signal);
        while !matches!(child.try_wait(), Ok(Some(_))) {
            if signal == Signal::SIGTERM && since.elapsed() > GRACE {
                break;
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// The bytes read from a pipe, up to a limit; the rest is read and discarded. Dropping it ends the reading.
struct Gathered {
    reading: Option<JoinHandle<io::Result<Vec<u8>>>>,
    too_much: Arc<AtomicBool>,
    cancelled: Arc<AtomicBool>,
}

impl Gathered {
    fn begin(pipe: Option<OwnedFd>, bound: u64) -> io::Result<Self> {
        let pipe = pipe.ok_or_else(|| io::Error::other("a pipe is missing"))?;
        let (mut reader, cancelled) = interruptible_io::Reader::new(File::from(pipe));
        let too_much = Arc::new(AtomicBool::new(false));
        let tells = Arc::clone(&too_much);
        let reading = threads::start(move || {
            let mut kept = Vec::new();
            reader.by_ref().take(bound).read_to_end(&mut kept)?;
            if reader.by_ref().take(1).read_to_end(&mut Vec::new())? > 0 {
                tells.store(true, Ordering::Relaxed);
                io::copy(&mut reader, &mut io::sink())?;
            }
            Ok(kept)
        })?;
        Ok(Self {
            reading: Some(reading),
            too_much,
            cancelled,
        })
    }

    fn is_too_much(&self) -> bool {
        self.too_much.load(Ordering::Relaxed)
    }

    fn is_complete(&self) -> bool {
        self.reading.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn finish(mut self) -> io::Result<Vec<u8>> {
        let Some(reading) = self.reading.take() else {
            return Ok(Vec::new());
        };
        reading
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Gathered {
    fn drop(&mut self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(script: &str, bounds: Bounds) -> Result<Output> {
        run(Command::new("sh").args(["-c", script]), bounds)
    }

    const BOUNDS: Bounds = Bounds {
        output: 1000,
        time: Duration::from_secs(60),
    };

    #[test]
    fn output_and_status_are_returned() {
        let said = outcome("echo a; echo b >&2; exit 3", BOUNDS).unwrap();
        assert_eq!(said.status.code(), Some(3));
        assert_eq!(
            (&said.stdout[..], &said.stderr[..]),
            (&b"a\n"[..], &b"b\n"[..])
        );
    }

    #[test]
    fn what_tells_without_end_or_never_ends_is_ended() {
        let since = Instant::now();
        let said = outcome("yes; true", BOUNDS).unwrap_err().to_string();
        assert_eq!(said, "its output exceeds 1000 B");
        let said = outcome(
            "yes >&2 & sleep 300; wait",
            Bounds {
                time: Duration::from_secs(1),
                ..BOUNDS
            },
        );
        assert_eq!(said.unwrap_err().to_string(), "it did not end within 1 s");
        // Nor is what it started and left.
        let said = outcome(
            "sleep 300 &",
            Bounds {
                time: Duration::from_secs(1),
                ..BOUNDS
            },
        );
        assert_eq!(said.unwrap_err().to_string(), "it did not end within 1 s");
        assert!(since.elapsed() < Duration::from_secs(30));
    }
}
