//! The process that opens files: what is asked for by the one that faces the network, and what was fetched.
//!
//! Promises that what that one says can make it open nothing but boot files, nor remember more than so many.
//! Not for sockets.

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

/// How many files may be open on the other side, as far as that tells; it has fewer.
const OPEN: usize = 4096;
/// How long is waited before a signal is looked for, in milliseconds.
const NAP: u16 = 500;

/// Why it ended.
pub(super) enum End {
    /// A signal asked for it.
    Asked,
    /// The other process ended, or said what makes no sense.
    Alone,
}

/// What it knows.
#[derive(Debug)]
pub(super) struct Back {
    channel: OwnedFd,
    pools: Pools,
    open: HashMap<u64, (Arc<Pool>, Fetched)>,
    notes: Notes,
}

impl Back {
    pub(super) fn new(served: Served, channel: OwnedFd) -> Result<Self> {
        // Files are read by the rights of others, and root's groups may have more.
        setgroups(&[]).context("leaving all groups")?;
        Ok(Self {
            channel,
            pools: Pools::new(served),
            open: HashMap::new(),
            notes: Notes::start(),
        })
    }

    pub(super) fn serve(mut self, tell: &mut dyn FnMut(Event) -> Result<()>) -> Result<End> {
        loop {
            self.notes.told().try_for_each(&mut *tell)?;
            if interrupt::requested().is_some() {
                return Ok(End::Asked);
            }
            let mut ready = [PollFd::new(self.channel.as_fd(), PollFlags::POLLIN)];
            match poll(&mut ready, PollTimeout::from(NAP)) {
                Ok(0) | Err(Errno::EINTR) => continue,
                ready => ready.context("waiting for requests")?,
            };
            match Ask::receive(&self.channel) {
                Ok(Some(Ask::Open { id, client, name })) => self.answer(id, client, &name, tell)?,
                Ok(Some(Ask::Ended { id, whole })) => self.ended(id, whole),
                Ok(None) | Err(Errno::ECONNRESET) => return Ok(End::Alone),
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
        tell: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<()> {
        let answer = match self.find(client, name) {
            Ok((pool, wanted, found)) if self.open.len() < OPEN && !self.open.contains_key(&id) => {
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
                tell(Event::Refused {
                    client,
                    name: name.to_string(),
                    why,
                })?;
                Opened::Refused { id, code }
            }
        };
        match answer.send(&self.channel) {
            // The next look at it says so.
            Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
            sent => sent.context("answering the process that faces the network"),
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
