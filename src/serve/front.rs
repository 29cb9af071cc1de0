//! The process that faces the network: requests in, files out.
//!
//! It opens nothing: it asks the other process by a request's client and name, and sends what it is handed.
//! Promises that what one address asks for keeps no other waiting for long, that memory is bounded, and that
//! each transfer ends. Not for which file a name means.

mod flows;
mod sockets;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::channel::{Ask, Opened};
use super::confinement;
use super::packet::{self, Code, First, Options};
use super::queue::Queue;
use super::transfer::Step;
use crate::fs::interrupt;
use flows::Flow;
use sockets::{Arrival, Listener};

/// How many requests the other process is asked at once.
const ASKED_AT_ONCE: usize = 32;
/// How many transfers there are at once, where descriptors allow it.
const MOST_TRANSFERS: usize = 1024;
/// After which time a transfer that its client never answered may make room for others.
const UNHEARD: Duration = Duration::from_millis(200);
/// After which time without progress any may.
const STILL: Duration = Duration::from_secs(5);
/// How many packets are taken from one socket before others have their turn.
const A_TURN: usize = 64;
/// How long is slept at most: a signal may come between the look for it and the sleep.
const NAP: Duration = Duration::from_millis(500);

const LISTENER: u64 = 0;
const CHANNEL: u64 = 1;
const FIRST_ID: u64 = 2;

/// A request that waits, or that the other process is asked for.
#[derive(Debug, Clone)]
struct Request {
    client: SocketAddrV4,
    /// Our own address it was sent to, and is answered from.
    local: Ipv4Addr,
    name: String,
    options: Options,
}

struct Front {
    epoll: Epoll,
    listener: Listener,
    channel: OwnedFd,
    queue: Queue<Request>,
    asked: HashMap<u64, Request>,
    flows: HashMap<u64, Flow>,
    by_client: HashMap<SocketAddrV4, u64>,
    /// When to look at which flow; one entry a flow, which may come too early.
    timers: BinaryHeap<Reverse<(Instant, u64)>>,
    /// What the other process has not been told yet.
    untold: VecDeque<Ask>,
    next: u64,
    most: usize,
    buffer: Vec<u8>,
}

/// Serves until the other process ends, or a signal asks for the end.
pub(super) fn run(listener: UdpSocket, channel: OwnedFd) -> Result<()> {
    let descriptors = confinement::raise_descriptors()?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("watching sockets")?;
    let listener = Listener::new(listener)?;
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    epoll.add(&channel, EpollEvent::new(EpollFlags::EPOLLIN, CHANNEL))?;
    confinement::confine()?;
    let most = usize::try_from(descriptors.saturating_sub(64) / 2).unwrap_or(MOST_TRANSFERS);
    let mut front = Front {
        epoll,
        listener,
        channel,
        queue: Queue::default(),
        asked: HashMap::new(),
        flows: HashMap::new(),
        by_client: HashMap::new(),
        timers: BinaryHeap::new(),
        untold: VecDeque::new(),
        next: FIRST_ID,
        most: most.clamp(16, MOST_TRANSFERS),
        buffer: vec![0; 4 + usize::from(u16::MAX)],
    };
    front.serve()
}

impl Front {
    fn serve(&mut self) -> Result<()> {
        let mut events = [EpollEvent::empty(); 64];
        while interrupt::requested().is_none() {
            let count = match self.epoll.wait(&mut events, self.sleep()) {
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                Err(e) => return Err(e).context("waiting for packets"),
            };
            for event in &events[..count] {
                match event.data() {
                    LISTENER => self.take_requests()?,
                    CHANNEL => {
                        if !self.take_files()? {
                            return Ok(());
                        }
                    }
                    id => self.take_answers(id),
                }
            }
            self.look_at_clock();
            self.ask()?;
            self.tell()?;
        }
        Ok(())
    }

    fn sleep(&self) -> EpollTimeout {
        // Something waits for its turn, or to be told: that is soon.
        let soon = !self.untold.is_empty() || !self.queue.is_empty();
        let most = if soon { Duration::from_millis(10) } else { NAP };
        let until = self.timers.peek().map_or(most, |Reverse((due, _))| {
            due.saturating_duration_since(Instant::now()) + Duration::from_millis(1)
        });
        EpollTimeout::try_from(until.min(most)).unwrap_or(EpollTimeout::ZERO)
    }

