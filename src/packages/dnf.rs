//! dnf: the full upgrade, of Fedora and its like.
//!
//! What is installed is rpm's to say, what is offered [`super::rpm_md`]'s.

use super::step::{CACHE, FETCHING, LISTS, PACKAGES, Step};

/// Where dnf is told to keep what it fetches, beneath the directory for packages.
pub(super) const DIR: &str = "dnf";

/// Returns the commands of the full upgrade.
pub(super) fn full_upgrade() -> Vec<Step> {
    // It waits for locks by itself. Lists that cannot be fetched end it, unless their own
    // `skip_if_unavailable` says otherwise.
    vec![
        dnf(LISTS, &["--refresh", "makecache"]),
        dnf(PACKAGES, &["upgrade"]),
    ]
}

fn dnf(what: &'static str, arguments: &[&str]) -> Step {
    let cache = format!("{CACHE}/{DIR}");
    // Version 5 has another name for root's. Packages are kept as long as the upgrade runs; lists come in a form
    // that can be read by others, too.
    let settings = [
        format!("--setopt=cachedir={cache}"),
        format!("--setopt=system_cachedir={cache}"),
        "--setopt=keepcache=1".to_string(),
        "--setopt=zchunk=0".to_string(),
    ];
    let mut words = vec!["dnf", "-y"];
    words.extend(settings.iter().map(String::as_str));
    Step::new(what, &[&words[..], arguments].concat(), &[])
}

/// Returns what downloads the packages of a full upgrade, and no more.
pub(super) fn fetch() -> Step {
    dnf(FETCHING, &["upgrade", "--downloadonly"])
}
