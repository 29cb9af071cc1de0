//! Runs the script that works on a disk, on this server or, by ssh, on the node.
//!
//! Its output and time are limited. Not for its work: `disk.sh`.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::child::{self, Bounds};
use super::target::Target;
use crate::failure::Failure;
use crate::fs::{partitions, server_packages};
use crate::terminal;

/// The exit status of the script for a refusal.
const REFUSED: i32 = 3;
/// Its exit status if another deploy has the disk.
const LOCKED: i32 = 5;
/// How much of its message about the other deploy is shown, in characters.
const HOLDER: usize = 200;

/// Options of ssh: it asks nothing, and gives up a machine that does not answer, or stops answering.
const UNATTENDED: [&str; 4] = [
    "BatchMode=yes",
    "ConnectTimeout=30",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=8",
];

const SCRIPT: [&str; 2] = [partitions::FUNCTIONS, include_str!("disk.sh")];

impl Target {
    /// Runs a verb of the script with this input, once no other deploy has the disk.
    ///
    /// # Errors
    /// `Locked` if another deploy has the disk for longer than `wait`; the refusals of the script.
    pub(super) fn run(
        &self,
        verb: &str,
        words: &[&str],
        input: Option<Stdio>,
        wait: Duration,
    ) -> Result<Output> {
        let doing = || format!("{} {self}", doing(verb));
        let seconds = wait.as_secs().to_string();
        let words: Vec<&str> = std::iter::once(seconds.as_str())
            .chain(words.iter().copied())
            .collect();
        let mut command = self.command(verb, &words)?;
        command.stdin(input.unwrap_or_else(Stdio::null));
        let mut bounds = bounds(verb);
        bounds.time = bounds.time.saturating_add(wait);
        let output = child::run(&mut command, bounds).with_context(doing)?;
        if output.status.success() {
            return Ok(output);
        }
        let message = terminal::text(&String::from_utf8_lossy(&output.stderr).replace('\r', ""));
        let lines: Vec<&str> = message
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty() && !l.starts_with("Chroot to "))
            .collect();
        match output.status.code() {
            Some(REFUSED) => return Err(Failure::refused(lines.join("; ")).into()),
            Some(LOCKED) => return Err(self.locked(&lines, wait).into()),
            _ => {}
        }
        bail!("{}: {}", doing(), lines.join("; "))
    }

    fn locked(&self, told: &[&str], wait: Duration) -> Failure {
        let holder: String = match told.last() {
            Some(line) => line.trim_end().chars().take(HOLDER).collect(),
            None => "another deploy".to_string(),
        };
        Failure::locked(format!(
            "{self} is being written by another netbe ({holder}); waited {seconds} s; --wait SECONDS waits longer",
            seconds = wait.as_secs()
        ))
    }

    fn command(&self, verb: &str, words: &[&str]) -> Result<Command> {
        match self {
            Self::Here(path) => {
                for program in [
                    "unshare", "btrfs", "sfdisk", "wipefs", "blkid", "findmnt", "flock",
                ] {
                    server_packages::require(program)?;
                }
                let mut command = Command::new("unshare");
                command
                    .args(["--mount", "sh", "-c", &SCRIPT.concat(), "netbe"])
                    .arg(path)
                    .arg(verb)
                    .args(words);
                Ok(command)
            }
            Self::There { host, port, path } => {
                server_packages::require("ssh")?;
                let line = command_line(path, verb, words);
                let mut command = Command::new("ssh");
                command.args(UNATTENDED.iter().flat_map(|option| ["-o", option]));
                if let Some(port) = port {
                    command.args(["-p", &port.to_string()]);
                }
                command.args(["--", host, &line]);
                Ok(command)
            }
        }
    }
}

/// Returns the limits of a verb: the state of a disk is kept in memory, and a list of changes has many lines.
fn bounds(verb: &str) -> Bounds {
    let minutes = |count: u64| Duration::from_secs(60 * count);
    let (output, time) = match verb {
        "look" => (1 << 20, minutes(15)),
        "receive" | "unpack" => (1 << 20, minutes(24 * 60)),
        _ => (16 << 20, minutes(60)),
    };
    Bounds { output, time }
}

/// Returns a verb of the script in words, which the name of the disk follows.
fn doing(verb: &str) -> &'static str {
    match verb {
        "look" => "looking at",
        "format" => "formatting",
        "receive" | "unpack" => "writing to",
        "changes" => "comparing what is on",
        "keep" => "keeping what is on",
        "settle" => "waiting for the room on",
        _ => "removing from",
    }
}

/// Returns the line that runs the script on another machine.
fn command_line(path: &str, verb: &str, words: &[&str]) -> String {
    let script = compact(&SCRIPT.concat());
    let program = ["unshare", "--mount", "sh", "-c", &script, "netbe"];
    let all = program.into_iter().chain([path, verb]);
    let all = all.chain(words.iter().copied()).map(quoted);
    all.collect::<Vec<_>>().join(" ")
}

/// Returns a script without comments and indents: dropbear takes no line of more than 9,000 bytes.
fn compact(script: &str) -> String {
    let lines = script.lines().map(str::trim_start);
    let needed = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    needed.collect::<Vec<_>>().join("\n")
}

/// Quotes a word for a shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_fits_into_a_line_that_every_ssh_server_takes() {
        assert_eq!(
            compact("# a\nif b; then\n\n    c # d\nfi\n"),
            "if b; then\nc # d\nfi"
        );
        let line = command_line("/dev/sda", "receive", &["10", "name", "uuid"]);
        assert!(line.len() < 7000, "{} bytes", line.len());
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quoted("it's"), "'it'\\''s'");
    }
}
