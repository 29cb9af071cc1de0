//! dnf: the full upgrade of Fedora and similar.
//!
//! Installed packages are read from rpm's database, available ones by [`super::rpm_md`].

use super::step::{CACHE, FETCHING, LISTS, PACKAGES, Step, installing, removing};

/// dnf's cache in the download directory.
pub(super) const DIR: &str = "dnf";

/// Returns the commands of the full upgrade.
pub(super) fn full_upgrade() -> Vec<Step> {
    // dnf waits for locks by itself, and fails if an index cannot be fetched, unless the repository has
    // `skip_if_unavailable`.
    vec![
        dnf(LISTS, &["--refresh", "makecache"]),
        dnf(PACKAGES, &["upgrade"]),
    ]
}

/// Returns the commands that install and remove packages.
pub(super) fn install_and_remove(added: &[String], removed: &[String]) -> Vec<Step> {
    vec![
        removing(dnf, &["remove"], removed),
        installing(dnf, &["install"], added),
    ]
}

fn dnf(what: &'static str, arguments: &[&str]) -> Step {
    let cache = format!("{CACHE}/{DIR}");
    // Version 5 has another name for root's cache. Packages are kept during the upgrade, and indexes fetched in a
    // format that netbe reads.
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

/// Returns the command that only downloads the packages of a full upgrade.
pub(super) fn fetch() -> Step {
    dnf(FETCHING, &["upgrade", "--downloadonly"])
}
