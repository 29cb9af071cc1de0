//! `netbe serve`

use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;

use super::reconcile;
use super::session::Session;
use crate::output::clean;
use crate::serve::{self, Event, Served};

/// Hand out boot files by TFTP
///
/// Answers machines until it is stopped. netbe init --services has systemd run it as netbe-tftp.service; by hand it runs
/// in the foreground, and tells what it sends.
///
/// A name begins with a MAC address of a node, with dashes, or with its serial; else the MAC address is that of the
/// machine that asks. The rest is a file in the boot half of the environment that the node boots now, or is to boot
/// for once or on trial. Each request is looked up when it comes, so what was activated, or what a node has
/// just put into its own boot folder, is what the next request gets.
///
/// Only regular files below that boot half are handed out, up to 4 GiB, and only those that others may read; a kernel
/// or initramfs that the boot files name is handed out whatever its mode. A link is followed that stays below the boot
/// half. Nothing is written.
///
/// Two processes: one faces the network, without privileges, files of its own or the means to open any; the
/// other opens what is asked for. A client gets 16 files at once and 200 a second; who asks for more waits.
///
/// What a machine has fetched whole is noted with the environment it came from: that is how netbe knows what may be running.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe serve
  netbe serve --all-pools
  netbe serve --listen 10.0.0.1")]
pub struct Serve {
    /// Where to answer: an IPv4 address of this machine, with a port or without
    #[arg(long, value_name = "ADDR[:PORT]", default_value = "0.0.0.0:69", value_parser = at)]
    pub listen: SocketAddrV4,
    /// Answer the machines of every pool of this server, not of one
    #[arg(long)]
    pub all_pools: bool,
    /// Be the process that faces the network
    #[arg(long, hide = true)]
    pub facing_the_network: bool,
}

fn at(text: &str) -> Result<SocketAddrV4, String> {
    let address = text
        .parse::<Ipv4Addr>()
        .map(|a| SocketAddrV4::new(a, crate::serve::PORT));
    address
        .or_else(|_| text.parse())
        .map_err(|_| "an IPv4 address, or one with a port: 10.0.0.1, 10.0.0.1:69".to_string())
}

/// How many refusals and how many files are told of in [`A_WHILE`]: a stranger must not fill the log, and a fleet
/// that boots is not a stranger.
const REFUSALS: u32 = 200;
const FILES: u32 = 5000;
const A_WHILE: Duration = Duration::from_secs(60);

/// Hands out boot files until it is stopped.
pub fn run(session: &Session, args: &Serve) -> Result<u8> {
    if args.facing_the_network {
        return serve::face_network().map(|()| 0);
    }
    let served = match args.all_pools {
        true => Served::All(session.states.clone()),
        false => Served::One(Box::new(session.pool()?)),
    };
    let program = std::env::current_exe().context("finding this program")?;
    let mut front = Command::new(program);
    front.args(["serve", "--facing-the-network"]).env_clear();
    let mut told = Told {
        refusals: AtMost::new(REFUSALS),
        files: AtMost::new(FILES),
    };
    serve::serve(served, args.listen, front, &mut |event| {
        told.tell(session, event)
    })?;
    Ok(0)
}

/// What was told lately.
#[derive(Debug)]
struct Told {
    refusals: AtMost,
    files: AtMost,
}

impl Told {
    /// Tells of what happened, and starts what follows from it; where nobody reads it any more, serving goes on.
    fn tell(&mut self, session: &Session, event: Event) -> Result<()> {
        let (line, budget) = match event {
            Event::Ready(at) => {
                let _ = session.screen.sentence(&format!("Answering at {at}."));
                return Ok(());
            }
            Event::Fetched(pool, node) => {
                if let Err(e) = reconcile::reconcile_soon(session, &pool, &node) {
                    session.screen.failed(&e, None);
                }
                return Ok(());
            }
            Event::Trouble(why) => (
                format!("cannot note a transfer: {}", clean(&why)),
                &mut self.refusals,
            ),
            Event::Sent {
                client,
                node,
                env,
                file,
                size,
            } => (
                format!("{client}: {node}/{env} {} ({size} bytes)", clean(&file)),
                &mut self.files,
            ),
            Event::Refused { client, name, why } => (
                format!("{client}: not {}: {}", clean(&name), clean(&why)),
                &mut self.refusals,
            ),
        };
        if let Some(more) = budget.count(Instant::now()) {
            let _ = session.screen.sentence(&format!("{line}{more}"));
        }
        Ok(())
    }
}

/// So many lines in [`A_WHILE`].
#[derive(Debug)]
struct AtMost {
    most: u32,
    count: u32,
    since: Instant,
}

impl AtMost {
    fn new(most: u32) -> Self {
        Self {
            most,
            count: 0,
            since: Instant::now(),
        }
    }

    /// Counts one; returns what to say after it, and `None` where it is not said.
    fn count(&mut self, now: Instant) -> Option<&'static str> {
        if now.duration_since(self.since) > A_WHILE {
            (self.since, self.count) = (now, 0);
        }
        self.count = self.count.saturating_add(1);
        match self.count {
            n if n < self.most => Some(""),
            n if n == self.most => Some("; no more such lines for a minute"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_lines_a_minute() {
        let mut it = AtMost::new(3);
        let now = it.since;
        let said: Vec<_> = (0..1000).filter_map(|_| it.count(now)).collect();
        assert_eq!(said.len(), 3);
        assert!(said[2].contains("no more"));
        assert_eq!(it.count(now + A_WHILE * 2), Some(""));
    }
}
