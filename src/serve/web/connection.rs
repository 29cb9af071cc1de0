//! One connection: reads a request, sends a response, and waits until that is acknowledged.
//!
//! It has a state and events to wait for; the file comes from elsewhere. Every state ends after some time.

use std::fs::File;
use std::io::{self, Read};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::epoll::EpollFlags;
use nix::sys::socket::{setsockopt, sockopt};

use super::request::{self, HEAD_MAX, Head, Parsed, Request, Status};
use super::response::Response;

/// How long a client may take for a request, or keep a connection without one.
const IDLE_MAX: Duration = Duration::from_secs(20);
/// How long a client may take nothing of a response.
const STALLED_MAX: Duration = Duration::from_secs(60);
/// Bytes for which a response may take a second, in addition to a minute.
const MIN_RATE: u64 = 4096;
/// Size of the kernel's buffer: more would be memory that clients control.
const SEND_BUFFER: usize = 256 << 10;
/// Bytes sent before others get their turn.
const TURN: usize = 512 << 10;
/// The interval, and the number, of attempts to open a file that cannot be opened now.
const RETRY_TIME: Duration = Duration::from_millis(100);
const RETRIES: u32 = 100;

/// A client's connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) client: Ipv4Addr,
    stream: TcpStream,
    /// Received bytes that are not parsed yet.
    received: Vec<u8>,
    state: State,
    /// The time of the last progress.
    pub(super) moved: Instant,
    retries: u32,
}

#[derive(Debug)]
enum State {
    /// Waits for a request.
    Reads,
    /// Waits for its turn, or for the file.
    Asks {
        request: Request,
        later: bool,
    },
    Sends(Response),
    /// All is sent, and not acknowledged.
    Drains(Response),
}

