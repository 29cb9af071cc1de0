//! Installing the exports into the kernel NFS server, and reading back its table.
//!
//! Writes `publish/exports` in the state directory and its copy under `/etc/exports.d`, and runs exportfs(8) for the changed
//! exports, or for all. The file of another pool is not touched. Not for the content of the file.

mod calls;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::run::Publishing;
use super::{Published, exports};
use crate::failure::Failure;
use crate::fs::atomic::{self, Durable};
use crate::fs::path_error::{if_exists, is_system_error};
use crate::fs::{server_packages, systemd};
use crate::pool::{Pool, layout, record};
use calls::Call;

/// The directory whose `*.exports` files exportfs(8) reads.
const EXPORTS_D: &str = "/etc/exports.d";
/// The table of current exports that exportfs(8) writes.
const ETAB: &str = "/var/lib/nfs/etab";

/// The maximum number of messages of exportfs(8) that are passed on: if a pool is not mounted, there are thousands.
const MOST_LINES: usize = 10;

/// The unit, in every distribution.
pub const UNIT: &str = "nfs-server.service";

/// Returns the pool's exports file as last published; empty if it does not exist.
///
/// # Errors
/// When it cannot be read. A [`Failure`] if it is damaged: `netbe publish` rewrites it.
pub fn read(pool: &Pool) -> Result<String> {
    match record::read(&published(pool)) {
        Ok(text) => Ok(text.unwrap_or_default()),
        Err(e) if is_system_error(&e) => Err(e).context("reading the exports"),
        Err(e) => Err(Failure::failed(format!("the exports cannot be read: {e}"))
            .hint("netbe publish")
            .into()),
    }
}

/// Returns the lines that export what is in a directory: those that were published last, else those that the server reads.
pub(super) fn lines_to_keep(pool: &Pool, published: &str, dir: &Path) -> Vec<String> {
    let lines = exports::below(published, dir);
    if !lines.is_empty() {
        return lines;
    }
    let installed = installed(pool).and_then(|path| Ok(std::fs::read_to_string(path)?));
    installed.map_or_else(|_| Vec::new(), |text| exports::below(&text, dir))
}

/// Updates the pool's exports file, its installed copy and the server to `text`.
pub fn bring_up_to_date(run: &mut Publishing<'_>, text: &str) -> Result<()> {
    // One that cannot be read is rewritten.
    let old = read(run.pool).ok();
    if old.as_deref() == Some("") && exports::paths(text).is_empty() {
        return Ok(());
    }
    if old.as_deref() != Some(text) {
        run.write(&published(run.pool), text)?;
    }
    let Some(exportfs) = exportfs() else {
        if !exports::paths(text).is_empty() {
            run.warn(format!(
                "this machine has no NFS server (no exportfs): nodes cannot mount their roots; {}, then netbe publish",
                server_packages::install("exportfs")
            ));
        }
        return Ok(());
    };
    let installed = installed(run.pool)?;
    let now = std::fs::read_to_string(&installed).ok();
    let installed_is_old =
        now.as_deref() != Some(text) && !(now.is_none() && exports::paths(text).is_empty());
    if !installed_is_old && unknown(&exports::paths(text))?.is_none() {
        return Ok(());
    }
    if installed_is_old {
        run.done
            .steps
            .push(format!("write {}", installed.display()));
    }
    let calls = match &now {
        // Exports that the server has lost are restored only by `exportfs -ra`.
        Some(now) if installed_is_old && unknown(&exports::paths(now))?.is_none() => {
            calls::calls(now, text)
        }
        _ => None,
    };
    match &calls {
        Some(calls) => {
            let steps = calls.iter().map(|call| call.step.clone());
            run.done.steps.extend(steps);
        }
        None => run.done.steps.push("run exportfs -ra".to_string()),
    }
    if run.writes {
        atomic::directories(Path::new(EXPORTS_D))?;
        if installed_is_old {
            atomic::file(&installed, text.as_bytes(), Durable::AtOnce)?;
        }
        let singly = match calls {
            Some(calls) => export_singly(exportfs, &calls)?,
            None => None,
        };
        match singly {
            Some(messages) if unknown(&exports::paths(text))?.is_none() => {
                run.done.warnings.extend(messages);
            }
            _ => export_all(exportfs, &mut run.done)?,
        }
        warn_if_it_stands(&mut run.done);
    }
    Ok(())
}

