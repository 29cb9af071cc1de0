//! Keeps an upgrade from starting services, which would run on the server.
//!
//! `policy-rc.d` and `SYSTEMD_OFFLINE` forbid it to package scripts. For scripts that heed neither, programs of the same
//! name come first in `PATH`; they are not mounted over the real ones, because a package that replaces one of those by
//! a rename would fail. A service that starts anyway cannot use ports below 1024, and is killed with the sandbox.

use super::masks::{self, PLACES};
use super::protocol::StandIn;
use crate::fs::rooted::Tree;

/// Debian's `invoke-rc.d` calls this before it starts or stops a service; 101 is "not allowed".
pub(super) const POLICY: &str = "usr/sbin/policy-rc.d";
/// It has a unique line, by which it is distinguished from a file that a package script writes.
pub(super) const FORBID_ALL: &str =
    "#!/bin/sh\n# netbe's, for as long as a program runs in this environment\nexit 101\n";

/// Directory of the masks; `/run` is the sandbox's own.
pub(super) const MASKS: &str = "/run/netbe/bin";
/// apt sets a `PATH` for dpkg, without the masks; an empty value leaves `PATH` unchanged.
const APT: &str = "/run/netbe/apt.conf";
const KEEP_PATH: &str = "DPkg::Path \"\";\n";

/// Download directory of packages, where the caller supplies one.
pub(super) const PACKAGES: &str = "run/netbe/packages";

/// Files in which systemd's tools look up the type of container; hooks of boot loaders do nothing in any container.
const CONTAINER: &[&str] = &["run/host/container-manager", "run/systemd/container"];

/// Variables for systemd's tools, and to find the files above.
pub(super) const VARIABLES: &[(&str, &str)] = &[
    // Set by container managers, and read by programs (systemd.io, "Container Interface").
    ("container", "netbe"),
    // systemctl, systemd-sysusers and others: act on files only.
    ("SYSTEMD_OFFLINE", "1"),
    // Read before the system's own configuration, which may override it.
    ("APT_CONFIG", APT),
];

/// Returns the files beneath `/run` of every sandbox.
pub(super) fn files(tree: &Tree, has_package_dir: bool) -> Vec<StandIn> {
    let fresh = |path: &str, content: &str, mode| StandIn {
        path: path.trim_start_matches('/').to_string(),
        content: content.to_string(),
        mode,
    };
    let has = |name: &str| {
        let is_there =
            |place: &&str| matches!(tree.metadata(&format!("{place}/{name}")), Ok(Some(_)));
        PLACES.iter().any(is_there)
    };
    let mut files: Vec<StandIn> = masks::MASKS
        .iter()
        .filter(|mask| !mask.stands_before || has(mask.name))
        .map(|mask| fresh(&format!("{MASKS}/{}", mask.name), &mask.text(), 0o755))
        .collect();
    files.extend(CONTAINER.iter().map(|path| fresh(path, "netbe\n", 0o644)));
    let archives = format!("Dir::Cache::Archives \"/{PACKAGES}/\";\n");
    let apt = match has_package_dir {
        true => format!("{KEEP_PATH}{archives}"),
        false => KEEP_PATH.to_string(),
    };
    files.push(fresh(APT, &apt, 0o644));
    files
}
