//! The dnsmasq of this machine: its configuration directories, its process, and restarting it.
//!
//! Promises that it is not restarted with a configuration it would not start with. Not for the pools' files and their
//! content.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Result, bail};

use super::inclusion::{self, DIRECTORY, active_lines};
use crate::fs::systemd::{run, systemctl};

/// Its first configuration.
const MAIN: &str = "/etc/dnsmasq.conf";
/// How many transfers by TFTP it serves at once where no configuration says: dnsmasq(8).
const MOST_TRANSFERS: usize = 50;
/// The unit, in every distribution.
pub const UNIT: &str = "dnsmasq.service";
/// Its pid file: Debian's path, then its own default.
const PID_FILES: [&str; 2] = ["/run/dnsmasq/dnsmasq.pid", "/run/dnsmasq.pid"];
/// Leftovers of dpkg in a configuration directory, which Debian's start script tells dnsmasq to skip.
const SKIPPED: [&str; 3] = [".dpkg-dist", ".dpkg-old", ".dpkg-new"];

/// Returns whether this dnsmasq has no configuration but netbe's.
pub fn is_alone() -> bool {
    configurations()
        .map(|(_, text)| text)
        .filter(|text| inclusion::included(text).is_none())
        // An option that includes further files is not a configuration itself.
        .all(|text| {
            active_lines(&text)
                .iter()
                .all(|l| l.starts_with("conf-dir="))
        })
}

/// Returns the files of its configuration, each with its text.
fn configurations() -> impl Iterator<Item = (PathBuf, String)> {
    let mut files = vec![PathBuf::from(MAIN)];
    if let Ok(entries) = fs::read_dir(DIRECTORY) {
        files.extend(entries.flatten().map(|e| e.path()));
    }
    files.into_iter().filter(|f| is_read(f)).map(|f| {
        let text = fs::read_to_string(&f).unwrap_or_default();
        (f, text)
    })
}

/// Returns how many transfers by TFTP it serves at once, and the file that says so if one does.
pub fn most_transfers() -> (usize, Option<PathBuf>) {
    let configured = configurations().find_map(|(file, text)| Some((tftp_max(&text)?, Some(file))));
    configured.unwrap_or((MOST_TRANSFERS, None))
}

fn tftp_max(text: &str) -> Option<usize> {
    let lines = active_lines(text);
    let mut values = lines.iter().filter_map(|l| l.strip_prefix("tftp-max"));
    values.find_map(|l| l.trim_start().strip_prefix('=')?.trim().parse().ok())
}

fn is_read(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    !(name.starts_with('.')
        || name.ends_with('~')
        || (name.starts_with('#') && name.ends_with('#'))
        || SKIPPED.iter().any(|s| name.ends_with(s)))
}

/// Returns whether dnsmasq reads [`DIRECTORY`]: by its configuration, or by the defaults of Debian's start script.
pub fn reads_directory() -> bool {
    let names = |file: &str, start: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        active_lines(&text).iter().any(|l| {
            l.strip_prefix(start)
                .is_some_and(|v| v.trim_matches('"').starts_with(DIRECTORY))
        })
    };
    main_reads_directory() || names("/etc/default/dnsmasq", "CONFIG_DIR=")
}

fn main_reads_directory() -> bool {
    let text = fs::read_to_string(MAIN).unwrap_or_default();
    active_lines(&text).iter().any(|l| {
        l.strip_prefix("conf-dir=")
            .is_some_and(|v| v.starts_with(DIRECTORY))
    })
}

/// Returns the path of dnsmasq(8), from fixed directories: the caller's `PATH` is not trusted.
pub fn program() -> Option<&'static Path> {
    ["/usr/sbin/dnsmasq", "/usr/bin/dnsmasq"]
        .into_iter()
        .map(Path::new)
        .find(|p| p.exists())
}

/// Restarts the running dnsmasq, and waits until it is done.
///
/// # Errors
/// With systemctl's message.
pub fn restart() -> Result<()> {
    // systemd refuses the sixth start in ten seconds, and a script can make more nodes than that.
    let _ = systemctl(&["reset-failed", UNIT]);
    // netbe-reconcile.service is ordered before dnsmasq. While it runs, dnsmasq would be stopped and not started again:
    // as long as it waits for the caller's lock, or is the caller.
    systemctl(&["restart", "--job-mode=ignore-dependencies", UNIT])
}

/// Tests with dnsmasq whether its configuration on disk is valid.
///
/// # Errors
/// With dnsmasq's message.
pub fn test() -> Result<()> {
    let Some(program) = program() else {
        bail!("dnsmasq is not installed");
    };
    let mut command = Command::new(program);
    command.arg("--test");
    if !main_reads_directory() {
        // Reading a file twice is an error for options that can be given only once.
        command.arg(format!("--conf-dir={DIRECTORY},{}", SKIPPED.join(",")));
    }
    run(&mut command)
}

/// A running dnsmasq.
#[derive(Debug, Clone, Copy)]
pub struct Running {
    /// When it wrote its pid file, which it does once, at its start.
    since: SystemTime,
}

impl Running {
    /// Returns whether it was started before a file was last written, so that it has the older content.
    pub fn is_older_than(&self, file: &Path) -> bool {
        file.metadata()
            .and_then(|m| m.modified())
            .is_ok_and(|written| written > self.since)
    }
}

/// Returns the running dnsmasq by its pid file; a stale number that is now another program's is ignored.
pub fn running() -> Option<Running> {
    PID_FILES.iter().find_map(|file| {
        let pid: i32 = fs::read_to_string(file).ok()?.trim().parse().ok()?;
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        let since = fs::metadata(file).and_then(|m| m.modified()).ok()?;
        (pid > 1 && name.trim() == "dnsmasq").then_some(Running { since })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_not_settings() {
        let text = "# all of Debian's\n\n  # and this\n#port=5353\n";
        assert_eq!(active_lines(text), Vec::<&str>::new());
        assert_eq!(active_lines("  port=5353 \n"), ["port=5353"]);
    }

    #[test]
    fn how_many_transfers_a_file_allows() {
        assert_eq!(tftp_max("enable-tftp\n tftp-max = 200\n"), Some(200));
        for none in ["", "#tftp-max=200\n", "tftp-max\n", "tftp-mtu=1468\n"] {
            assert_eq!(tftp_max(none), None, "{none}");
        }
    }

    #[test]
    fn files_that_dnsmasq_skips() {
        for name in [".x", "x~", "#x#", "x.dpkg-old"] {
            assert!(!is_read(&Path::new(DIRECTORY).join(name)), "{name}");
        }
        assert!(is_read(&Path::new(DIRECTORY).join("README")));
    }
}
