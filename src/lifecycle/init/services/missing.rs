//! Missing parts of a pool's installed services, for `check`.
//!
//! Reads only. Not for the repair: `init --services` again does that.

use std::fs;

use anyhow::Result;

use super::installed_units::served;
use super::units::{TFTP, TIMER, UNITS, is_optional, is_wanted, units, written_for};
use crate::fs::systemd;
use crate::pool::{Node, Pool};
use crate::publish::dnsmasq::daemon;
use crate::publish::dnsmasq::inclusion::{self, Installed};
use crate::publish::port_holder::{self, Holder};
use crate::serve;

/// Returns the missing parts of a pool's services, a sentence each; none if no service is installed.
pub fn sentences(pool: &Pool) -> Result<Vec<String>> {
    let dir = pool.root();
    let inclusion = inclusion::find(pool.state());
    let included = inclusion.installed;
    let mut found = Vec::new();
    let mut units_there = false;
    for unit in units(&served(dir, pool.states())?, pool.states())? {
        let name = unit.name;
        if let Some(hiding) = unit.hiding().filter(|path| path.symlink_metadata().is_ok()) {
            let text = fs::read_to_string(&hiding).unwrap_or_default();
            units_there |= written_for(&text).is_some();
            found.push(format!("{} hides the package's", hiding.display()));
            continue;
        }
        if let Some((path, text)) = &unit.file {
            let now = fs::read_to_string(path).ok();
            units_there |= now.as_deref().is_some_and(|t| written_for(t).is_some());
            match now {
                None if is_optional(name) => continue,
                None => {
                    let path = path.strip_prefix(UNITS).unwrap_or(path);
                    found.push(format!("{} is missing", path.display()));
                    continue;
                }
                Some(now) if now != *text => {
                    found.push(format!(
                        "{} differs from what this netbe writes",
                        path.display()
                    ));
                    continue;
                }
                Some(_) => {}
            }
        }
        if is_optional(name) {
            continue;
        }
        if !is_wanted(name) {
            found.push(format!("{name} is not enabled"));
        } else if [TIMER, TFTP].contains(&name) && stands_still(name) {
            found.push(format!("{name} does not run, see journalctl -u {name}"));
        }
    }
    // A second pool need not have machines.
    let is_asked_for = || {
        inclusion.first.is_none()
            || pool
                .nodes()
                .is_ok_and(|all| all.iter().any(Node::is_offered))
    };
    if included == Installed::No && daemon::program().is_some() && is_asked_for() {
        found.push(format!("{} is missing", inclusion.file.display()));
    }
    if included == Installed::Ours && stands_still(daemon::UNIT) {
        found.push(format!(
            "{0} does not run, see journalctl -u {0}",
            daemon::UNIT
        ));
    }
    found.extend(at_port());
    // On a machine that never had systemd there are no units to miss.
    let without_systemd = !systemd::is_running() && !units_there;
    match (included, units_there) {
        (Installed::Ours, _) if !without_systemd => Ok(found),
        (_, true) => Ok(found),
        // A system that is only being made serves nobody yet.
        (Installed::Ours, _) if !systemd::is_installed() => Ok(at_port().into_iter().collect()),
        _ => Ok(Vec::new()),
    }
}

/// Returns what is wrong at the TFTP port; a server other than netbe and dnsmasq is the administrator's choice.
fn at_port() -> Option<String> {
    match port_holder::of_udp(serve::PORT) {
        Holder::None => Some(format!("no TFTP server listens on UDP port {}", serve::PORT)),
        Holder::Program(name) if name == "dnsmasq" => Some(
            "dnsmasq serves TFTP, by an older configuration or one that is not netbe's (enable-tftp)".to_string(),
        ),
        _ => None,
    }
}

fn stands_still(unit: &str) -> bool {
    systemd::is_running() && !systemd::unit_is("is-active", unit)
}
