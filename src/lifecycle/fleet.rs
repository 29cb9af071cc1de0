//! The same command for several nodes, side by side: `upgrade` and `create`.
//!
//! Each node has its own netbe process, started from here with a hidden flag: one that fails, or is
//! killed, does not affect the others, and each holds its own node's lock. When this process ends, however it
//! ends, the others stop as after SIGTERM, and leave nothing. Not for how progress is displayed.

mod report;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub use self::report::Report;
use crate::fs::{interrupt, threads};

/// How often this process checks whether it was interrupted.
const LOOK: Duration = Duration::from_millis(100);

/// The maximum length of a line, in bytes: a line without an end must not fill memory.
const LINE: u64 = 64 << 10;

/// An event of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The process started.
    Begun,
    /// A line of output of the program that runs in the environment.
    Says(String),
    /// The process ended.
    Ended(Report),
}

/// Runs this program for each node, `jobs` at a time, with these arguments; `hear` is called for each event.
///
/// Returns the report of each, in the order of the nodes.
pub fn run<T: Sync>(
    nodes: &[T],
    jobs: usize,
    arguments: &(dyn Fn(&T) -> Vec<OsString> + Sync),
    mut hear: impl FnMut(&T, &News),
) -> Result<Vec<Report>> {
    let program = std::env::current_exe().context("finding this program")?;
    let waiting: Mutex<VecDeque<usize>> = Mutex::new((0..nodes.len()).collect());
    let running: Mutex<Vec<Pid>> = Mutex::new(Vec::new());
    let mut reports = vec![stopped(); nodes.len()];
    std::thread::scope(|scope| {
        let (tell, news) = channel::<(usize, News)>();
        let mut begun = 0;
        for _ in 0..jobs.clamp(1, nodes.len().max(1)) {
            let tell = tell.clone();
            let (waiting, running, program) = (&waiting, &running, &program);
            let work = move || {
                while interrupt::requested().is_none() {
                    let Some(next) = locked(waiting).pop_front() else {
                        return;
                    };
                    let mut command = Command::new(program);
                    command.args(arguments(&nodes[next]));
                    let report = one(&mut command, running, next, &tell)
                        .unwrap_or_else(|e| Report::failed(&e));
                    let _ = tell.send((next, News::Ended(report)));
                }
            };
            match threads::start_in(scope, work) {
                Ok(_) => begun += 1,
                // It goes on with fewer processes at a time.
                Err(_) if begun > 0 => break,
                Err(e) => return Err(e).context("doing several at once"),
            }
        }
        drop(tell);
        let mut told_to_stop = false;
        loop {
            match news.recv_timeout(LOOK) {
                Ok((number, what)) => {
                    hear(&nodes[number], &what);
                    if let News::Ended(report) = what {
                        reports[number] = report;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if interrupt::requested().is_some() && !told_to_stop {
                told_to_stop = true;
                for pid in locked(&running).iter() {
                    let _ = kill(*pid, Signal::SIGTERM);
                }
            }
        }
        Ok(())
    })?;
    Ok(reports)
}

/// Locks a mutex, also if a thread panicked with it locked: the content is consistent at any point.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn one(
    command: &mut Command,
    running: &Mutex<Vec<Pid>>,
    number: usize,
    tell: &Sender<(usize, News)>,
) -> Result<Report> {
    let mut child = command
        // The pipe stays open until this process ends; then the worker stops.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // ^C at the terminal reaches only this process, which passes it on once; a second signal would mean "at once".
        .process_group(0)
        .spawn()
        .context("starting netbe for it")?;
    let pid = Pid::from_raw(i32::try_from(child.id()).context("the number of a process")?);
    locked(running).push(pid);
    let _ = tell.send((number, News::Begun));
    if interrupt::requested().is_some() {
        let _ = kill(pid, Signal::SIGTERM);
    }
    let report = listen(&mut child, number, tell);
    locked(running).retain(|p| *p != pid);
    let status = child.wait().context("waiting for it")?;
    report?.with_context(|| format!("its netbe ended without a report: {status}"))
}

fn listen(
    child: &mut Child,
    number: usize,
    tell: &Sender<(usize, News)>,
) -> Result<Option<Report>> {
    let (Some(errors), Some(mut answer)) = (child.stderr.take(), child.stdout.take()) else {
        return Ok(None);
    };
    let mut errors = BufReader::new(errors);
    let mut line = Vec::new();
    // The answer is one short line at the very end, so the worker never waits for us to read it.
    while errors.by_ref().take(LINE).read_until(b'\n', &mut line)? > 0 {
        if let Some(shown) = last_line(&line) {
            let _ = tell.send((number, News::Says(shown)));
        }
        line.clear();
    }
    let mut text = String::new();
    answer.read_to_string(&mut text)?;
    Ok(serde_json::from_str(text.trim()).ok())
}

/// Returns the part of a line that a terminal shows at the end: programs overwrite their progress by carriage returns.
fn last_line(line: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(line);
    let shown = text.trim_end().rsplit('\r').next()?.trim();
    (!shown.is_empty()).then(|| shown.to_string())
}

fn stopped() -> Report {
    Report::Failed {
        why: "it was stopped before it began".to_string(),
        hint: None,
        status: 1,
    }
}

/// Sends SIGTERM to this process when its parent has ended; for a worker, whose standard input the parent keeps
/// open.
pub fn stop_with_parent() -> Result<()> {
    let watch = || {
        let mut nothing = [0; 16];
        while matches!(std::io::stdin().read(&mut nothing), Ok(n) if n > 0) {}
        // To the process, so that the thread that waits for signals gets it.
        let _ = kill(Pid::this(), Signal::SIGTERM);
    };
    threads::start(watch)
        .context("watching the parent process")
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_shown_is_the_text_after_carriage_returns() {
        for (line, want) in [
            ("Unpacking a\n", Some("Unpacking a")),
            ("\r 10%\r 20%\r\n", Some("20%")),
            ("  \n", None),
            ("", None),
        ] {
            assert_eq!(last_line(line.as_bytes()).as_deref(), want, "{line:?}");
        }
    }
}
