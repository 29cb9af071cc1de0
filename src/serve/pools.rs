//! Finds the pool of a request: one, or any of this server's.
//!
//! A pool whose filesystem is mounted later is found then. An unreadable pool does not affect the others.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::clients::Clients;
use super::names::{self, Names, Wanted};
use crate::evidence::machines::is_address;
use crate::pool::Pool;
use crate::publish::dnsmasq;

/// How long the list of pools is cached.
const CACHE_TIME: Duration = Duration::from_secs(2);

/// The pools whose machines are served.
#[derive(Debug, Clone)]
pub enum Served {
    /// One pool.
    One(Box<Pool>),
    /// All pools with a state directory in this directory.
    All(PathBuf),
}

/// The pools, with the names that their machines request.
#[derive(Debug)]
pub(super) struct Pools {
    /// Directory of the state directories; `None` for a fixed pool.
    states: Option<PathBuf>,
    pools: Vec<(Arc<Pool>, Names)>,
    clients: Clients,
    /// Why one of them was not read.
    unread: Option<String>,
    refreshed: Option<Instant>,
}

impl Pools {
    pub(super) fn new(served: Served) -> Self {
        let (states, one) = match served {
            Served::One(pool) => (None, Some((Arc::new(*pool), Names::default()))),
            Served::All(states) => (Some(states), None),
        };
        Self {
            states,
            pools: one.into_iter().collect(),
            clients: Clients::default(),
            unread: None,
            refreshed: None,
        }
    }

    /// Returns the requested file and its pool; `None` if it is not a node's.
    ///
    /// A prefix of the name takes precedence over the client's address, and that over the node for any machine.
    ///
    /// # Errors
    /// If no readable pool has it and one could not be read.
    pub(super) fn wanted(
        &mut self,
        client: Ipv4Addr,
        name: &str,
    ) -> Result<Option<(Arc<Pool>, Wanted)>> {
        let mut unreadable = self.refresh(Instant::now()).err();
        let Some(parts) = names::parts(name) else {
            return Ok(None);
        };
        for (pool, names) in &mut self.pools {
            if let Err(e) = names.refresh(pool) {
                unreadable = Some(e);
            }
        }
        let by_first = |(pool, names): &(Arc<Pool>, Names)| {
            Some((Arc::clone(pool), names.by_first(pool, &parts)?))
        };
        // At each request, so that the table's entry is remembered for later requests.
        let machine = self.clients.mac(client);
        if let Some((pool, mut wanted)) = self.pools.iter().find_map(by_first) {
            wanted.machine = wanted.machine.or(machine);
            return Ok(Some((pool, wanted)));
        }
        let by_machine = |(pool, names): &(Arc<Pool>, Names)| {
            let wanted = names.by_machine(pool, machine.as_deref()?, &parts)?;
            Some((Arc::clone(pool), wanted))
        };
        match (self.pools.iter().find_map(by_machine), unreadable) {
            (Some(found), _) => Ok(Some(found)),
            // The machine may belong to the unreadable pool.
            (None, Some(e)) => Err(e),
            (None, None) => self.for_any(machine, &parts),
        }
    }

    /// Returns the requested file of the node with `mac=any`, for a machine that certainly no node names.
    fn for_any(
        &self,
        machine: Option<String>,
        parts: &[&str],
    ) -> Result<Option<(Arc<Pool>, Wanted)>> {
        let first = parts.first().map(|first| first.to_ascii_lowercase());
        let Some(machine) = machine.or(first.filter(|first| is_address(first))) else {
            return Ok(None);
        };
        let wanted = |(pool, names): &(Arc<Pool>, Names)| {
            let wanted = names.for_any(pool, &machine, parts)?;
            Some((Arc::clone(pool), wanted))
        };
        let Some((pool, wanted)) = self.pools.iter().find_map(wanted) else {
            return Ok(None);
        };
        let mut alone = self
            .pools
            .iter()
            .filter_map(|(_, names)| names.by_serial_alone());
        match (alone.next(), &self.unread) {
            (None, None) => Ok(Some((pool, wanted))),
            (Some(node), _) => bail!(
                "{} has mac=any, and {machine} may be the machine of {node}, which is known by its serial alone",
                wanted.node
            ),
            (None, Some(why)) => bail!(
                "{} has mac=any, and {machine} may be the machine of another pool: {why}",
                wanted.node
            ),
        }
    }

    /// Returns the port of HTTP, if HTTP is wanted.
    pub(super) fn http_port(&mut self) -> Option<u16> {
        // An unreadable pool is reported at a request.
        let _ = self.refresh(Instant::now());
        let mut pools = self.pools.iter();
        pools.find_map(|(pool, _)| dnsmasq::http_port(pool))
    }

    fn refresh(&mut self, now: Instant) -> Result<()> {
        let Some(states) = &self.states else {
            return Ok(());
        };
        if self.refreshed.is_some_and(|then| now - then < CACHE_TIME) {
            return Ok(());
        }
        self.refreshed = Some(now);
        self.unread = Some("the pools cannot be listed".to_string());
        let mut unreadable = None;
        let mut previous = std::mem::take(&mut self.pools);
        for (dir, pool) in Pool::all(states)? {
            match pool {
                Ok(pool) => {
                    let known = previous.iter().position(|(b, _)| b.state() == pool.state());
                    let names = known.map(|at| previous.swap_remove(at).1);
                    self.pools.push((Arc::new(pool), names.unwrap_or_default()));
                }
                Err(e) => {
                    unreadable = Some(e.context(format!("opening the pool in {}", dir.display())));
                }
            }
        }
        self.unread = unreadable
            .as_ref()
            .map(|e: &anyhow::Error| format!("{e:#}"));
        unreadable.map_or(Ok(()), Err)
    }
}
