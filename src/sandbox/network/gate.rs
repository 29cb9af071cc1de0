//! The process between a private network and this machine: it passes on what is admitted, and closes addresses that
//! this machine gets meanwhile.
//!
//! Bytes go through it unread. It connects to what it was told to admit and to nothing else, whatever is asked inside.
//! It has no privilege but that of closing more, and dies with the sandbox' first stage.

use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;

use super::super::attendant::Attendant;
use super::super::privileges::NET_ADMIN;
use super::netlink::{Policy, Route};
use crate::fs::threads;

/// How many connections and questions at a time; what is more waits, or is lost as questions may be.
const MOST: usize = 128;
/// How long a name server may think.
const ANSWER: Duration = Duration::from_secs(10);
/// The longest datagram that is passed on.
const DATAGRAM: usize = 64 << 10;

/// What it holds: sockets of the private network.
#[derive(Debug)]
pub(super) struct Gate {
    pub(super) routes: Route,
    pub(super) policy: Option<Policy>,
    pub(super) services: Vec<TcpListener>,
    pub(super) resolvers: Vec<UdpSocket>,
}

impl Gate {
    pub(super) fn new(routes: Route, policy: Option<Policy>) -> Self {
        Self {
            routes,
            policy,
            services: Vec::new(),
            resolvers: Vec::new(),
        }
    }
}

/// Starts it; `channel` is not for it.
pub(super) fn start(gate: &Gate, channel: RawFd) -> anyhow::Result<Attendant> {
    // Before there is a process: nothing that happens from here on is missed.
    let changes = Route::open_for_changes().context("watching addresses")?;
    Attendant::start(channel, &[NET_ADMIN], || keep(gate, &changes))
}

fn keep(gate: &Gate, changes: &Route) -> anyhow::Result<()> {
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

/// A place among those that are busy; given back when dropped.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(busy: &Arc<AtomicUsize>) -> Option<Self> {
        let place = Self(Arc::clone(busy));
        (busy.fetch_add(1, Ordering::SeqCst) < MOST).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn admit(service: &TcpListener, busy: &Arc<AtomicUsize>) {
    let Ok(address) = service.local_addr() else {
        return;
    };
    loop {
        let place = loop {
            match Place::take(busy) {
                Some(place) => break place,
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        match service.accept() {
            // One that cannot be had ends at once, as where nobody listens.
            Ok((inside, _)) => drop(threads::start(move || {
                let _ = join(&inside, address);
                drop(place);
            })),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Carries bytes both ways until both sides have said all.
fn join(inside: &TcpStream, address: SocketAddr) -> io::Result<()> {
    let outside = TcpStream::connect(address)?;
    let (from, to) = (inside.try_clone()?, outside.try_clone()?);
    let there = threads::start(move || carry(&from, &to))?;
    carry(&outside, inside);
    let _ = there.join();
    Ok(())
}

fn carry(mut from: &TcpStream, mut to: &TcpStream) {
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
            Ok(asked) => asked,
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            // Of an answer that nobody waited for.
            Err(_) => {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            }
        };
        let Some(place) = Place::take(busy) else {
            continue;
        };
        let (text, back) = (question[..length].to_vec(), Arc::clone(resolver));
        let _ = threads::start(move || {
            if let Ok(answer) = ask(address, &text) {
                let _ = back.send_to(&answer, asker);
            }
            drop(place);
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
