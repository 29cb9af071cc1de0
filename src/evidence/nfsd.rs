//! The exports that the kernel NFS server has in use, by its tables.
//!
//! `/proc/net/rpc/nfsd.export/content` has a line for each pair of an export and a client: entries are made by use and
//! expire after half an hour without (fs/nfsd/export.c, mountd(8) `--ttl`). So an entry is evidence of use, and a
//! missing entry is no evidence. Changes only this cache.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::fs::octal;
use crate::fs::path_error::if_exists;

const TABLE: &str = "/proc/net/rpc/nfsd.export/content";

/// Writing a number here makes the kernel drop all entries; those in use come back. `exportfs -f` and `exportfs -ra` do
/// so too.
const FLUSH: &str = "/proc/net/rpc/nfsd.export/flush";

/// How long the read table is cached: a list reads it for a thousand nodes.
const FRESH: Duration = Duration::from_millis(500);

/// How long an entry in use may take to come back after it was dropped.
const BACK: Duration = Duration::from_secs(5);

/// How old the table may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// At most half a second: for showing it.
    Recent,
    /// Read now: for what cannot be undone.
    Now,
}

/// The exports in use, sorted, and when they were read.
static READ: Mutex<Option<(Instant, Arc<Vec<PathBuf>>)>> = Mutex::new(None);

/// Returns the exports below a directory that are in use; none without an NFS server.
///
/// # Errors
/// When the table exists and cannot be read.
pub(super) fn in_use_below(dir: &Path, look: Look) -> io::Result<Vec<PathBuf>> {
    let all = in_use(look)?;
    let first = all.partition_point(|path| path.as_path() < dir);
    Ok(all[first..]
        .iter()
        .take_while(|path| path.starts_with(dir))
        .cloned()
        .collect())
}

/// Returns whether an NFS server runs on this machine.
pub fn is_there() -> bool {
    table().exists()
}

/// Makes the NFS server drop its entries: later entries are evidence of use after this.
///
/// # Errors
/// When that fails.
pub fn forget() -> io::Result<()> {
    if !is_there() {
        return Ok(());
    }
    // Older kernels drop the entries up to this time, newer ones all.
    let now = format!("{}\n", jiff::Timestamp::now().as_second());
    let mut file = std::fs::OpenOptions::new().write(true).open(flush())?;
    file.write_all(now.as_bytes())
}

/// Returns whether an entry below a directory is of current use: drops the entries, and waits for them to come back.
///
/// The entry of an idle machine need not come back: a missing entry is no evidence.
///
/// # Errors
/// When it cannot be determined.
pub(super) fn comes_back(dir: &Path) -> io::Result<bool> {
    forget()?;
    let until = Instant::now() + BACK;
    while Instant::now() < until {
        std::thread::sleep(Duration::from_millis(200));
        if !in_use_below(dir, Look::Now)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn in_use(look: Look) -> io::Result<Arc<Vec<PathBuf>>> {
    // The value is complete even if a thread panicked.
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((when, paths)) = &*read
        && look == Look::Recent
        && when.elapsed() < FRESH
    {
        return Ok(Arc::clone(paths));
    }
    let table = if_exists(std::fs::read_to_string(table()))?;
    let mut paths = table.map_or(Vec::new(), |text| parse(&text));
    paths.sort();
    let paths = Arc::new(paths);
    *read = Some((Instant::now(), Arc::clone(&paths)));
    Ok(paths)
}

fn table() -> PathBuf {
    stand_in("content").unwrap_or_else(|| PathBuf::from(TABLE))
}

fn flush() -> PathBuf {
    stand_in("flush").unwrap_or_else(|| PathBuf::from(FLUSH))
}

/// Returns a file of a directory that replaces the kernel's in tests.
fn stand_in(name: &str) -> Option<PathBuf> {
    match cfg!(debug_assertions) {
        true => std::env::var_os("NETBE_TEST_NFSD").map(|dir| PathBuf::from(dir).join(name)),
        false => None,
    }
}

/// Returns the paths with live entries in a table.
///
/// The kernel comments out what has expired or was denied.
fn parse(text: &str) -> Vec<PathBuf> {
    text.lines()
        .filter(|line| line.starts_with('/'))
        .filter_map(|line| {
            let (path, client) = line.split_once('\t')?;
            client.contains('(').then(|| octal::path(path))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_entries_only() {
        let text = "#path domain(flags)\n\
            # /srv/netbe/nodes/nog/envs/old/root\t10.0.0.5(rw,no_root_squash)\n\
            /srv/netbe/nodes/nog/envs/a/root\t10.0.0.5(rw,no_root_squash,sync,uuid=1:2:3:4)\n\
            /srv/a\\040b\t10.0.0.0/24(rw)\n\
            /srv/denied\t10.0.0.9\n";
        assert_eq!(
            parse(text),
            [
                PathBuf::from("/srv/netbe/nodes/nog/envs/a/root"),
                PathBuf::from("/srv/a b")
            ]
        );
        assert!(parse("").is_empty() && parse("garbage\n\u{0}").is_empty());
    }
}
