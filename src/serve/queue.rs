//! Queues requests by client address, and shares the server fairly.
//!
//! Pure, given the time. Every address gets its turn whatever others send, and memory is limited. Requests above the
//! limits are dropped: clients repeat them.

use std::collections::{HashMap, VecDeque};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

/// Maximum number in the queue for one address.
const QUEUE_MAX: usize = 32;
/// Requests of one address served at once: firmware has one, a loader a few.
pub(super) const BUSY_MAX: usize = 16;
/// Requests of one address served per second, and the burst after a pause.
const RATE: u32 = 200;
const BURST: u32 = 400;
/// Maximum number of addresses.
const ADDRESSES: usize = 4096;

/// The queued requests.
#[derive(Debug)]
pub(super) struct Queue<T> {
    clients: HashMap<Ipv4Addr, Client<T>>,
    /// Addresses with queued requests, the next first.
    turns: VecDeque<Ipv4Addr>,
}

#[derive(Debug)]
struct Client<T> {
    waiting: VecDeque<T>,
    /// Requests being served.
    busy: usize,
    /// Requests it may make now, and since when.
    allowance: u32,
    since: Instant,
}

impl<T> Client<T> {
    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since);
        let more = (passed.as_millis() * u128::from(RATE) / 1000).min(BURST.into());
        if more > 0 {
            self.allowance = (self.allowance + more as u32).min(BURST);
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
    /// Adds a request to its client's queue; false if that is full.
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
            allowance: BURST,
            since: now,
        });
        if client.waiting.len() >= QUEUE_MAX {
            return false;
        }
        client.waiting.push_back(request);
        if client.waiting.len() == 1 {
            self.turns.push_back(from);
        }
        true
    }

    /// Returns whether a queued request of a client matches `same`.
    pub(super) fn any(&self, from: Ipv4Addr, same: impl FnMut(&T) -> bool) -> bool {
        let client = self.clients.get(&from);
        client.is_some_and(|c| c.waiting.iter().any(same))
    }

    /// Returns the next request, which is being served from then on.
    pub(super) fn next(&mut self, now: Instant) -> Option<T> {
        for _ in 0..self.turns.len() {
            let from = self.turns.pop_front()?;
            let Some(client) = self.clients.get_mut(&from) else {
                continue;
            };
            client.refill(now);
            let request = match client.allowance > 0 && client.busy < BUSY_MAX {
                true => client.waiting.pop_front(),
                false => None,
            };
            if !client.waiting.is_empty() {
                self.turns.push_back(from);
            }
            if request.is_some() {
                client.allowance -= 1;
                client.busy += 1;
                return request;
            }
        }
        None
    }

    /// Ends the service of a request.
    pub(super) fn done(&mut self, from: Ipv4Addr) {
        if let Some(client) = self.clients.get_mut(&from) {
            client.busy = client.busy.saturating_sub(1);
        }
    }

    /// Returns the number of an address's requests being served.
    pub(super) fn busy(&self, from: Ipv4Addr) -> usize {
        self.clients.get(&from).map_or(0, |c| c.busy)
    }

    /// Returns whether no request is queued.
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
    fn no_address_delays_the_others() {
        let mut queue = Queue::default();
        let now = Instant::now();
        let taken = (0..1000)
            .filter(|n| queue.push(address(1), (1, *n), now))
            .count();
        assert_eq!(taken, QUEUE_MAX);
        assert!(queue.push(address(2), (2, 0), now));
        let first: Vec<_> = (0..2)
            .filter_map(|_| queue.next(now))
            .map(|r| r.0)
            .collect();
        assert_eq!(first, [1, 2]);
        let rest = std::iter::from_fn(|| queue.next(now)).count();
        assert_eq!(rest, BUSY_MAX - 1);
        queue.done(address(1));
        assert!(queue.next(now).is_some() && queue.next(now).is_none());
        assert!(!queue.is_empty());
    }

    #[test]
    fn the_rate_is_limited() {
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
        assert_eq!(answered, BURST);
        now += Duration::from_millis(500);
        let more =
            std::iter::from_fn(|| queue.next(now).inspect(|()| queue.done(address(1)))).count();
        assert_eq!(more, QUEUE_MAX);
    }

    #[test]
    fn memory_is_limited() {
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
