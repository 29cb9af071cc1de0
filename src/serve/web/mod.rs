//! The network process for HTTP: receives requests and sends files.
//!
//! As the one for TFTP it opens nothing, no address can delay others for long, memory is limited, and every connection
//! ends. A file counts as fetched when one response had all of it, and the client's system
//! has acknowledged the last byte.

mod connection;
mod request;
mod response;

use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::channel::{Ask, Opened};
use super::confinement::{self, Faces};
use super::packet::Code;
use super::queue::Queue;
use crate::fs::interrupt;
use connection::{Connection, Moved};
use request::Status;

/// Requests passed to the other process at once.
const PENDING_MAX: usize = 32;
/// Maximum number of connections, if the descriptor limit allows it.
const CONNECTIONS_MAX: usize = 1024;
/// Connections of one address: firmware has one, iPXE two.
const OF_ONE_MAX: usize = 24;
/// Time without progress from which a connection may be dropped for others.
const STALLED_MAX: Duration = Duration::from_secs(5);
/// Connections taken before others get their turn.
const BATCH: usize = 64;
/// How often connections are checked for conditions without events, and the longest sleep.
const CHECK_TIME: Duration = Duration::from_millis(20);
const SLEEP_MAX: Duration = Duration::from_millis(500);

const LISTENER: u64 = 0;
const CHANNEL: u64 = 1;
const FIRST: u64 = 2;

/// A request, by its connection and client.
type Turn = (u64, Ipv4Addr);

struct Web {
    epoll: Epoll,
    listener: TcpListener,
    channel: OwnedFd,
    connections: HashMap<u64, Connection>,
    queue: Queue<Turn>,
    /// Requests passed to the other process, by their number.
    pending: HashMap<u64, Turn>,
    /// Messages to the other process that are not sent yet.
    unsent: VecDeque<Ask>,
    next: u64,
    max: usize,
    checked: Instant,
}

/// Serves until the other process ends or a stop is requested.
pub(super) fn run(listener: TcpListener, channel: OwnedFd) -> Result<()> {
    let descriptors = confinement::raise_descriptors()?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context("watching sockets")?;
    listener
        .set_nonblocking(true)
        .context("preparing the socket")?;
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    epoll.add(&channel, EpollEvent::new(EpollFlags::EPOLLIN, CHANNEL))?;
    confinement::confine(Faces::Http)?;
    // Each connection may have a file.
    let max = usize::try_from(descriptors.saturating_sub(64) / 2).unwrap_or(CONNECTIONS_MAX);
    let mut web = Web {
        epoll,
        listener,
        channel,
        connections: HashMap::new(),
        queue: Queue::default(),
        pending: HashMap::new(),
        unsent: VecDeque::new(),
        next: FIRST,
        max: max.clamp(16, CONNECTIONS_MAX),
        checked: Instant::now(),
    };
    web.serve()
}

impl Web {
    fn serve(&mut self) -> Result<()> {
        let mut events = [EpollEvent::empty(); 64];
        while interrupt::requested().is_none() {
            let count = match self.epoll.wait(&mut events, self.sleep()) {
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                Err(e) => return Err(e).context("waiting for requests"),
            };
            for event in &events[..count] {
                match event.data() {
                    LISTENER => self.accept(),
                    CHANNEL => {
                        if !self.take_files()? {
                            return Ok(());
                        }
                    }
                    id => self.go_on(id, event.events()),
                }
            }
            self.check();
            self.request_files()?;
            Ask::send_all(&mut self.unsent, &self.channel)?;
        }
        Ok(())
    }

    fn sleep(&self) -> EpollTimeout {
        let soon = !self.unsent.is_empty()
            || !self.queue.is_empty()
            || self.connections.values().any(Connection::wants_checks);
        let time = if soon { CHECK_TIME } else { SLEEP_MAX };
        EpollTimeout::try_from(time).unwrap_or(EpollTimeout::ZERO)
    }

    fn accept(&mut self) {
        for _ in 0..BATCH {
            // Without a free descriptor or memory, the client waits.
            let Ok((stream, SocketAddr::V4(client))) = self.listener.accept() else {
                return;
            };
            let of_one = |c: &&Connection| c.client == *client.ip();
            if self.connections.values().filter(of_one).count() >= OF_ONE_MAX
                || (self.connections.len() >= self.max && !self.make_room())
            {
                continue;
            }
            let Ok(connection) = Connection::new(stream, *client.ip()) else {
                continue;
            };
            let id = self.next;
            self.next += 1;
            let event = EpollEvent::new(EpollFlags::EPOLLIN, id);
            if self.epoll.add(&connection, event).is_ok() {
                self.connections.insert(id, connection);
            }
        }
    }

