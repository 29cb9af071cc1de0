//! The commands of an upgrade, and running them with their output in a log.
//!
//! Not for the result.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use super::Request;
use crate::failure::Failure;
use crate::fs::rooted::Tree;
use crate::fs::{atomic, interrupt, opener};
use crate::packages::{Distribution, Downloads, Step};
use crate::pool::{Environment, Node, Pool};
use crate::sandbox::{Durable, Ended, Io, Network, Program, Sandbox, emulation};
use crate::terminal;

/// How much of the end of a failed upgrade's log is kept, in bytes.
const FAILED_LOG: u64 = 1 << 20;

/// The property that replaces the distribution's full upgrade.
const COMMAND: &str = "upgrade.command";

/// The property that makes the command's syncs effective.
const SYNC: &str = "upgrade.sync";

/// Returns when the command's writes become durable: by default, at the end.
pub(in crate::lifecycle) fn durable(pool: &Pool, node: &Node) -> Durable {
    match node.property(pool, SYNC).as_deref() {
        Some("on") => Durable::Always,
        _ => Durable::AtTheEnd,
    }
}

/// The property for the network of an environment's programs.
const NETWORK: &str = "upgrade.network";

/// Returns the network of the programs of a node's environments: by default, a separate one.
pub(in crate::lifecycle) fn network(pool: &Pool, node: &Node) -> Result<Network> {
    let value = node.property(pool, NETWORK);
    let network = value.as_deref().unwrap_or("private").parse();
    network.map_err(|why: String| anyhow::anyhow!("the property {NETWORK}: {why}"))
}

/// Returns the commands to run in a copy of an environment, as its files say.
pub(super) fn commands_of(
    pool: &Pool,
    node: &Node,
    source: &Environment,
    request: &Request,
) -> Result<(Vec<Step>, Option<Downloads>)> {
    source.require_sound()?;
    let _files = source.show_files()?;
    let root = Tree::open(&source.root())?;
    // Before anything is made: a refusal names the missing package.
    emulation::check(&root)?;
    commands(pool, node, &root, &request.command)
}

/// Returns the commands to run: the given one, else the property's, else the distribution's full upgrade.
pub(super) fn commands(
    pool: &Pool,
    node: &Node,
    root: &Tree,
    asked: &[String],
) -> Result<(Vec<Step>, Option<Downloads>)> {
    let one = |argv: Vec<String>| {
        vec![Step {
            argv,
            ..Step::default()
        }]
    };
    if !asked.is_empty() {
        return Ok((one(asked.to_vec()), None));
    }
    if let Some(command) = node.property(pool, COMMAND) {
        return Ok((
            one(vec!["/bin/sh".to_string(), "-c".to_string(), command]),
            None,
        ));
    }
    let distribution = Distribution::read(root)?;
    let steps = distribution.full_upgrade().ok_or_else(|| {
        Failure::refused(format!(
            "netbe does not know how to upgrade {}: tell it by netbe set upgrade.command='COMMAND' {}, or behind --",
            distribution.name, node.name
        ))
        .hint("netbe upgrade --help")
    })?;
    Ok((steps, distribution.downloads()))
}

/// Runs one step and returns its status. Its output goes to the end of a log, and with `echo` also to the terminal.
///
/// # Errors
/// If it fails, with its last lines; if netbe was interrupted.
pub(in crate::lifecycle) fn step(
    sandbox: &Sandbox<'_>,
    step: &Step,
    log: &File,
    echo: bool,
) -> Result<i32> {
    if !step.what.is_empty() {
        say(log, echo, step.what)?;
    }
    let ended = sandbox.run(Program {
        argv: step.argv.clone(),
        env: step.env.clone(),
        io: Io::Log {
            log: log.try_clone()?,
            echo,
        },
    })?;
    interrupt::check()?;
    let how = match ended {
        Ended::Exited(status) if step.is_done(status) => return Ok(status),
        Ended::Exited(status) => format!("ended with status {status}"),
        Ended::Signalled(signal) => format!("was killed by {}", name_of(signal)),
        Ended::Stopped(why) => format!("was killed: {why}"),
        Ended::CannotRun(why) | Ended::NotFound(why) => format!("cannot be run: {why}"),
    };
    // With `echo` they are on the screen already.
    let lines = match echo {
        true => String::new(),
        false => last_lines(log),
    };
    bail!("{} {how}{lines}", in_short(&step.argv));
}

