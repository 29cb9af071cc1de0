//! The proxy between a private network and this machine's admitted services. Also blocks addresses that this
//! machine gets later.
//!
//! Forwards bytes unread, to the admitted addresses and to no other. Its one capability is NET_ADMIN, to block
//! addresses. Dies with the sandbox's first stage.

use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use rustix::thread::CapabilitySet;

use super::super::attendant::Attendant;
use super::netlink::{Policy, Route};
use crate::fs::threads;

/// Concurrent connections and questions; above that, connections wait and questions are dropped.
const MAX_BUSY: usize = 128;
/// Timeout of a name server.
const ANSWER: Duration = Duration::from_secs(10);
/// Size of the largest datagram that is forwarded.
const DATAGRAM: usize = 64 << 10;

/// Its sockets in the private network.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) routes: Route,
    pub(super) policy: Option<Policy>,
    pub(super) services: Vec<TcpListener>,
    pub(super) resolvers: Vec<UdpSocket>,
}

/// Starts the proxy, which closes `channel`.
pub(super) fn start(gate: &Gate, channel: RawFd) -> anyhow::Result<Attendant> {
    // Subscribed before the process starts, so that no change is missed.
    let changes = Route::open_for_changes().context("watching addresses")?;
    Attendant::start(channel, CapabilitySet::NET_ADMIN, || run(gate, &changes))
}

fn run(gate: &Gate, changes: &Route) -> anyhow::Result<()> {
    let busy = Arc::new(AtomicUsize::new(0));
    for service in &gate.services {
        let (service, busy) = (service.try_clone()?, Arc::clone(&busy));
        threads::start(move || admit(&service, &busy))?;
    }
    for resolver in &gate.resolvers {
        let (resolver, busy) = (Arc::new(resolver.try_clone()?), Arc::clone(&busy));
        threads::start(move || resolve(&resolver, &busy))?;
    }
    let ask = Route::open()?;
    loop {
        changes.wait_for_change()?;
        gate.close_all(&ask.routes()?)?;
    }
}

/// One of `MAX_BUSY` slots; released when dropped.
struct Slot(Arc<AtomicUsize>);

impl Slot {
    fn take(busy: &Arc<AtomicUsize>) -> Option<Self> {
        let slot = Self(Arc::clone(busy));
        (busy.fetch_add(1, Ordering::SeqCst) < MAX_BUSY).then_some(slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn admit(service: &TcpListener, busy: &Arc<AtomicUsize>) {
    let Ok(address) = service.local_addr() else {
        return;
    };
    loop {
        let slot = loop {
            match Slot::take(busy) {
                Some(slot) => break slot,
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        match service.accept() {
            // If the service refuses the connection, this one is closed at once.
            Ok((inside, _)) => drop(threads::start(move || {
                let _ = forward(&inside, address);
                drop(slot);
            })),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Copies bytes in both directions until both are at their end.
fn forward(inside: &TcpStream, address: SocketAddr) -> io::Result<()> {
    let outside = TcpStream::connect(address)?;
    let (from, to) = (inside.try_clone()?, outside.try_clone()?);
    let upload = threads::start(move || copy(&from, &to))?;
    copy(&outside, inside);
    let _ = upload.join();
    Ok(())
}

fn copy(mut from: &TcpStream, mut to: &TcpStream) {
    let end = match io::copy(&mut from, &mut to) {
        Ok(_) => Shutdown::Write,
        Err(_) => Shutdown::Both,
    };
    let _ = to.shutdown(end);
    if end == Shutdown::Both {
        let _ = from.shutdown(end);
    }
}

fn resolve(resolver: &Arc<UdpSocket>, busy: &Arc<AtomicUsize>) {
    let mut question = vec![0; DATAGRAM];
    let Ok(address) = resolver.local_addr() else {
        return;
    };
    loop {
        let (length, asker) = match resolver.recv_from(&mut question) {
            Ok(received) => received,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            // The error of an earlier answer that could not be delivered.
            Err(_) => {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            }
        };
        let Some(slot) = Slot::take(busy) else {
            continue;
        };
        let (text, back) = (question[..length].to_vec(), Arc::clone(resolver));
        let _ = threads::start(move || {
            if let Ok(answer) = ask(address, &text) {
                let _ = back.send_to(&answer, asker);
            }
            drop(slot);
        });
    }
}

fn ask(address: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(ANSWER))?;
    socket.send(question)?;
    let mut answer = vec![0; DATAGRAM];
    let length = socket.recv(&mut answer)?;
    answer.truncate(length);
    Ok(answer)
}
