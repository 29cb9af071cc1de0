//! netbe's TFTP and HTTP server.
//!
//! A process for each protocol that faces the network: it has no privileges, opens no file and knows no pool. Another one
//! is root, opens requested files below a node's boot half only, and gets from the network only a client's address and a
//! name. A request is resolved when it arrives, the environment recorded is the one opened, and a stranger can delay
//! others but not stop them. DHCP is not served.

mod back;
mod channel;
mod clients;
mod confinement;
mod front;
mod machines;
mod names;
mod notes;
mod open;
mod packet;
mod pools;
mod process;
mod queue;
mod systemd;
mod transfer;
mod web;
mod web_process;

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use nix::sys::socket::{SockType, getsockopt, sockopt};

use crate::failure::Failure;
use crate::pool::{EnvName, NodeName};
use crate::publish::port_holder::{self, Holder};

pub use pools::Served;
use process::Process;
pub use systemd::is_unit;
use web_process::WebProcess;

/// The TFTP port.
pub const PORT: u16 = 69;

/// An event to report and act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The server is ready.
    Ready(SocketAddrV4),
    /// The server answers HTTP requests too.
    ReadyForHttp(SocketAddrV4),
    /// The server should answer HTTP requests, but cannot, with the reason.
    NoHttp(String),
    /// A client received a whole file.
    Sent {
        /// The client.
        client: Ipv4Addr,
        /// The node.
        node: NodeName,
        /// The environment.
        env: EnvName,
        /// Its path in the boot half.
        file: String,
        /// Its size in bytes.
        size: u64,
    },
    /// A request was refused.
    Refused {
        /// The client.
        client: Ipv4Addr,
        /// The requested name.
        name: String,
        /// The reason.
        why: String,
    },
    /// The last file of a node's pending boot was fetched: its state should be checked soon.
    Fetched(PathBuf, NodeName),
    /// An operation of netbe's failed.
    Trouble(String),
}

/// Serves requests until a stop is requested.
///
/// `front` makes the command that starts a network process: it must call [`face_network`].
///
/// # Errors
/// If the port is in use, with the program that uses it; if the network process for TFTP ends.
pub fn serve(
    served: Served,
    at: SocketAddrV4,
    front: &dyn Fn() -> Command,
    report: &mut dyn FnMut(Event) -> Result<()>,
) -> Result<()> {
    let socket = listen(at)?;
    let at = match socket.local_addr() {
        Ok(std::net::SocketAddr::V4(at)) => at,
        _ => at,
    };
    let (process, channel) = Process::start(front(), socket.into())?;
    systemd::notify_ready();
    let served = report(Event::Ready(at)).and_then(|()| {
        let web = WebProcess::new(*at.ip(), front);
        back::Back::new(served, channel, web)?.serve(report)
    });
    // Its channel is closed, so it ends.
    let ended = process.end()?;
    match served? {
        back::End::Requested => Ok(()),
        back::End::PeerEnded => Err(Failure::failed(format!(
            "the process that faces the network ended: {ended}"
        ))
        .into()),
    }
}

/// Runs a network process: stdin is the socket for requests, stdout the channel to the other process.
pub fn face_network() -> Result<()> {
    let copy =
        |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned().context("taking over a socket");
    let socket = copy(std::io::stdin().as_fd())?;
    let channel = copy(std::io::stdout().as_fd())?;
    match getsockopt(&socket, sockopt::SockType).context("looking at a socket")? {
        SockType::Stream => web::run(TcpListener::from(socket), channel),
        _ => front::run(UdpSocket::from(socket), channel),
    }
}

fn listen(at: SocketAddrV4) -> Result<UdpSocket> {
    UdpSocket::bind(at).map_err(|e| {
        if e.kind() != std::io::ErrorKind::AddrInUse {
            return anyhow::Error::new(e).context(format!("listening at {at}"));
        }
        let failure = Failure::failed(format!("{at} is taken"));
        match port_holder::of_udp(at.port()) {
            Holder::Program(name) => {
                let failure = Failure::failed(format!("{at} is taken by {name}"));
                match name.as_str() {
                    "dnsmasq" => {
                        failure.hint_to("to have it leave TFTP to netbe", "netbe init --services")
                    }
                    _ => failure.hint_to(
                        "stop it, or leave TFTP to it",
                        format!("ss -lunp sport = :{}", at.port()),
                    ),
                }
                .into()
            }
            _ => failure
                .hint(format!("ss -lunp sport = :{}", at.port()))
                .into(),
        }
    })
}
