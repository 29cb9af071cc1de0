//! zypper: the full upgrade of openSUSE.
//!
//! Installed packages are read from rpm's database, available ones by [`super::rpm_md`].

use super::step::{CACHE, FETCHING, LISTS, PACKAGES, Step, installing, removing};

/// zypper's cache in the download directory.
pub(super) const DIR: &str = "zypp";

/// Seconds to wait for the lock.
const SUSE_ENV: &[(&str, &str)] = &[("ZYPP_LOCK_TIMEOUT", "120")];

/// zypper(8), "EXIT CODES": a restart of the machine (102) or of zypper (103) is needed; a package script failed
/// (107), which dnf only reports too. A skipped repository (106) is an error: its packages are missing.
const SUSE_DONE: &[(i32, &str)] = &[
    // The upgraded system is booted anyway.
    (102, ""),
    (
        103,
        "zypper was upgraded itself, and asks to be run once more: upgrade the new environment again",
    ),
    (
        107,
        "the script of a package failed; zypper's output names the package",
    ),
];

/// Returns the commands of the full upgrade.
pub(super) fn full_upgrade() -> Vec<Step> {
    vec![zypper(LISTS, &["refresh"]), upgrade(PACKAGES, &[])]
}

/// Returns the commands that install and remove packages.
pub(super) fn install_and_remove(added: &[String], removed: &[String]) -> Vec<Step> {
    vec![
        zypper(LISTS, &["refresh"]),
        removing(zypper, &["remove"], removed),
        installing(zypper, &["install", "--auto-agree-with-licenses"], added),
    ]
}

fn zypper(what: &'static str, arguments: &[&str]) -> Step {
    let cache = format!("{CACHE}/{DIR}");
    let words = ["zypper", "--non-interactive", "--pkg-cache-dir", &cache];
    Step::new(what, &[&words[..], arguments].concat(), SUSE_ENV)
}

fn upgrade(what: &'static str, more: &[&str]) -> Step {
    let upgrade = ["--no-refresh", "dist-upgrade", "--auto-agree-with-licenses"];
    let mut upgrade = zypper(what, &[&upgrade[..], more].concat());
    upgrade.also_done = SUSE_DONE;
    upgrade
}

/// Returns the command that only downloads the packages of a full upgrade.
pub(super) fn fetch() -> Step {
    upgrade(FETCHING, &["--download-only"])
}
