//! The process that opens files for requests, and records what was fetched.
//!
//! Whatever the network process sends, this one opens only boot files and holds a limited number. It has no socket to
//! the network.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::setgroups;

use super::Event;
use super::channel::{Ask, Opened};
use super::names::Wanted;
use super::notes::Notes;
use super::open::{self, Found, Refused};
use super::packet::Code;
use super::pools::{Pools, Served};
use crate::fs::interrupt;
use crate::pool::Pool;
use crate::publish::tftp_transfer::Fetched;

/// Limit of files that are open in the network process, as far as it reports; its own limit is lower.
const OPEN_MAX: usize = 4096;
/// Poll timeout in milliseconds, after which a stop request is noticed.
const POLL_TIMEOUT: u16 = 500;

/// Why it ended.
pub(super) enum End {
    /// A stop request.
    Requested,
    /// The network process ended, or sent an invalid message.
    PeerEnded,
}

/// Its state.
#[derive(Debug)]
pub(super) struct Back {
    channel: OwnedFd,
    pools: Pools,
    open: HashMap<u64, (Arc<Pool>, Fetched)>,
    notes: Notes,
}

impl Back {
    pub(super) fn new(served: Served, channel: OwnedFd) -> Result<Self> {
        // Boot files are read with the rights of others; root's groups could have more.
        setgroups(&[]).context("leaving all groups")?;
        Ok(Self {
            channel,
            pools: Pools::new(served),
            open: HashMap::new(),
            notes: Notes::start(),
        })
    }

    pub(super) fn serve(mut self, report: &mut dyn FnMut(Event) -> Result<()>) -> Result<End> {
        loop {
            self.notes.events().try_for_each(&mut *report)?;
            if interrupt::requested().is_some() {
                return Ok(End::Requested);
            }
            let mut ready = [PollFd::new(self.channel.as_fd(), PollFlags::POLLIN)];
            match poll(&mut ready, PollTimeout::from(POLL_TIMEOUT)) {
                Ok(0) | Err(Errno::EINTR) => continue,
                ready => ready.context("waiting for requests")?,
            };
            match Ask::receive(&self.channel) {
                Ok(Some(Ask::Open { id, client, name })) => {
                    self.answer(id, client, &name, report)?;
                }
                Ok(Some(Ask::Ended { id, whole })) => self.ended(id, whole),
                Ok(None) | Err(Errno::ECONNRESET) => return Ok(End::PeerEnded),
                Err(Errno::EINTR | Errno::EAGAIN) => {}
                Err(e) => return Err(e).context("taking a request"),
            }
        }
    }

    fn answer(
        &mut self,
        id: u64,
        client: Ipv4Addr,
        name: &str,
        report: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<()> {
        let answer = match self.find(client, name) {
            Ok((pool, wanted, found))
                if self.open.len() < OPEN_MAX && !self.open.contains_key(&id) =>
            {
                let fetched = Fetched {
                    node: wanted.node,
                    env: found.env,
                    uuid: found.uuid,
                    file: wanted.file,
                    size: found.size,
                    client: client.to_string(),
                };
                self.open.insert(id, (pool, fetched));
                Opened::File {
                    id,
                    size: found.size,
                    file: found.file,
                }
            }
            Ok(_) => Opened::Refused { id, code: None },
            Err(Refused { code, why }) => {
                report(Event::Refused {
                    client,
                    name: name.to_string(),
                    why,
                })?;
                Opened::Refused { id, code }
            }
        };
        match answer.send(&self.channel) {
            // The next read of the channel notices it.
            Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
            sent => sent.context("answering the network process"),
        }
    }

    fn find(
        &mut self,
        client: Ipv4Addr,
        name: &str,
    ) -> Result<(Arc<Pool>, Wanted, Found), Refused> {
        let unknown = |e: anyhow::Error| Refused {
            code: Some(Code::Undefined),
            why: format!("{e:#}"),
        };
        let wanted = self.pools.wanted(client, name).map_err(unknown)?;
        let (pool, wanted) = wanted.ok_or_else(|| Refused {
            code: Some(Code::NotFound),
            why: "no node's file".to_string(),
        })?;
        let node = pool.node(&wanted.node).map_err(unknown)?;
        let found = open::open(&node, &wanted.file).map_err(|refused| Refused {
            why: format!("{}: {}", wanted.node, refused.why),
            ..refused
        })?;
        Ok((pool, wanted, found))
    }

    fn ended(&mut self, id: u64, whole: bool) {
        if let Some((pool, fetched)) = self.open.remove(&id).filter(|_| whole) {
            self.notes.add(pool, fetched);
        }
    }
}