/// The result of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    Waits,
    /// The connection has a request.
    Asks,
    /// A response was received; `number` is that of the request for its file.
    Sent {
        number: Option<u64>,
        whole: bool,
    },
    /// The connection has ended.
    Ends,
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Connection {
    pub(super) fn new(stream: TcpStream, client: Ipv4Addr) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        setsockopt(&stream, sockopt::SndBuf, &SEND_BUFFER)?;
        Ok(Self {
            client,
            stream,
            received: Vec::new(),
            state: State::Reads,
            moved: Instant::now(),
            retries: 0,
        })
    }

    /// Returns whether it has no request.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, State::Reads)
    }

    /// Returns whether it waits for a condition that has no event.
    pub(super) fn wants_checks(&self) -> bool {
        matches!(
            self.state,
            State::Drains(_) | State::Asks { later: true, .. }
        )
    }

    /// Returns the events that it waits for, in addition to errors.
    pub(super) fn waits_for(&self) -> EpollFlags {
        match self.state {
            State::Reads => EpollFlags::EPOLLIN,
            State::Sends(_) => EpollFlags::EPOLLOUT,
            State::Asks { .. } | State::Drains(_) => EpollFlags::empty(),
        }
    }

    pub(super) fn on_event(&mut self, events: EpollFlags) -> Moved {
        if events.intersects(EpollFlags::EPOLLERR | EpollFlags::EPOLLHUP) {
            return Moved::Ends;
        }
        match self.state {
            State::Reads => self.read(),
            State::Sends(_) => self.send(),
            State::Asks { .. } | State::Drains(_) => Moved::Waits,
        }
    }

    fn read(&mut self) -> Moved {
        let mut bytes = [0; HEAD_MAX];
        let room = HEAD_MAX.saturating_sub(self.received.len()).max(1);
        match self.stream.read(&mut bytes[..room]) {
            Ok(0) => Moved::Ends,
            Ok(length) => {
                self.received.extend_from_slice(&bytes[..length]);
                self.parse()
            }
            Err(e) if is_later(&e) => Moved::Waits,
            Err(_) => Moved::Ends,
        }
    }

    fn parse(&mut self) -> Moved {
        match request::parse(&self.received) {
            Parsed::Part => Moved::Waits,
            Parsed::Whole(request, length) => {
                self.received.drain(..length);
                (self.moved, self.retries) = (Instant::now(), 0);
                let later = false;
                self.state = State::Asks { request, later };
                Moved::Asks
            }
            Parsed::Refused(status) => {
                self.received.clear();
                self.say(request::refusal(status, 0, false, true), true, None)
            }
        }
    }

    /// Returns the name of the requested file, if it waits for one.
    pub(super) fn asked(&mut self) -> Option<(&mut Self, String)> {
        match &self.state {
            State::Asks { request, .. } => {
                let name = request.name.clone();
                Some((self, name))
            }
            _ => None,
        }
    }

    /// Requests the file again later, or gives up.
    pub(super) fn try_later(&mut self) -> Moved {
        self.retries += 1;
        match &mut self.state {
            State::Asks { .. } if self.retries > RETRIES => self.refuse(Status::Unavailable),
            State::Asks { later, .. } => {
                (*later, self.moved) = (true, Instant::now());
                Moved::Waits
            }
            _ => Moved::Waits,
        }
    }

    /// Begins to send the file of the request with this number.
    pub(super) fn send_file(&mut self, number: u64, size: u64, file: File) -> Moved {
        let State::Asks { request, .. } = &self.state else {
            return Moved::Ends;
        };
        let part = match request.range {
            Some(range) => range.of(size),
            None => Some((0, size)),
        };
        let Some(part) = part else {
            let (is_head, closes) = (request.is_head, request.closes);
            let text = request::refusal(Status::OutOfRange, size, is_head, closes);
            return self.say(text, closes, Some(number));
        };
        let head = Head {
            status: request.range.map_or(Status::Ok, |_| Status::Partial),
            name: &request.name,
            part,
            size,
            closes: request.closes,
        };
        let (at, end) = if request.is_head { (0, 0) } else { part };
        let now = Instant::now();
        self.moved = now;
        self.state = State::Sends(Response {
            head: head.text().into_bytes(),
            file: Some(file),
            number: Some(number),
            at,
            end,
            is_whole: !request.is_head && part == (0, size),
            closes: request.closes,
            due: now + Duration::from_secs(60) + Duration::from_secs((end - at) / MIN_RATE),
        });
        self.send()
    }

    /// Answers the request with a failure.
    pub(super) fn refuse(&mut self, status: Status) -> Moved {
        let State::Asks { request, .. } = &self.state else {
            return Moved::Ends;
        };
        let closes = request.closes;
        let text = request::refusal(status, 0, request.is_head, closes);
        self.say(text, closes, None)
    }

    fn say(&mut self, text: String, closes: bool, number: Option<u64>) -> Moved {
        self.moved = Instant::now();
        self.state = State::Sends(Response {
            head: text.into_bytes(),
            file: None,
            number,
            at: 0,
            end: 0,
            is_whole: false,
            closes,
            due: self.moved + Duration::from_secs(60),
        });
        self.send()
    }

    /// Sends as much as the client takes.
    fn send(&mut self) -> Moved {
        let State::Sends(response) = &mut self.state else {
            return Moved::Waits;
        };
        let mut sent = 0;
        while sent < TURN {
            match response.send_some(&mut self.stream) {
                Ok(0) => {
                    let State::Sends(response) = std::mem::replace(&mut self.state, State::Reads)
                    else {
                        return Moved::Ends;
                    };
                    self.state = State::Drains(response);
                    return self.check(Instant::now());
                }
                Ok(length) => {
                    sent += length;
                    self.moved = Instant::now();
                }
                Err(e) if is_later(&e) => break,
                Err(_) => return Moved::Ends,
            }
        }
        Moved::Waits
    }

    /// Checks for an acknowledgement, and for the time limits.
    pub(super) fn check(&mut self, now: Instant) -> Moved {
        let waited = now.saturating_duration_since(self.moved);
        let ends = match &mut self.state {
            State::Reads => waited > IDLE_MAX,
            State::Asks { later, .. } => {
                if *later && waited > RETRY_TIME {
                    *later = false;
                    return Moved::Asks;
                }
                false
            }
            State::Sends(response) => waited > STALLED_MAX || now > response.due,
            State::Drains(response) => {
                if !is_acknowledged(self.stream.as_raw_fd()) {
                    return if waited > STALLED_MAX {
                        Moved::Ends
                    } else {
                        Moved::Waits
                    };
                }
                let whole = response.is_whole;
                match response.closes {
                    true => return Moved::Ends,
                    false => {
                        let number = response.number.take();
                        return Moved::Sent { number, whole };
                    }
                }
            }
        };
        if ends { Moved::Ends } else { Moved::Waits }
    }

    /// Waits for the next request, after a response.
    pub(super) fn next_request(&mut self) -> Moved {
        (self.state, self.moved) = (State::Reads, Instant::now());
        match self.received.is_empty() {
            true => Moved::Waits,
            false => self.parse(),
        }
    }

    /// Ends the connection; returns the number of the request for its file, if there is one, and whether the client has the
    /// whole file.
    pub(super) fn end(self) -> Option<(Option<u64>, bool)> {
        match self.state {
            State::Sends(response) => Some((response.number, false)),
            State::Drains(response) => {
                let whole = response.is_whole && is_acknowledged(self.stream.as_raw_fd());
                Some((response.number, whole))
            }
            State::Reads | State::Asks { .. } => None,
        }
    }
}

/// Returns whether the client's system has acknowledged all that was sent.
#[allow(unsafe_code)]
fn is_acknowledged(stream: RawFd) -> bool {
    let mut unacknowledged: libc::c_int = -1;
    // SAFETY: TIOCOUTQ writes one int, to where the argument points (tcp(7), SIOCOUTQ); it lives until the call returns.
    let done = unsafe { libc::ioctl(stream, libc::TIOCOUTQ, &raw mut unacknowledged) };
    done == 0 && unacknowledged == 0
}

fn is_later(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
