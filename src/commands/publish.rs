//! `netbe publish`

use anyhow::Result;
use clap::Args;

use super::args::Changing;
use super::session::Session;
use crate::lifecycle::Mode;
use crate::publish;

/// Write again what the network is offered
///
/// From what the pool holds: the names machines ask for, the exports, and dnsmasq's configuration
/// (publish/dnsmasq.conf) with a file a machine (publish/dnsmasq-hosts). Every command that needs it does
/// it by itself.
///
/// Where dnsmasq reads the pool's files (netbe init --services) it is restarted when they changed: when a
/// machine comes or goes, not when an environment is activated.
/// Where systemd does not run, a warning says what is left to do.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe publish
  netbe publish -n")]
pub struct Publish {
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Writes again what the network is offered.
pub fn run(session: &Session, args: &Publish) -> Result<u8> {
    let pool = session.pool()?;
    let mode: Mode = args.changing.into();
    let lock = mode.unless_dry(|| pool.lock(mode.wait))?;
    let done = publish::everything(&pool, lock.as_ref())?;
    if mode.dry_run {
        session.screen.plan(&done.steps)?;
    } else if done.steps.is_empty() {
        session
            .screen
            .sentence("Everything is published already.")?;
    } else {
        session
            .screen
            .sentence(&format!("Published: {}.", done.steps.join(", ")))?;
    }
    session.screen.warnings(&done.warnings);
    Ok(0)
}