    /// Ends the connection with the lowest priority, to make room; returns whether there is one.
    ///
    /// First one without a request; then one of the address with the most; then one without progress.
    fn make_room(&mut self) -> bool {
        let now = Instant::now();
        let age = |c: &Connection| now.saturating_duration_since(c.moved);
        let idle = self.connections.iter().filter(|(_, c)| c.is_idle());
        let oldest = idle.max_by_key(|(_, c)| age(c)).map(|(id, _)| *id);
        let victim = oldest.or_else(|| {
            let (id, connection) = self
                .connections
                .iter()
                .max_by_key(|(_, c)| (self.queue.busy(c.client), age(c)))?;
            let many = self.queue.busy(connection.client) > 1;
            (many || age(connection) > STALLED_MAX).then_some(*id)
        });
        victim.inspect(|id| self.end(*id)).is_some()
    }

    /// Continues a connection after an event.
    fn go_on(&mut self, id: u64, events: EpollFlags) {
        if let Some(connection) = self.connections.get_mut(&id) {
            let moved = connection.on_event(events);
            self.settle(id, moved);
        }
    }

    /// Acts on the result of a connection's step.
    fn settle(&mut self, id: u64, mut moved: Moved) {
        while let Some(connection) = self.connections.get_mut(&id) {
            let client = connection.client;
            match moved {
                Moved::Waits => break,
                Moved::Asks => {
                    if !self.queue.push(client, (id, client), Instant::now()) {
                        connection.try_later();
                    }
                    break;
                }
                Moved::Ends => return self.end(id),
                Moved::Sent { number, whole } => {
                    // The client may have sent its next request meanwhile.
                    moved = connection.next_request();
                    self.ended(number, whole, client);
                }
            }
        }
        if let Some(connection) = self.connections.get(&id) {
            let mut event = EpollEvent::new(connection.waits_for(), id);
            if self.epoll.modify(connection, &mut event).is_err() {
                self.end(id);
            }
        }
    }

    fn end(&mut self, id: u64) {
        if let Some(connection) = self.connections.remove(&id) {
            let _ = self.epoll.delete(&connection);
            let client = connection.client;
            if let Some((number, whole)) = connection.end() {
                self.ended(number, whole, client);
            }
        }
    }

    fn ended(&mut self, number: Option<u64>, whole: bool, client: Ipv4Addr) {
        if let Some(id) = number {
            self.queue.done(client);
            self.unsent.push_back(Ask::Ended { id, whole });
        }
    }

    /// Checks all connections: for acknowledgements, which have no event, and for the time limits.
    fn check(&mut self) {
        let now = Instant::now();
        if now.saturating_duration_since(self.checked) < CHECK_TIME {
            return;
        }
        self.checked = now;
        let ids: Vec<u64> = self.connections.keys().copied().collect();
        for id in ids {
            let moved = self.connections.get_mut(&id).map(|c| c.check(now));
            match moved {
                None | Some(Moved::Waits) => {}
                Some(moved) => self.settle(id, moved),
            }
        }
    }

    /// Passes the next requests to the other process.
    fn request_files(&mut self) -> Result<()> {
        while self.pending.len() < PENDING_MAX
            && let Some((id, client)) = self.queue.next(Instant::now())
        {
            let connection = self.connections.get_mut(&id);
            let Some((connection, name)) = connection.and_then(Connection::asked) else {
                self.queue.done(client);
                continue;
            };
            let number = self.next;
            let ask = Ask::Open {
                id: number,
                client,
                name,
            };
            match ask.send(&self.channel) {
                Ok(()) => {
                    self.next += 1;
                    self.pending.insert(number, (id, client));
                }
                // The other process is busy.
                Err(Errno::EAGAIN | Errno::EINTR) => {
                    self.queue.done(client);
                    connection.try_later();
                    break;
                }
                Err(e) => return Err(e).context("asking for a file"),
            }
        }
        Ok(())
    }

    /// Takes opened files from the other process; false when that has ended.
    fn take_files(&mut self) -> Result<bool> {
        loop {
            let opened = match Opened::receive(&self.channel) {
                Ok(Some(opened)) => opened,
                Ok(None) => return Ok(false),
                Err(Errno::EAGAIN) => return Ok(true),
                Err(Errno::EINTR) => continue,
                Err(e) => return Err(e).context("taking a file"),
            };
            let (Opened::File { id: number, .. } | Opened::Refused { id: number, .. }) = opened;
            let Some((id, client)) = self.pending.remove(&number) else {
                continue;
            };
            let moved = match (opened, self.connections.get_mut(&id)) {
                (Opened::File { size, file, .. }, Some(connection)) => {
                    connection.send_file(number, size, file.into())
                }
                (Opened::File { .. }, None) => {
                    self.ended(Some(number), false, client);
                    continue;
                }
                (Opened::Refused { code, .. }, connection) => {
                    self.queue.done(client);
                    match (connection, code.map(status)) {
                        (Some(connection), Some(status)) => connection.refuse(status),
                        (Some(connection), None) => connection.try_later(),
                        (None, _) => continue,
                    }
                }
            };
            self.settle(id, moved);
        }
    }
}

fn status(code: Code) -> Status {
    match code {
        Code::NotFound => Status::NotFound,
        Code::Denied => Status::Forbidden,
        Code::Undefined | Code::Illegal => Status::Failed,
    }
}
