//! What an upgrade runs, and running it with everything it says in a log.
//!
//! Not for what becomes of the result.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::failure::Failure;
use crate::packages::{self, Step};
use crate::pool::{Node, Pool};
use crate::sandbox::{Durable, Ended, Io, Program, Sandbox};
use crate::storage::beneath::Tree;
use crate::storage::interrupt;

/// The property that replaces the distribution's full upgrade.
const COMMAND: &str = "upgrade.command";

/// The property that has what the command writes made durable whenever it asks for it.
const SYNC: &str = "upgrade.sync";

/// Returns when what the command writes is made durable: at the end, where nobody says otherwise.
pub(super) fn durable(pool: &Pool, node: &Node) -> Durable {
    match node.property(pool, SYNC).as_deref() {
        Some("on") => Durable::Always,
        _ => Durable::AtTheEnd,
    }
}

/// Returns whether what is run is the distribution's full upgrade, not a command of somebody's.
pub(super) fn is_distributions(pool: &Pool, node: &Node, asked: &[String]) -> bool {
    asked.is_empty() && node.property(pool, COMMAND).is_none()
}

/// Returns what to run: what was asked for, the property's command, or the distribution's full upgrade.
pub(super) fn commands(
    pool: &Pool,
    node: &Node,
    root: &Tree,
    asked: &[String],
) -> Result<Vec<Step>> {
    let one = |argv: Vec<String>| {
        vec![Step {
            what: "running the command",
            argv,
            env: Vec::new(),
        }]
    };
    if !asked.is_empty() {
        return Ok(one(asked.to_vec()));
    }
    if let Some(command) = node.property(pool, COMMAND) {
        return Ok(one(vec!["/bin/sh".to_string(), "-c".to_string(), command]));
    }
    let release = match root.read_text("etc/os-release")? {
        Some(text) => text,
        None => root.read_text("usr/lib/os-release")?.unwrap_or_default(),
    };
    let distribution = packages::recognise(&release);
    distribution.full_upgrade().ok_or_else(|| {
        Failure::refused(format!(
            "how {} is upgraded is not known to netbe",
            distribution.name
        ))
        .hint(format!(
            "netbe set upgrade.command='COMMAND' {0}, or: netbe upgrade --node {0} -- COMMAND",
            node.name
        ))
        .into()
    })
}

/// Runs one step after the other, what they say going to a new file; shown as it comes where `echo` says so.
///
/// # Errors
/// When a step does not end well, with its last lines; when netbe was asked to stop.
pub(super) fn run(sandbox: &Sandbox<'_>, steps: &[Step], path: &Path, echo: bool) -> Result<()> {
    let log = File::create_new(path).with_context(|| format!("making {}", path.display()))?;
    for step in steps {
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
            Ended::Exited(0) => continue,
            Ended::Exited(status) => format!("ended with status {status}"),
            Ended::Signalled(signal) => format!("was ended by {}", name_of(signal)),
            Ended::CannotRun(why) | Ended::NotFound(why) => format!("cannot be run: {why}"),
        };
        // Whoever watches has them on the screen.
        let lines = match echo {
            true => String::new(),
            false => last_lines(path),
        };
        bail!("{} {how}{lines}", step.argv.join(" "));
    }
    Ok(())
}

fn name_of(signal: i32) -> String {
    match Signal::try_from(signal) {
        Ok(signal) => signal.to_string(),
        Err(_) => format!("signal {signal}"),
    }
}

/// Returns the last lines a command said, for an error message; nothing where it said nothing.
fn last_lines(log: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(4096)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
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