/// Fails if the server does not export these lines; without a server nothing is missing.
pub fn ensure_known(lines: &[exports::Line], done: &Published) -> Result<()> {
    let paths: Vec<String> = lines.iter().map(|l| l.path.clone()).collect();
    if exportfs().is_none() {
        return Ok(());
    }
    match unknown(&paths)? {
        None => Ok(()),
        Some(path) => bail!(
            "the NFS server does not export {path}: it is not in {ETAB} after exportfs; {}",
            done.warnings.join("; ")
        ),
    }
}

/// Returns the first path that the server does not export; `exportfs -ua` and some restarts clear its table.
fn unknown(paths: &[String]) -> Result<Option<&String>> {
    let etab = if_exists(std::fs::read_to_string(ETAB)).context(ETAB)?;
    let etab = etab.unwrap_or_default();
    let known: HashSet<&str> = etab
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    Ok(paths.iter().find(|path| !known.contains(path.as_str())))
}

/// Makes the calls, and returns their messages; `None` as soon as one fails.
fn export_singly(exportfs: &Path, calls: &[Call]) -> Result<Option<Vec<String>>> {
    let mut all = Vec::new();
    for call in calls {
        let output = Command::new(exportfs)
            .args(&call.arguments)
            .output()
            .context("running exportfs")?;
        if !output.status.success() {
            return Ok(None);
        }
        all.extend(messages(&String::from_utf8_lossy(&output.stderr)));
    }
    Ok(Some(all))
}

fn export_all(exportfs: &Path, done: &mut Published) -> Result<()> {
    let output = Command::new(exportfs)
        .arg("-ra")
        .output()
        .context("running exportfs -ra")?;
    done.warnings
        .extend(messages(&String::from_utf8_lossy(&output.stderr)));
    Ok(())
}

/// Warns if the NFS server does not run, which is no error for exportfs(8).
fn warn_if_it_stands(done: &mut Published) {
    if systemd::is_running() && !systemd::unit_is("is-active", UNIT) {
        done.warnings.push(format!(
            "the NFS server does not run: systemctl enable --now {UNIT}"
        ));
    }
}

/// Returns the lines that exportfs(8) wrote on stderr, unchanged, each once.
fn messages(stderr: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut seen = HashSet::new();
    for line in stderr.lines().map(str::trim_end) {
        if !line.is_empty() && seen.insert(line) {
            lines.push(line.to_string());
        }
    }
    if lines.len() > MOST_LINES {
        let more = lines.split_off(MOST_LINES).len();
        lines.push(format!(
            "exportfs: {more} lines more; exportfs -ra shows all"
        ));
    }
    lines
}

/// Returns whether this machine has an NFS server.
pub fn is_installed() -> bool {
    exportfs().is_some()
}

/// Returns the path of the pool's own copy.
fn published(pool: &Pool) -> PathBuf {
    layout::publish(pool.state()).join("exports")
}

/// Returns the file under `/etc/exports.d` that is this pool's.
///
/// A second pool on one machine uses another name: overwriting the first pool's file would unexport the root of every
/// machine that runs from it.
///
/// # Errors
/// When the owner of a file cannot be determined.
fn installed(pool: &Pool) -> Result<PathBuf> {
    let usual = Path::new(EXPORTS_D).join("netbe.exports");
    let theirs = if_exists(std::fs::read(&usual)).with_context(|| usual.display().to_string())?;
    let Some(theirs) = theirs else {
        return Ok(usual);
    };
    if exports::pool_of(&String::from_utf8_lossy(&theirs)) == Some(pool.record().uuid.as_str()) {
        return Ok(usual);
    }
    let short = pool.record().uuid.get(..8).unwrap_or("other");
    Ok(Path::new(EXPORTS_D).join(format!("netbe-{short}.exports")))
}

/// Returns the path of exportfs(8), from fixed directories: the caller's `PATH` is not trusted.
fn exportfs() -> Option<&'static Path> {
    ["/usr/sbin/exportfs", "/sbin/exportfs"]
        .into_iter()
        .map(Path::new)
        .find(|p| p.exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_exportfs_are_passed_on_once_and_bounded() {
        assert!(messages("\n\n").is_empty());
        let gone = "exportfs: Failed to stat /srv/gone: No such file or directory";
        assert_eq!(messages(&format!("{gone}\n{gone}\n\n")), [gone]);
        let many: String = (0..1000)
            .map(|n| format!("exportfs: Failed to stat /srv/{n}: No such file or directory\n"))
            .collect();
        let passed_on = messages(&many);
        assert_eq!(passed_on.len(), MOST_LINES + 1);
        assert_eq!(
            passed_on[MOST_LINES],
            "exportfs: 990 lines more; exportfs -ra shows all"
        );
    }
}
