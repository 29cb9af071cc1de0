//! The process that opens files for requests, and records what was fetched.
//!
//! Whatever a network process sends, this one opens only boot files and holds a limited number. It has no socket to
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
use super::machines::Machines;
use super::names::Wanted;
use super::notes::Notes;
use super::open::{self, Found, Refused};
use super::packet::Code;
use super::pools::{Pools, Served};
use super::web_process::WebProcess;
use crate::fs::interrupt;
use crate::pool::Pool;
use crate::publish::tftp_transfer::Fetched;

/// Limit of files that are open in the network processes, as far as they report; its own limit is lower.
const OPEN_MAX: usize = 4096;
/// Poll timeout in milliseconds, after which a stop request is noticed.
const POLL_TIMEOUT: u16 = 500;

/// Why it ended.
pub(super) enum End {
    /// A stop request.
    Requested,
    /// The network process for TFTP ended, or sent an invalid message.
    PeerEnded,
}

/// A network process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Peer {
    Tftp,
    Http,
}

/// Its state.
pub(super) struct Back<'a> {
    tftp: OwnedFd,
    web: WebProcess<'a>,
    pools: Pools,
    open: HashMap<(Peer, u64), (Arc<Pool>, Fetched)>,
    notes: Notes,
    machines: Machines,
}

impl<'a> Back<'a> {
    pub(super) fn new(served: Served, tftp: OwnedFd, web: WebProcess<'a>) -> Result<Self> {
        // Boot files are read with the rights of others; root's groups could have more.
        setgroups(&[]).context("leaving all groups")?;
        Ok(Self {
            tftp,
            web,
            pools: Pools::new(served),
            open: HashMap::new(),
            notes: Notes::start(),
            machines: Machines::default(),
        })
    }

    pub(super) fn serve(mut self, report: &mut dyn FnMut(Event) -> Result<()>) -> Result<End> {
        loop {
            self.notes.events().try_for_each(&mut *report)?;
            if interrupt::requested().is_some() {
                drop(self.web.end());
                return Ok(End::Requested);
            }
            let (pools, open) = (&mut self.pools, &mut self.open);
            let forget = || open.retain(|(peer, _), _| *peer != Peer::Http);
            if let Some(event) = self.web.adjust(|| pools.http_port(), forget) {
                report(event)?;
            }
            for peer in self.ready()? {
                if self.take(peer, report)? {
                    continue;
                }
                match peer {
                    Peer::Tftp => return Ok(End::PeerEnded),
                    Peer::Http => {
                        self.open.retain(|(peer, _), _| *peer != Peer::Http);
                        self.web.end().map_or(Ok(()), &mut *report)?;
                    }
                }
            }
        }
    }

    /// Waits for messages; returns the processes that have sent some.
    fn ready(&self) -> Result<Vec<Peer>> {
        let mut ready = vec![PollFd::new(self.tftp.as_fd(), PollFlags::POLLIN)];
        let web = self.web.channel();
        ready.extend(web.map(|channel| PollFd::new(channel.as_fd(), PollFlags::POLLIN)));
        match poll(&mut ready, PollTimeout::from(POLL_TIMEOUT)) {
            Err(Errno::EINTR) => return Ok(Vec::new()),
            ready => ready.context("waiting for requests")?,
        };
        let peers = ready.iter().zip([Peer::Tftp, Peer::Http]);
        let ready = peers.filter(|(one, _)| one.any() == Some(true));
        Ok(ready.map(|(_, peer)| peer).collect())
    }

    /// Takes a message of a process; false when that has ended.
    fn take(&mut self, peer: Peer, report: &mut dyn FnMut(Event) -> Result<()>) -> Result<bool> {
        let Some(channel) = self.channel(peer) else {
            return Ok(true);
        };
        match Ask::receive(channel) {
            Ok(Some(Ask::Open { id, client, name })) => {
                self.answer((peer, id), client, &name, report)?;
            }
            Ok(Some(Ask::Ended { id, whole })) => self.ended((peer, id), whole),
            Ok(None) | Err(Errno::ECONNRESET) => return Ok(false),
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(e) => return Err(e).context("taking a request"),
        }
        Ok(true)
    }

    fn channel(&self, peer: Peer) -> Option<&OwnedFd> {
        match peer {
            Peer::Tftp => Some(&self.tftp),
            Peer::Http => self.web.channel(),
        }
    }

    fn answer(
        &mut self,
        key: (Peer, u64),
        client: Ipv4Addr,
        name: &str,
        report: &mut dyn FnMut(Event) -> Result<()>,
    ) -> Result<()> {
        let (peer, id) = key;
        let answer = match self.find(client, name) {
            Ok((pool, wanted, found))
                if self.open.len() < OPEN_MAX && !self.open.contains_key(&key) =>
            {
                let fetched = Fetched {
                    node: wanted.node,
                    env: found.env,
                    uuid: found.uuid,
                    file: wanted.file,
                    size: found.size,
                    client: client.to_string(),
                };
                self.open.insert(key, (pool, fetched));
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
        let Some(channel) = self.channel(peer) else {
            return Ok(());
        };
        match answer.send(channel) {
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
        let of_node = |refused: Refused| Refused {
            why: format!("{}: {}", wanted.node, refused.why),
            ..refused
        };
        let found = open::open(&node, &wanted.file).map_err(of_node)?;
        let machine = wanted.machine.as_deref();
        // A node with a lost record may have had mac=any too.
        if node.is_for_any() || (node.lost && machine.is_some()) {
            self.machines
                .record(&node, machine, &found)
                .map_err(|e| of_node(unknown(e)))?;
        }
        Ok((pool, wanted, found))
    }

    fn ended(&mut self, key: (Peer, u64), whole: bool) {
        if let Some((pool, fetched)) = self.open.remove(&key).filter(|_| whole) {
            self.notes.add(pool, fetched);
        }
    }
}
