//! What is missing of a pool's services that were installed once, for `check`.
//!
//! Looks, and changes nothing. Not for putting it right: the same `init --services` again does that.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::units::{TFTP, TIMER, WRITTEN, is_optional, is_wanted, units};
use crate::pool::Pool;
use crate::publish::dnsmasq::daemon::{self, Installed};
use crate::publish::tftp_port::{self, Holder};
use crate::serve;

/// Returns what is missing of a pool's services that are installed in part, a sentence each; nothing where
/// none is.
pub fn sentences(pool: &Pool) -> Result<Vec<String>> {
    let dir = pool.root();
    let included = daemon::installed(pool);
    let mut found = Vec::new();
    let mut units_there = false;
    for (path, text) in units(dir, pool.states())? {
        let unit = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let now = fs::read_to_string(&path).ok();
        let first = now.as_deref().and_then(|t| t.lines().next());
        units_there |= first.and_then(|l| l.strip_prefix(WRITTEN)).map(Path::new) == Some(dir);
        match now {
            None if is_optional(&unit) => {}
            None => found.push(format!("{unit} is missing")),
            Some(now) if now != text => {
                found.push(format!("{} is not as this netbe writes it", path.display()));
            }
            Some(_) if is_optional(&unit) => {}
            Some(_) if !is_wanted(&unit) => found.push(format!("{unit} is not enabled")),
            Some(_) if [TIMER, TFTP].contains(&unit.as_str()) && stands_still(&unit) => {
                found.push(format!("{unit} does not run, see journalctl -u {unit}"));
            }
            Some(_) => {}
        }
    }
    if included == Installed::No && daemon::program().is_some() {
        found.push(format!("{} is missing", daemon::LINE_FILE));
    }
    if included == Installed::Ours && stands_still(daemon::UNIT) {
        found.push(format!(
            "{0} does not run, see journalctl -u {0}",
            daemon::UNIT
        ));
    }
    found.extend(at_port());
    // On a machine that never had systemd there are no units to miss.
    let without_systemd = !daemon::systemd_runs() && !units_there;
    match (included, units_there) {
        (Installed::Ours, _) if !without_systemd => Ok(found),
        (_, true) => Ok(found),
        _ => Ok(Vec::new()),
    }
}

/// Returns what is wrong with who answers TFTP; other servers than these two are somebody's choice.
fn at_port() -> Option<String> {
    match tftp_port::holder(serve::PORT) {
        Holder::Nobody => Some(format!("nothing answers TFTP, at UDP port {}", serve::PORT)),
        Holder::Program(name) if name == "dnsmasq" => Some(
            "dnsmasq answers TFTP, by an older configuration or one that is not netbe's (enable-tftp)".to_string(),
        ),
        _ => None,
    }
}

fn stands_still(unit: &str) -> bool {
    daemon::systemd_runs() && !daemon::unit_is("is-active", unit)
}