/// Returns a command for an error message: of a script only the beginning.
fn in_short(argv: &[String]) -> String {
    const MOST: usize = 60;
    let whole = argv.join(" ");
    let mut short: String = whole
        .lines()
        .next()
        .unwrap_or_default()
        .chars()
        .take(MOST)
        .collect();
    if short.len() < whole.len() {
        short.push('…');
    }
    short
}

/// Adds a line of netbe's to the log, between the programs' output; with `echo` also to the terminal.
pub(super) fn say(log: &File, echo: bool, what: &str) -> Result<()> {
    let line = format!("[{what}]\n");
    let mut log = log;
    log.write_all(line.as_bytes()).context("writing the log")?;
    if echo {
        // Errors are ignored, as for the programs' output: the terminal may be gone.
        terminal::show(terminal::text(&line).as_bytes());
    }
    Ok(())
}

/// Opens a new log, for appending and reading.
pub(in crate::lifecycle) fn new_log(path: &Path) -> Result<File> {
    File::options()
        .read(true)
        .append(true)
        .create_new(true)
        .open(path)
        .with_context(|| format!("making {}", path.display()))
}

fn name_of(signal: i32) -> String {
    match Signal::try_from(signal) {
        Ok(signal) => signal.to_string(),
        Err(_) => format!("signal {signal}"),
    }
}

/// Returns the last lines of a command's output, for an error message; empty if there is none.
fn last_lines(log: &File) -> String {
    let text = tail(log, 4096).unwrap_or_default();
    let mut lines: Vec<&str> = text
        .lines()
        .filter(|l| !l.trim().is_empty())
        .rev()
        .take(5)
        .collect();
    lines.reverse();
    match lines.is_empty() {
        true => String::new(),
        false => format!("\n  {}", lines.join("\n  ")),
    }
}

/// Returns the last bytes of a log, as text.
pub(super) fn tail(log: &File, most: u64) -> io::Result<String> {
    let length = log.metadata()?.len();
    let from = length.saturating_sub(most);
    let mut bytes = vec![0; usize::try_from(length - from).unwrap_or(0)];
    log.read_exact_at(&mut bytes, from)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns the text of a log from an offset on, at most `most` bytes.
pub(super) fn from(log: &File, from: u64, most: u64) -> io::Result<String> {
    let length = log.metadata()?.len().saturating_sub(from).min(most);
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    log.read_exact_at(&mut bytes, from)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Replaces another file by the end of a log; returns whether the log has any text.
pub(super) fn keep_end(from: &Path, to: &Path) -> io::Result<bool> {
    let log = opener::file(from)?.ok_or(io::ErrorKind::NotFound)?;
    let length = log.metadata()?.len();
    let mut text = tail(&log, FAILED_LOG)?;
    if length > FAILED_LOG {
        let left_out = length - FAILED_LOG;
        text = format!("[the first {left_out} bytes are left out]\n{text}");
    }
    atomic::file(to, text.as_bytes(), atomic::Durable::WithNextSync)?;
    Ok(length > 0)
}

#[cfg(test)]
mod tests {
    use super::{in_short, keep_end};

    #[test]
    fn an_empty_log_is_reported_as_empty() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("log"), dir.path().join("kept"));
        for text in ["", "said\n"] {
            std::fs::write(&from, text).unwrap();
            assert_eq!(keep_end(&from, &to).unwrap(), !text.is_empty());
            assert_eq!(std::fs::read_to_string(&to).unwrap(), text);
        }
    }

    #[test]
    fn of_a_script_an_error_names_the_beginning() {
        let short =
            |words: &[&str]| in_short(&words.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(short(&["touch", "/new"]), "touch /new");
        assert_eq!(short(&["sh", "-c", "one\ntwo"]), "sh -c one…");
        assert_eq!(short(&[&"x".repeat(100)]), format!("{}…", "x".repeat(60)));
    }
}
