//! The network process for TFTP: receives requests and sends files.
//!
//! It opens nothing: it passes client and name of a request to the other process, and sends the file it gets. No
//! address can delay others for long, memory is limited, and every transfer ends.

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
use super::confinement::{self, Faces};
use super::packet::{self, Code, First, Options};
use super::queue::Queue;
use super::transfer::Step;
use crate::fs::interrupt;
use flows::Flow;
use sockets::{Arrival, Listener};

/// Requests passed to the other process at once.
const PENDING_MAX: usize = 32;
/// Maximum number of transfers, if the descriptor limit allows it.
const TRANSFERS_MAX: usize = 1024;
/// Age from which a transfer without any answer may be dropped for others.
const UNANSWERED_MAX: Duration = Duration::from_millis(200);
/// Time without progress from which any transfer may be dropped.
const STALLED_MAX: Duration = Duration::from_secs(5);
/// Packets taken from one socket before the others.
const BATCH: usize = 64;
/// Maximum sleep: a signal may arrive between the check and the sleep.
const SLEEP_MAX: Duration = Duration::from_millis(500);

const LISTENER: u64 = 0;
const CHANNEL: u64 = 1;
const FIRST_ID: u64 = 2;

/// A request that waits, or was passed to the other process.
#[derive(Debug, Clone)]
struct Request {
    client: SocketAddrV4,
    /// The local address it was sent to, and is answered from.
    local: Ipv4Addr,
    name: String,
    options: Options,
}

struct Front {
    epoll: Epoll,
    listener: Listener,
    channel: OwnedFd,
    queue: Queue<Request>,
    pending: HashMap<u64, Request>,
    flows: HashMap<u64, Flow>,
    by_client: HashMap<SocketAddrV4, u64>,
    /// When to check which transfer; one entry each, which may be too early.
    timers: BinaryHeap<Reverse<(Instant, u64)>>,
    /// Messages to the other process that are not sent yet.
    unsent: VecDeque<Ask>,
    next: u64,
    max_flows: usize,
    buffer: Vec<u8>,
}

/// Serves until the other process ends or a stop is requested.
pub(super) fn run(listener: UdpSocket, channel: OwnedFd) -> Result<()> {
    let descriptors = confinement::raise_descriptors()?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("watching sockets")?;
    let listener = Listener::new(listener)?;
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    epoll.add(&channel, EpollEvent::new(EpollFlags::EPOLLIN, CHANNEL))?;
    confinement::confine(Faces::Tftp)?;
    let max_flows = usize::try_from(descriptors.saturating_sub(64) / 2).unwrap_or(TRANSFERS_MAX);
    let mut front = Front {
        epoll,
        listener,
        channel,
        queue: Queue::default(),
        pending: HashMap::new(),
        flows: HashMap::new(),
        by_client: HashMap::new(),
        timers: BinaryHeap::new(),
        unsent: VecDeque::new(),
        next: FIRST_ID,
        max_flows: max_flows.clamp(16, TRANSFERS_MAX),
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
            self.check_timers();
            self.request_files()?;
            Ask::send_all(&mut self.unsent, &self.channel)?;
        }
        Ok(())
    }

    fn sleep(&self) -> EpollTimeout {
        // Waiting requests and unsent messages are retried soon.
        let soon = !self.unsent.is_empty() || !self.queue.is_empty();
        let max_flows = if soon {
            Duration::from_millis(10)
        } else {
            SLEEP_MAX
        };
        let until = self.timers.peek().map_or(max_flows, |Reverse((due, _))| {
            due.saturating_duration_since(Instant::now()) + Duration::from_millis(1)
        });
        EpollTimeout::try_from(until.min(max_flows)).unwrap_or(EpollTimeout::ZERO)
    }

    /// Takes waiting requests from the socket.
    fn take_requests(&mut self) -> Result<()> {
        for _ in 0..BATCH {
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
                First::Read(request) => self.enqueue(Request {
                    client,
                    local,
                    name: request.name,
                    options: request.options,
                }),
            }
        }
        Ok(())
    }

    fn enqueue(&mut self, request: Request) {
        let client = request.client;
        // A repeated request: its first answer was lost, or is late. A request for another file ends the previous
        // transfer.
        if let Some(id) = self.by_client.get(&client).copied() {
            let same = self
                .flows
                .get(&id)
                .is_some_and(|f| f.name == request.name && !f.transfer.has_answered());
            match same {
                true => return,
                false => {
                    let step = self.flows.get(&id).map(|f| f.transfer.lost());
                    self.end(id, step == Some(Step::End { whole: true }));
                }
            }
        }
        let is_repeated = |other: &Request| other.client == client && other.name == request.name;
        if self.pending.values().any(is_repeated) || self.queue.any(*client.ip(), is_repeated) {
            return;
        }
        self.queue.push(*client.ip(), request, Instant::now());
    }

    /// Passes the next requests to the other process.
    fn request_files(&mut self) -> Result<()> {
        let now = Instant::now();
        while self.pending.len() < PENDING_MAX && !self.queue.is_empty() {
            if self.flows.len() + self.pending.len() >= self.max_flows && !self.make_room(now) {
                break;
            }
            let Some(request) = self.queue.next(now) else {
                break;
            };
            let id = self.next;
            self.next += 1;
            let request_files = Ask::Open {
                id,
                client: *request.client.ip(),
                name: request.name.clone(),
            };
            match request_files.send(&self.channel) {
                Ok(()) => {
                    self.pending.insert(id, request);
                }
                // The other process is busy; the client repeats its request.
                Err(Errno::EAGAIN | Errno::EINTR) => {
                    self.queue.done(*request.client.ip());
                    break;
                }
                Err(e) => return Err(e).context("asking for a file"),
            }
        }
        Ok(())
    }

    /// Ends the transfer with the lowest priority, to make room; returns whether there is one.
    ///
    /// First one without any answer, as with a forged source address; then one of the address with the most; then one
    /// without progress.
    fn make_room(&mut self, now: Instant) -> bool {
        let age = |f: &Flow| now.saturating_duration_since(f.moved);
        let unheard = self
            .flows
            .iter()
            .filter(|(_, f)| !f.transfer.has_answered() && age(f) > UNANSWERED_MAX);
        let oldest = unheard.max_by_key(|(_, f)| age(f)).map(|(id, _)| *id);
        let victim = oldest.or_else(|| {
            let (id, flow) = self
                .flows
                .iter()
                .max_by_key(|(_, f)| (self.queue.busy(*f.client.ip()), age(f)))?;
            let many = self.queue.busy(*flow.client.ip()) > 1;
            (many || age(flow) > STALLED_MAX).then_some(*id)
        });
        match victim {
            Some(id) => {
                self.end(id, false);
                true
            }
            None => false,
        }
    }

    /// Takes opened files from the other process; false when that has ended.
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
        if let Some(request) = self.pending.remove(&id) {
            self.queue.done(*request.client.ip());
            if let Some(code) = code {
                let packet = packet::error(code, code.message());
                self.listener.answer(request.client, request.local, &packet);
            }
        }
    }
}
