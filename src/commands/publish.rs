//! `netbe publish`

use anyhow::Result;
use clap::Args;

use super::args::Changing;
use super::session::Session;
use crate::lifecycle::{Mode, local_hooks};

/// Write the TFTP names, NFS exports and DHCP configuration
///
/// These are generated from the pool: the links in tftp/, the exports, dnsmasq's configuration (publish/dnsmasq.conf) and one file
/// for each node (publish/dnsmasq-hosts). Every command that changes any of this publishes it itself.
///
/// If dnsmasq reads the pool's files (netbe init --services), it is restarted when they changed: when a node is
/// added or removed, not when an environment is activated. Without systemd, a warning names what has to be done by hand.
///
/// On a machine that is a node itself (netbe adopt), it writes GRUB's files: the menu of all environments, and the newest
/// kernel of the running one. Kernel packages call it.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe publish
  netbe publish -n")]
pub struct Publish {
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Writes the TFTP names, exports and DHCP configuration.
pub fn run(session: &Session, args: &Publish) -> Result<u8> {
    let pool = session.pool()?;
    let mode: Mode = args.changing.into();
    let done = local_hooks::publish(&pool, mode)?;
    if mode.dry_run {
        session.plan(&done.steps)?;
    } else if done.steps.is_empty() {
        session.sentence("Everything is published already.")?;
    } else {
        session.sentence(&format!("Published: {}.", done.steps.join(", ")))?;
    }
    let is_left = |warning: &String| done.left.iter().any(|(_, left)| left == warning);
    // A dry run only looks.
    let is_failure = |warning: &String| !mode.dry_run && is_left(warning);
    let (failures, warnings): (Vec<String>, _) =
        done.warnings.iter().cloned().partition(is_failure);
    session.warnings(&warnings);
    let failures: Vec<_> = failures.into_iter().map(anyhow::Error::msg).collect();
    Ok(session.failed(&failures))
}
