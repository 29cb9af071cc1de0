//! Whose turn it is: requests that wait, by who sent them.
//!
//! Pure but for the time it is told. Promises that each address gets its turn whatever others send, and that
//! what it keeps is bounded. What it has no room for it drops: clients ask again. Not for what a request is.

use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// How many of one address wait.
const WAITING: usize = 32;
/// How many of one address are answered or served at once: firmware has one, a loader a few.
pub(super) const AT_ONCE: usize = 16;
/// How many of one address are answered in a second, and how many more after a rest.
const A_SECOND: u32 = 200;
const AFTER_A_REST: u32 = 400;
/// How many addresses are remembered.
const ADDRESSES: usize = 4096;

/// The requests that wait.
#[derive(Debug)]
pub(super) struct Queue<T> {
    clients: HashMap<Ipv4Addr, Client<T>>,
    /// Those of whom a request waits, the next in front.
    turns: VecDeque<Ipv4Addr>,
}

#[derive(Debug)]
struct Client<T> {
    waiting: VecDeque<T>,
    /// How many are answered or served now.
    busy: usize,
    /// What it may still be answered, and as of when.
    left: u32,
    since: Instant,
}

impl<T> Client<T> {
    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since);
        let more = (passed.as_millis() * u128::from(A_SECOND) / 1000).min(AFTER_A_REST.into());
        if more > 0 {
            self.left = (self.left + more as u32).min(AFTER_A_REST);
            self.since = now;
        }
    }

    fn is_idle(&self, now: Instant) -> bool {
        let rested = now.saturating_duration_since(self.since) > Duration::from_secs(2);
        self.waiting.is_empty() && self.busy == 0 && rested
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            clients: HashMap::new(),
            turns: VecDeque::new(),
        }
    }
}

impl<T> Queue<T> {
    /// Adds a request at the end of its client's; returns whether there was room.
    pub(super) fn push(&mut self, from: Ipv4Addr, request: T, now: Instant) -> bool {
        if !self.clients.contains_key(&from) && self.clients.len() >= ADDRESSES {
            self.clients.retain(|_, client| !client.is_idle(now));
            if self.clients.len() >= ADDRESSES {
                return false;
            }
        }
        let client = self.clients.entry(from).or_insert_with(|| Client {
            waiting: VecDeque::new(),
            busy: 0,
            left: AFTER_A_REST,
            since: now,
        });
        if client.waiting.len() >= WAITING {
            return false;
        }
        client.waiting.push_back(request);
        if client.waiting.len() == 1 {
            self.turns.push_back(from);
        }
        true
    }

    /// Returns whether one that waits is as `same` says.
    pub(super) fn any(&self, from: Ipv4Addr, same: impl FnMut(&T) -> bool) -> bool {
        let client = self.clients.get(&from);
        client.is_some_and(|c| c.waiting.iter().any(same))
    }

    /// Returns the request whose turn it is, which is being answered from then on.
    pub(super) fn next(&mut self, now: Instant) -> Option<T> {
        for _ in 0..self.turns.len() {
            let from = self.turns.pop_front()?;
            let Some(client) = self.clients.get_mut(&from) else {
                continue;
            };
            client.refill(now);
            let request = match client.left > 0 && client.busy < AT_ONCE {
                true => client.waiting.pop_front(),
                false => None,
            };
            if !client.waiting.is_empty() {
                self.turns.push_back(from);
            }
            if request.is_some() {
                client.left -= 1;
                client.busy += 1;
                return request;
            }
        }
        None
    }

    /// Takes note that one is no longer answered or served.
    pub(super) fn done(&mut self, from: Ipv4Addr) {
        if let Some(client) = self.clients.get_mut(&from) {
            client.busy = client.busy.saturating_sub(1);
        }
    }

    /// Returns how many of an address are answered or served now.
    pub(super) fn busy(&self, from: Ipv4Addr) -> usize {
        self.clients.get(&from).map_or(0, |c| c.busy)
    }

    /// Returns whether any waits.
    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(0x0a00_0000 + n)
    }

    #[test]
    fn one_that_asks_for_everything_keeps_nobody_waiting() {
        let mut queue = Queue::default();
        let now = Instant::now();
        let taken = (0..1000)
            .filter(|n| queue.push(address(1), (1, *n), now))
            .count();
        assert_eq!(taken, WAITING);
        assert!(queue.push(address(2), (2, 0), now));
        let first: Vec<_> = (0..2)
            .filter_map(|_| queue.next(now))
            .map(|r| r.0)
            .collect();
        assert_eq!(first, [1, 2]);
        let rest = std::iter::from_fn(|| queue.next(now)).count();
        assert_eq!(rest, AT_ONCE - 1);
        queue.done(address(1));
        assert!(queue.next(now).is_some() && queue.next(now).is_none());
        assert!(!queue.is_empty());
    }

    #[test]
    fn so_many_a_second() {
        let mut queue = Queue::default();
        let mut now = Instant::now();
        let mut answered = 0;
        for _ in 0..1000 {
            queue.push(address(1), (), now);
            if queue.next(now).is_some() {
                answered += 1;
                queue.done(address(1));
            }
        }
        assert_eq!(answered, AFTER_A_REST);
        now += Duration::from_millis(500);
        let more =
            std::iter::from_fn(|| queue.next(now).inspect(|()| queue.done(address(1)))).count();
        assert_eq!(more, WAITING);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut queue = Queue::default();
        let mut now = Instant::now();
        let count = 3 * ADDRESSES as u32;
        let taken = (0..count)
            .filter(|n| queue.push(address(*n), (), now))
            .count();
        assert_eq!(taken, ADDRESSES);
        while queue.next(now).is_some() {}
        (0..count).for_each(|n| queue.done(address(n)));
        now += Duration::from_secs(3);
        assert!(queue.push(address(count), (), now));
        assert_eq!(queue.clients.len(), 1);
    }
}
