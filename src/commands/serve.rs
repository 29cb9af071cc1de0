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

/// Serve boot files by TFTP, and by HTTP
///
/// Runs until it is stopped. netbe init --services has systemd run it as netbe-tftp.service; run by hand, it stays in the
/// foreground and prints what it sends.
///
/// A file name begins with a MAC address of a node, with dashes, or with its serial; without either, the MAC address of
/// the client is used. The rest is a path in the boot half of the node's active environment, or of its pending boot or
/// trial. Each request is resolved when it arrives, so an activation, or a change by the node in its own boot directory,
/// is effective with the next request.
///
/// Only regular files below that boot half are served, up to 4 GiB, and only if they are world-readable; a kernel or
/// initramfs that the boot files name is served with any mode. A symbolic link is followed if it stays below
/// the boot half. Writing is not supported.
///
/// With the property http, the same files are served by HTTP at that port, under the same names; its process starts and
/// ends as the property is set, within two seconds.
///
/// The processes that face the network, one for TFTP and one for HTTP, have no privileges and cannot open files; another
/// one opens the requested files. A client gets at most 16 files at once and 200 a second; further requests wait. By HTTP it has at most 24 connections.
///
/// Each complete transfer is recorded with its environment, which from then on may be running. One by HTTP is complete when
/// the client has the whole file by one request; a range of it is no transfer.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe serve
  netbe serve --all-pools
  netbe serve --listen 10.0.0.1")]
pub struct Serve {
    /// Where to listen: an IPv4 address of this machine, with or without a port
    #[arg(long, value_name = "ADDR[:PORT]", default_value = "0.0.0.0:69", value_parser = at)]
    pub listen: SocketAddrV4,
    /// Serve every pool of this server
    #[arg(long)]
    pub all_pools: bool,
    /// Run as the process that faces the network
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

/// The numbers of refusals and of sent files that are logged in each [`PERIOD`]: an unknown host must not fill the log, while
/// the boot of a whole fleet is logged.
const REFUSALS: u32 = 200;
const FILES: u32 = 5000;
const PERIOD: Duration = Duration::from_secs(60);

/// Serves boot files until it is stopped.
pub fn run(session: &Session, args: &Serve) -> Result<u8> {
    if args.facing_the_network {
        return serve::face_network().map(|()| 0);
    }
    let served = match args.all_pools {
        true => Served::All(session.states.clone()),
        false => Served::One(Box::new(session.pool()?)),
    };
    let program = std::env::current_exe().context("finding this program")?;
    let front = || {
        let mut front = Command::new(&program);
        front.args(["serve", "--facing-the-network"]).env_clear();
        front
    };
    let mut log = Log {
        refusals: RateLimit::new(REFUSALS),
        files: RateLimit::new(FILES),
    };
    serve::serve(served, args.listen, &front, &mut |event| {
        log.write(session, event)
    })?;
    Ok(0)
}

/// The log, with its rate limits.
#[derive(Debug)]
struct Log {
    refusals: RateLimit,
    files: RateLimit,
}

impl Log {
    /// Logs an event, and reconciles after a fetch; errors of standard output are ignored, so that serving continues.
    fn write(&mut self, session: &Session, event: Event) -> Result<()> {
        let (line, limit) = match event {
            Event::Ready(at) => {
                let _ = session.sentence(&format!("Listening on {at}."));
                return Ok(());
            }
            Event::ReadyForHttp(at) => {
                let _ = session.sentence(&format!("Listening on {at} for HTTP."));
                return Ok(());
            }
            Event::Fetched(pool, node) => {
                if let Err(e) = reconcile::reconcile_soon(session, &pool, &node) {
                    session.screen.failed(&e, None);
                }
                return Ok(());
            }
            Event::Trouble(why) => (
                format!("cannot record a transfer: {}", clean(&why)),
                &mut self.refusals,
            ),
            Event::NoHttp(why) => (
                format!("serves nothing by HTTP: {}", clean(&why)),
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
        if let Some(more) = limit.count(Instant::now()) {
            let _ = session.sentence(&format!("{line}{more}"));
        }
        Ok(())
    }
}

/// A limit on the lines in each [`PERIOD`].
#[derive(Debug)]
struct RateLimit {
    most: u32,
    count: u32,
    since: Instant,
}

impl RateLimit {
    fn new(most: u32) -> Self {
        Self {
            most,
            count: 0,
            since: Instant::now(),
        }
    }

    /// Counts a line; returns what to append to it, `None` if it is over the limit.
    fn count(&mut self, now: Instant) -> Option<&'static str> {
        if now.duration_since(self.since) > PERIOD {
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
    fn lines_are_limited_in_each_period() {
        let mut limit = RateLimit::new(3);
        let now = limit.since;
        let lines: Vec<_> = (0..1000).filter_map(|_| limit.count(now)).collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[2].contains("no more"));
        assert_eq!(limit.count(now + PERIOD * 2), Some(""));
    }
}
