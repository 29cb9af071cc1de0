//! File transfers in progress: one step for each acknowledgement or timeout.

use std::cmp::Reverse;
use std::fs::File;
use std::io;
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use nix::sys::epoll::{EpollEvent, EpollFlags};

use super::{BATCH, Front, Request, sockets};
use crate::serve::channel::Ask;
use crate::serve::packet::{self, Answer, Code};
use crate::serve::transfer::{Step, Transfer};

/// Time to wait for an acknowledgement; doubled at each timeout, up to a maximum.
const TIMEOUT: Duration = Duration::from_secs(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(8);
/// Bytes for which a transfer may take a second, in addition to a minute.
const MIN_RATE: u64 = 4096;

/// A transfer.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) client: SocketAddrV4,
    pub(super) name: String,
    socket: UdpSocket,
    file: File,
    pub(super) transfer: Transfer,
    /// When unacknowledged blocks are sent again.
    due: Instant,
    /// When the transfer is given up.
    end: Instant,
    pub(super) moved: Instant,
}

impl Front {
    pub(super) fn begin(&mut self, id: u64, size: u64, file: OwnedFd) {
        let Some(request) = self.pending.remove(&id) else {
            return;
        };
        match self.flow(&request, size, File::from(file), id) {
            Ok((flow, step)) => {
                self.timers.push(Reverse((flow.due, id)));
                self.by_client.insert(request.client, id);
                self.flows.insert(id, flow);
                self.take(id, &step);
            }
            // No free port, or no route to the client, which repeats its request.
            Err(_) => {
                self.queue.done(*request.client.ip());
                self.unsent.push_back(Ask::Ended { id, whole: false });
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
        let flow = Flow {
            client: request.client,
            name: request.name.clone(),
            socket,
            file,
            transfer,
            due: now + TIMEOUT,
            end: now + Duration::from_secs(60) + Duration::from_secs(size / MIN_RATE),
            moved: now,
        };
        Ok((flow, step))
    }

    /// Takes a client's answers in a transfer.
    pub(super) fn take_answers(&mut self, id: u64) {
        for _ in 0..BATCH {
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
                // The client's port is closed.
                Err(_) => flow.transfer.lost(),
            };
            if step != Step::Wait {
                flow.moved = Instant::now();
                flow.due = flow.moved + TIMEOUT;
            }
            self.take(id, &step);
            // Wait for its acknowledgement; further packets are reported again.
            if matches!(step, Step::Send(_)) {
                return;
            }
        }
    }

    /// Performs a step; if sending fails, the next timeout retries it.
    fn take(&mut self, id: u64, step: &Step) {
        let Some(flow) = self.flows.get(&id) else {
            return;
        };
        let done = match step {
            Step::Wait => Ok(()),
            Step::SendOptions => flow.socket.send(flow.transfer.options_packet()).map(drop),
            Step::Send(blocks) => blocks
                .clone()
                .try_for_each(|b| flow.send(b, &mut self.buffer)),
            Step::End { whole } => return self.end(id, *whole),
        };
        if let Err(e) = done
            && e.kind() == io::ErrorKind::UnexpectedEof
        {
            // The file was truncated: what was sent is incomplete.
            let _ = flow
                .socket
                .send(&packet::error(Code::Undefined, Code::Undefined.message()));
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
            self.unsent.push_back(Ask::Ended { id, whole });
        }
    }

    /// Sends unacknowledged blocks again.
    pub(super) fn check_timers(&mut self) {
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
                    let longer = TIMEOUT.saturating_mul(1 << flow.transfer.retries().min(8));
                    flow.due = now + longer.min(TIMEOUT_MAX);
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
        let (from, length) = self.transfer.range(block);
        buffer[..4].copy_from_slice(&packet::data_head(block));
        let packet = &mut buffer[..4 + length];
        self.file.read_exact_at(&mut packet[4..], from)?;
        self.socket.send(packet).map(drop)
    }
}
