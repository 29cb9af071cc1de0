//! Keeping an upgrade from starting services: they would run on the server, and serve from there.
//!
//! Asked politely by `policy-rc.d` and `SYSTEMD_OFFLINE`; for scripts that ask neither, the programs they
//! call are masked by others of that name, earlier in `PATH`. Not mounted over the real ones: a package
//! that replaces one of those by a rename would fail. Whatever is started all the same ends with the
//! sandbox, and without the ports below 1024.

use super::mountpoints::{MountPoints, Place};
use super::protocol::StandIn;
use crate::fs::rooted::Tree;

/// Debian's `invoke-rc.d` asks this before it starts or stops a service; 101 is "not allowed".
const POLICY: &str = "usr/sbin/policy-rc.d";
const FORBID_ALL: &str = "#!/bin/sh\nexit 101\n";

/// Where the masks are; `/run` is the sandbox's own.
pub(super) const MASKS: &str = "/run/netbe/bin";
/// What starts services without asking anybody: init scripts by `service`, theirs and others' daemons,
/// OpenRC's and Upstart's ways.
const MASKED: &[&str] = &["initctl", "rc-service", "service", "start-stop-daemon"];
/// As if it had been done: scripts of packages end with the status of this.
const MASK: &str = "#!/bin/sh\nexit 0\n";

/// apt gives dpkg a `PATH` of its own, in which the masks were missing; an empty one leaves it alone.
const APT: &str = "/run/netbe/apt.conf";
const KEEP_PATH: &str = "DPkg::Path \"\";\n";

/// Where packages are downloaded to, where that is not left to the environment.
pub(super) const PACKAGES: &str = "run/netbe/packages";

/// The variables that go with the files: those of systemd's tools, and those that find ours.
pub(super) const VARIABLES: &[(&str, &str)] = &[
    // systemctl, systemd-sysusers and others: act on files only.
    ("SYSTEMD_OFFLINE", "1"),
    // Read before the system's own configuration, which can still say otherwise.
    ("APT_CONFIG", APT),
];

/// Returns the files that stand in, for this environment.
pub(super) fn stand_ins(
    tree: &Tree,
    places: &mut MountPoints<'_>,
    packages_apart: bool,
) -> anyhow::Result<Vec<StandIn>> {
    let fresh = |path: &str, content: &str, mode| StandIn {
        place: Place::Fresh(path.trim_start_matches('/').to_string()),
        content: content.to_string(),
        mode,
    };
    let mut files: Vec<StandIn> = MASKED
        .iter()
        .map(|name| fresh(&format!("{MASKS}/{name}"), MASK, 0o755))
        .collect();
    let archives = format!("Dir::Cache::Archives \"/{PACKAGES}/\";\n");
    let apt = match packages_apart {
        true => format!("{KEEP_PATH}{archives}"),
        false => KEEP_PATH.to_string(),
    };
    files.push(fresh(APT, &apt, 0o644));
    if tree.metadata("var/lib/dpkg")?.is_some() {
        files.push(StandIn {
            place: places.place(POLICY)?,
            content: FORBID_ALL.to_string(),
            mode: 0o755,
        });
    }
    Ok(files)
}
