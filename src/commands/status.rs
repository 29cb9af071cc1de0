//! `netbe status`

use anyhow::Result;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::complete;
use super::session::Session;
use crate::lifecycle::{behind_template, check, status};
use crate::output::{self, json};
use crate::pool::NodeName;
use crate::pool::pattern::Named;

/// Show what nodes boot and run, and problems
///
/// A node is known to run an environment by its own report, written to that environment's root over NFS, or by the NFS
/// server's tables. A transfer proves nothing: any host on the network can fetch boot files. An environment that was
/// fetched, or that a TFTP name led to, may be running until the node is known to have run another one afterwards: by the
/// report of a new boot, or, if only one address may mount the node's environments, by the NFS server having had only that
/// other one in use for more than an hour (netbe-reconcile checks this).
///
/// status names what a node has written in the environment that it runs and that is missing in the one it boots next:
/// outside caches, logs, temporary files and what every boot writes, as of the filesystem's last commit, at most half a
/// minute ago. After the reboot it names what was left behind in the previous environment.
///
/// A node is behind its template if the template's active environment is newer than the one that the node's next
/// environment was made from. The command that brings it up to date is printed.
///
/// The data of a node (netbe-set) does not count: it is the same in every environment. Files that the node wrote at the
/// path of its data after the data was copied and before its next boot are named as well, with the command that brings
/// them into the data.
///
/// Files that every boot writes, and backup copies that tools make, do not count: /var/lib/netbe/booted, /etc/*.swp,
/// /etc/*~, /etc/.pwd.lock, /etc/adjtime, /etc/fake-hwclock.data, /etc/group-, /etc/gshadow-, /etc/mtab, /etc/passwd-,
/// /etc/shadow-, /etc/subgid-, /etc/subuid-, /var/backups/*.0, /var/backups/*.gz, /var/lib/NetworkManager/*.lease,
/// /var/lib/NetworkManager/seen-bssids, /var/lib/NetworkManager/timestamps, /var/lib/chrony, /var/lib/dhclient,
/// /var/lib/dhcp, /var/lib/dhcpcd, /var/lib/fake-hwclock, /var/lib/logrotate, /var/lib/mlocate, /var/lib/ntp,
/// /var/lib/ntpsec, /var/lib/plocate, /var/lib/private/systemd/timesync, /var/lib/seedrng, /var/lib/systemd/backlight,
/// /var/lib/systemd/coredump, /var/lib/systemd/credential.secret, /var/lib/systemd/random-seed,
/// /var/lib/systemd/rfkill, /var/lib/systemd/timers, /var/lib/systemd/timesync, /var/lib/urandom, /var/spool/anacron.
/// Neither do the paths that netbe-upgrade lists, nor /home/NAME/.cache.
///
/// A node's address is known with ip=dhcp,ADDR or clients=ADDR, or with a static ip if this machine's dnsmasq is the
/// DHCP server. Then transfers from other addresses are recorded, but count for nothing.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe status
  netbe status nog --json")]
pub struct Status {
    /// Nodes, by name or pattern ('rack1-*') [default: all]
    #[arg(value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    pub nodes: Vec<Named<NodeName>>,
    /// Every node except templates
    #[arg(long, conflicts_with = "nodes")]
    pub all: bool,
    /// For scripts: one JSON document
    #[arg(long)]
    pub json: bool,
}

/// Shows what nodes boot and run, and problems.
pub fn run(session: &Session, args: &Status) -> Result<u8> {
    let pool = session.pool()?;
    let (nodes, unmatched) = session.chosen_or_all(&pool, &args.nodes, args.all)?;
    let (states, failures) = session.busy("Looking", || status::status(&pool, &nodes))?;
    let worst = session.failed(&failures).max(unmatched);
    if states.is_empty() && worst != 0 {
        return Ok(worst);
    }
    let text = if args.json {
        json::list("nodes", &states)?
    } else if args.nodes.is_empty() {
        output::status::draw(&states, session.look)
    } else {
        output::status::draw_each(&states)
    };
    session.answer(&text)?;
    if !args.json && args.nodes.is_empty() {
        for behind in states.iter().flat_map(|state| &state.left_behind) {
            session.notes(&[behind.sentence()]);
        }
        let behind = states
            .iter()
            .filter_map(|state| state.behind_template.clone());
        session.notes(&behind_template::sentences(&behind.collect::<Vec<_>>()));
        for old in states.iter().flat_map(|state| &state.old_places) {
            session.notes(&[old.sentence()]);
        }
    }
    for finding in check::filesystem::of_filesystem(&pool)? {
        let warning = format!("{}: {}", finding.about, finding.problem);
        session.warnings(&[warning]);
    }
    for state in &states {
        for problem in &state.problems {
            // That of an environment names its node already.
            let warning = match problem.starts_with(&format!("{}/", state.node)) {
                true => problem.clone(),
                false => format!("{}: {problem}", state.node),
            };
            session.warnings(&[warning]);
        }
    }
    Ok(worst)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use crate::commands::Cli;
    use crate::lifecycle::left_behind::places::EVERY_BOOT;

    #[test]
    fn the_help_lists_the_files_that_every_boot_writes() {
        let mut cli = Cli::command();
        let status = cli.find_subcommand_mut("status").unwrap();
        let help = status.get_long_about().unwrap().to_string();
        let words: Vec<&str> = help.split([' ', ',', '\n']).collect();
        for path in EVERY_BOOT {
            let shown = format!("/{path}");
            assert!(
                words.iter().any(|word| word.trim_end_matches('.') == shown),
                "{path}"
            );
        }
    }
}
