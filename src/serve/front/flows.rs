//! The files that are being sent: a step for each acknowledgement, and for each that does not come in time.
//!
//! Not for whose turn it is.

use std::cmp::Reverse;
use std::fs::File;
use std::io;
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use nix::sys::epoll::{EpollEvent, EpollFlags};

use super::{A_TURN, Front, Request, sockets};
use crate::serve::channel::Ask;
use crate::serve::packet::{self, Answer, Code};
use crate::serve::transfer::{Step, Transfer};

/// How long a client has to acknowledge, unless it says otherwise; doubled each time it does not.
const PATIENCE: Duration = Duration::from_secs(1);
const LONGEST_PATIENCE: Duration = Duration::from_secs(8);
/// How long a transfer may take: a minute, and a second for so many bytes.
const SLOWEST: u64 = 4096;

/// A file that is being sent.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) client: SocketAddrV4,
    pub(super) name: String,
    socket: UdpSocket,
    file: File,
    pub(super) transfer: Transfer,
    patience: Duration,
    /// When what is out now is sent again.
    due: Instant,
    /// When it has to be over.
    end: Instant,
    pub(super) moved: Instant,
}

impl Front {
    pub(super) fn begin(&mut self, id: u64, size: u64, file: OwnedFd) {
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
    pub(super) fn take_answers(&mut self, id: u64) {
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

    pub(super) fn end(&mut self, id: u64, whole: bool) {
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
    pub(super) fn look_at_clock(&mut self) {
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
