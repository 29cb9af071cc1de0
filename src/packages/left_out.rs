//! Files that a run of an upgrade may write even if it upgrades nothing: caches, logs, lists and locks.
//!
//! Paths in, answers out. The manual of `upgrade` has the list. Package databases are not in it: an upgrade that only finishes
//! the configuration of a package changes its database, but no version.

use std::path::Path;

/// Paths of the root half that do not count, with everything below them. `*` matches any end of a name.
pub const LEFT_OUT: &[&str] = &[
    // Mount points of the sandbox.
    "dev",
    "proc",
    "run",
    "sys",
    "tmp",
    "var/lock",
    "var/run",
    "var/tmp",
    // All systems.
    "root/.cache",
    "var/cache",
    "var/log",
    // apt and dpkg.
    "var/lib/apt/daily_lock",
    "var/lib/apt/lists",
    "var/lib/apt/periodic",
    "var/lib/dpkg/*-old",
    "var/lib/dpkg/lock*",
    "var/lib/dpkg/triggers/Lock",
    // Files that apt's hooks generate from its lists.
    "var/lib/app-info",
    "var/lib/apt-xapian-index",
    "var/lib/command-not-found",
    "var/lib/PackageKit",
    "var/lib/swcatalog",
    "var/lib/ubuntu-advantage",
    "var/lib/update-notifier",
    // pacman, dnf, zypper, rpm and apk.
    "lib/apk/db/lock",
    "usr/lib/apk/db/lock",
    "usr/lib/sysimage/libdnf5",
    "usr/lib/sysimage/rpm/*-shm",
    "usr/lib/sysimage/rpm/*-wal",
    "usr/lib/sysimage/rpm/.rpm.lock",
    "usr/lib/sysimage/rpm/__db.*",
    "var/lib/dnf",
    "var/lib/pacman/sync",
    "var/lib/rpm/*-shm",
    "var/lib/rpm/*-wal",
    "var/lib/rpm/.rpm.lock",
    "var/lib/rpm/__db.*",
    "var/lib/zypp/AnonymousUniqueId",
    // It has the time of its writing; the rest of it changes only with the packages.
    "var/lib/zypp/AutoInstalled",
    "var/lib/zypp/LastDistributionFlavor",
];

/// Python's directories of compiled programs, at any path.
pub const OF_PYTHON: &str = "__pycache__";

/// Returns whether a path of the root half does not count.
pub fn is_left_out(path: &Path) -> bool {
    path.iter().any(|part| part == OF_PYTHON)
        || LEFT_OUT.iter().any(|pattern| is_beneath(path, pattern))
}

/// Returns whether a path may have paths below it that do not count.
pub fn leads_to_left_out(path: &Path) -> bool {
    LEFT_OUT
        .iter()
        .any(|pattern| Path::new(pattern).starts_with(path))
}

/// Returns whether a path or a parent of it matches a pattern; `*` in the pattern's last name matches any end.
pub fn is_beneath(path: &Path, pattern: &str) -> bool {
    let (directory, name) = pattern.rsplit_once('/').unwrap_or(("", pattern));
    let Some((begins, ends)) = name.split_once('*') else {
        return path.starts_with(pattern);
    };
    let Ok(rest) = path.strip_prefix(directory) else {
        return false;
    };
    let first = rest.iter().next().and_then(|name| name.to_str());
    first.is_some_and(|name| {
        name.len() >= begins.len() + ends.len() && name.starts_with(begins) && name.ends_with(ends)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caches_logs_and_lists_do_not_count_and_package_states_do() {
        for (path, want) in [
            ("var/cache/apt/pkgcache.bin", true),
            ("var/cache", true),
            ("var/cached", false),
            ("var/log/dpkg.log", true),
            ("var/lib/apt/lists/partial/x", true),
            ("var/lib/apt/extended_states", false),
            ("var/lib/dpkg/status", false),
            ("var/lib/dpkg/status-old", true),
            ("var/lib/dpkg/lock-frontend", true),
            ("var/lib/dpkg/info/x.list", false),
            ("var/lib/pacman/sync/core.db", true),
            ("var/lib/pacman/local/a-1-1/desc", false),
            ("lib/apk/db/installed", false),
            ("var/lib/rpm/rpmdb.sqlite", false),
            ("var/lib/rpm/rpmdb.sqlite-wal", true),
            ("usr/lib/sysimage/rpm/__db.001", true),
            ("usr/lib/python3/x/__pycache__/a.pyc", true),
            ("usr/lib/python3/x/a.py", false),
            ("etc/half.done", false),
            ("tmp/x", true),
            ("tmpfile", false),
        ] {
            assert_eq!(is_left_out(Path::new(path)), want, "{path}");
        }
        assert!(leads_to_left_out(Path::new("var/lib/apt")));
        assert!(!leads_to_left_out(Path::new("etc")));
    }
}