    /// Takes the requests that are there.
    fn take_requests(&mut self) -> Result<()> {
        for _ in 0..A_TURN {
            let Some(Arrival {
                client,
                local,
                bytes,
            }) = self.listener.next(&mut self.buffer)?
            else {
                break;
            };
            match packet::first(&self.buffer[..bytes]) {
                First::Nothing => {}
                First::Refused(code, words) => {
                    self.listener
                        .answer(client, local, &packet::error(code, words));
                }
                First::Read(request) => self.queue_up(Request {
                    client,
                    local,
                    name: request.name,
                    options: request.options,
                }),
            }
        }
        Ok(())
    }

    fn queue_up(&mut self, request: Request) {
        let client = request.client;
        // Its first answer was lost, or it is impatient; from another file on it is done with the one before.
        if let Some(id) = self.by_client.get(&client).copied() {
            let same = self
                .flows
                .get(&id)
                .is_some_and(|f| f.name == request.name && !f.transfer.is_heard());
            match same {
                true => return,
                false => {
                    let step = self.flows.get(&id).map(|f| f.transfer.lost());
                    self.end(id, step == Some(Step::End { whole: true }));
                }
            }
        }
        let asks_again = |other: &Request| other.client == client && other.name == request.name;
        if self.asked.values().any(asks_again) || self.queue.any(*client.ip(), asks_again) {
            return;
        }
        self.queue.push(*client.ip(), request, Instant::now());
    }

    /// Asks the other process for what has its turn.
    fn ask(&mut self) -> Result<()> {
        let now = Instant::now();
        while self.asked.len() < ASKED_AT_ONCE && !self.queue.is_empty() {
            if self.flows.len() + self.asked.len() >= self.most && !self.make_room(now) {
                break;
            }
            let Some(request) = self.queue.next(now) else {
                break;
            };
            let id = self.next;
            self.next += 1;
            let ask = Ask::Open {
                id,
                client: *request.client.ip(),
                name: request.name.clone(),
            };
            match ask.send(&self.channel) {
                Ok(()) => {
                    self.asked.insert(id, request);
                }
                // It is busy; the client asks again.
                Err(Errno::EAGAIN | Errno::EINTR) => {
                    self.queue.done(*request.client.ip());
                    break;
                }
                Err(e) => return Err(e).context("asking for a file"),
            }
        }
        Ok(())
    }

    /// Ends the transfer that others are kept waiting by with the least right; returns whether there is one.
    ///
    /// That is one whose client never answered, as when a stranger asks in the name of others; then one of the
    /// address that has the most; then one that stands still.
    fn make_room(&mut self, now: Instant) -> bool {
        let age = |f: &Flow| now.saturating_duration_since(f.moved);
        let unheard = self
            .flows
            .iter()
            .filter(|(_, f)| !f.transfer.is_heard() && age(f) > UNHEARD);
        let oldest = unheard.max_by_key(|(_, f)| age(f)).map(|(id, _)| *id);
        let victim = oldest.or_else(|| {
            let (id, flow) = self
                .flows
                .iter()
                .max_by_key(|(_, f)| (self.queue.busy(*f.client.ip()), age(f)))?;
            let many = self.queue.busy(*flow.client.ip()) > 1;
            (many || age(flow) > STILL).then_some(*id)
        });
        match victim {
            Some(id) => {
                self.end(id, false);
                true
            }
            None => false,
        }
    }

    /// Takes what the other process has opened; returns whether that is still there.
    fn take_files(&mut self) -> Result<bool> {
        loop {
            match Opened::receive(&self.channel) {
                Ok(Some(Opened::File { id, size, file })) => self.begin(id, size, file),
                Ok(Some(Opened::Refused { id, code })) => self.refuse(id, code),
                Ok(None) => return Ok(false),
                Err(Errno::EAGAIN) => return Ok(true),
                Err(Errno::EINTR) => {}
                Err(e) => return Err(e).context("taking a file"),
            }
        }
    }

    fn refuse(&mut self, id: u64, code: Option<Code>) {
        if let Some(request) = self.asked.remove(&id) {
            self.queue.done(*request.client.ip());
            if let Some(code) = code {
                let packet = packet::error(code, code.words());
                self.listener.answer(request.client, request.local, &packet);
            }
        }
    }

    /// Tells the other process of transfers that ended.
    fn tell(&mut self) -> Result<()> {
        while let Some(ask) = self.untold.front() {
            match ask.send(&self.channel) {
                Ok(()) => drop(self.untold.pop_front()),
                Err(Errno::EAGAIN | Errno::EINTR) => break,
                Err(e) => return Err(e).context("telling of a transfer"),
            }
        }
        Ok(())
    }
}
