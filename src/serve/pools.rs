//! Which pool a request is for: one, or any of those this server has.
//!
//! A pool whose filesystem is mounted later is found then. Promises that one that cannot be read keeps no other's
//! machines from their files. Not for which node of it, nor for opening anything.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::names::{self, Names, Wanted};
use crate::pool::Pool;

/// How long the pools are believed to be those that they were.
const WHILE: Duration = Duration::from_secs(2);

/// Whose machines are answered.
#[derive(Debug, Clone)]
pub enum Served {
    /// Those of one pool.
    One(Box<Pool>),
    /// Those of all pools with a state directory in this one.
    All(PathBuf),
}

/// The pools, and the names machines of each ask by.
#[derive(Debug)]
pub(super) struct Pools {
    /// Where they are found; `None` where it is one, for good.
    states: Option<PathBuf>,
    pools: Vec<(Arc<Pool>, Names)>,
    looked: Option<Instant>,
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
            looked: None,
        }
    }

    /// Returns what a client means by a name, and in which pool; `None` where that is no file of a node's.
    ///
    /// A name in front counts before the address that the client has.
    ///
    /// # Errors
    /// Where no pool knows it and one could not be read.
    pub(super) fn wanted(
        &mut self,
        client: Ipv4Addr,
        name: &str,
    ) -> Result<Option<(Arc<Pool>, Wanted)>> {
        let mut unreadable = self.look_again(Instant::now()).err();
        let Some(parts) = names::parts(name) else {
            return Ok(None);
        };
        for (pool, names) in &mut self.pools {
            if let Err(e) = names.look_again(pool) {
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

    fn look_again(&mut self, now: Instant) -> Result<()> {
        let Some(states) = &self.states else {
            return Ok(());
        };
        if self.looked.is_some_and(|then| now - then < WHILE) {
            return Ok(());
        }
        self.looked = Some(now);
        let mut unreadable = None;
        let mut before = std::mem::take(&mut self.pools);
        for (dir, pool) in Pool::all(states)? {
            match pool {
                Ok(pool) => {
                    let known = before.iter().position(|(b, _)| b.state() == pool.state());
                    let names = known.map(|at| before.swap_remove(at).1);
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
