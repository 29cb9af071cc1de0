//! zypper: the full upgrade, of openSUSE.
//!
//! What is installed is rpm's to say, what is offered [`super::rpm_md`]'s.

use super::step::{CACHE, FETCHING, LISTS, PACKAGES, Step};

/// Where zypper is told to keep packages, beneath the directory for packages.
pub(super) const DIR: &str = "zypp";

/// How many seconds to wait for another one's lock.
const SUSE_ENV: &[(&str, &str)] = &[("ZYPP_LOCK_TIMEOUT", "120")];

/// zypper(8), "EXIT CODES": to be restarted is the machine (102), or zypper itself (103); a script of a
/// package failed (107), which dnf, too, only tells of. A repository that was left out (106) is none of
/// them: nobody knows what did not come.
const SUSE_DONE: &[(i32, &str)] = &[
    // What is upgraded is booted anyway.
    (102, ""),
    (
        103,
        "zypper was upgraded itself, and asks to be run once more: upgrade the new environment again",
    ),
    (
        107,
        "the script of a package failed; which, is in what it said",
    ),
];

/// Returns the commands of the full upgrade.
pub(super) fn full_upgrade() -> Vec<Step> {
    vec![zypper(LISTS, &["refresh"]), upgrade(PACKAGES, &[])]
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

/// Returns what downloads the packages of a full upgrade, and no more.
pub(super) fn fetch() -> Step {
    upgrade(FETCHING, &["--download-only"])
}
