//! The process that faces the network: requests in, files out.
//!
//! It opens nothing: it asks the other process by a request's client and name, and sends what it is handed.
//! Promises that what one address asks for keeps no other waiting for long, that memory is bounded, and that
//! each transfer ends. Not for which file a name means.

mod sockets;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::channel::{Ask, Opened};
use super::confinement;
use super::packet::{self, Answer, Code, First, Options};
use super::queue::Queue;
use super::transfer::{Step, Transfer};
use crate::fs::interrupt;
use sockets::{Arrival, Listener};

/// How many requests the other process is asked at once.
const ASKED_AT_ONCE: usize = 32;
/// How many transfers there are at once, where descriptors allow it.
const MOST_TRANSFERS: usize = 1024;
/// How long a client has to acknowledge, unless it says otherwise; doubled each time it does not.
const PATIENCE: Duration = Duration::from_secs(1);
const LONGEST_PATIENCE: Duration = Duration::from_secs(8);
/// How long a transfer may take: a minute, and a second for so many bytes.
const SLOWEST: u64 = 4096;
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

/// A file that is being sent.
#[derive(Debug)]
struct Flow {
    client: SocketAddrV4,
    name: String,
    socket: UdpSocket,
    file: File,
    transfer: Transfer,
    patience: Duration,
    /// When what is out now is sent again.
    due: Instant,
    /// When it has to be over.
    end: Instant,
    moved: Instant,
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
        while interrupt::asked().is_none() {
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

    fn begin(&mut self, id: u64, size: u64, file: OwnedFd) {
        let Some(request) = self.asked.remove(&id) else {
            return;
        };
        match self.flow(&request, size, File::from(file), id) {
            Ok((flow, step)) => {
                self.timers.push(Reverse((flow.due, id)));
                self.by_client.insert(request.client, id);
                self.flows.insert(id, flow);
                self.take(id, &step);
            }
            // No port, or no way to the client: it asks again.
            Err(_) => {
                self.queue.done(*request.client.ip());
                self.untold.push_back(Ask::Ended { id, whole: false });
            }
        }
    }

    fn flow(&self, request: &Request, size: u64, file: File, id: u64) -> io::Result<(Flow, Step)> {
        let socket = sockets::to_client(request.local, request.client)?;
        self.epoll
            .add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, id))?;
        let options = request
            .options
            .with_blocks_of(sockets::largest_block(&socket));
        let (transfer, step) = Transfer::begin(size, &options);
        let now = Instant::now();
        let patience = options
            .timeout
            .map_or(PATIENCE, |t| Duration::from_secs(t.into()));
        let flow = Flow {
            client: request.client,
            name: request.name.clone(),
            socket,
            file,
            transfer,
            patience,
            due: now + patience,
            end: now + Duration::from_secs(60) + Duration::from_secs(size / SLOWEST),
            moved: now,
        };
        Ok((flow, step))
    }

    /// Takes what clients say in a transfer.
    fn take_answers(&mut self, id: u64) {
        for _ in 0..A_TURN {
            let Some(flow) = self.flows.get_mut(&id) else {
                return;
            };
            let mut answer = [0; 64];
            let step = match flow.socket.recv(&mut answer) {
                Ok(length) => match packet::answer(&answer[..length]) {
                    Answer::Acknowledged(number) => flow.transfer.acknowledge(number),
                    Answer::Stop => Step::End { whole: false },
                    Answer::Nothing => Step::Wait,
                },
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                // Its port is closed.
                Err(_) => flow.transfer.lost(),
            };
            if step != Step::Wait {
                flow.moved = Instant::now();
                flow.due = flow.moved + flow.patience;
            }
            self.take(id, &step);
            // The client has something to acknowledge first; what it sent before is told of again.
            if matches!(step, Step::Send(_)) {
                return;
            }
        }
    }

    /// Does a step; where that fails, nothing is sent, and the next time-out tries it again.
    fn take(&mut self, id: u64, step: &Step) {
        let Some(flow) = self.flows.get(&id) else {
            return;
        };
        let done = match step {
            Step::Wait => Ok(()),
            Step::Greet => flow.socket.send(flow.transfer.greeting()).map(drop),
            Step::Send(blocks) => blocks
                .clone()
                .try_for_each(|b| flow.send(b, &mut self.buffer)),
            Step::End { whole } => return self.end(id, *whole),
        };
        if let Err(e) = done
            && e.kind() == io::ErrorKind::UnexpectedEof
        {
            // The rest of the file is gone: what was sent is not what was asked for.
            let _ = flow
                .socket
                .send(&packet::error(Code::Undefined, Code::Undefined.words()));
            self.end(id, false);
        }
    }

    fn end(&mut self, id: u64, whole: bool) {
        if let Some(flow) = self.flows.remove(&id) {
            let _ = self.epoll.delete(&flow.socket);
            if self.by_client.get(&flow.client) == Some(&id) {
                self.by_client.remove(&flow.client);
            }
            self.queue.done(*flow.client.ip());
            self.untold.push_back(Ask::Ended { id, whole });
        }
    }

    /// Sends again what was not acknowledged in time.
    fn look_at_clock(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((due, id))) = self.timers.peek().copied()
            && due <= now
        {
            self.timers.pop();
            let Some(flow) = self.flows.get_mut(&id) else {
                continue;
            };
            if flow.end <= now {
                self.end(id, false);
                continue;
            }
            let step = match flow.due <= now {
                true => {
                    let step = flow.transfer.time_out();
                    let longer = flow
                        .patience
                        .saturating_mul(1 << flow.transfer.tries().min(8));
                    flow.due = now + longer.min(LONGEST_PATIENCE.max(flow.patience));
                    step
                }
                false => Step::Wait,
            };
            self.timers.push(Reverse((flow.due.min(flow.end), id)));
            self.take(id, &step);
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

impl Flow {
    fn send(&self, block: u64, buffer: &mut [u8]) -> io::Result<()> {
        let (from, length) = self.transfer.place(block);
        buffer[..4].copy_from_slice(&packet::data_head(block));
        let packet = &mut buffer[..4 + length];
        self.file.read_exact_at(&mut packet[4..], from)?;
        self.socket.send(packet).map(drop)
    }
}
