//! Finds the pool of a request: one, or any of this server's.
//!
//! A pool whose filesystem is mounted later is found then. An unreadable pool does not affect the others.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::names::{self, Names, Wanted};
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
            refreshed: None,
        }
    }

    /// Returns the requested file and its pool; `None` if it is not a node's.
    ///
    /// A prefix of the name takes precedence over the client's address.
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
            if let Some(wanted) = names.by_first(pool, &parts) {
                return Ok(Some((Arc::clone(pool), wanted)));
            }
        }
        for (pool, names) in &self.pools {
            if let Some(wanted) = names.by_client(pool, client, &parts) {
                return Ok(Some((Arc::clone(pool), wanted)));
            }
        }
        unreadable.map_or(Ok(None), Err)
    }

    /// Returns the port of HTTP, if that is wanted.
    pub(super) fn http_port(&mut self) -> Option<u16> {
        // What cannot be read is noticed at a request.
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
        unreadable.map_or(Ok(()), Err)
    }
}
