//! netbe's TFTP server.
//!
//! Two processes. The network process has no privileges, opens no file and knows no pool. The other is root, opens
//! requested files below a node's boot half only, and gets from the network only a client's address and a name. A
//! request is resolved when it arrives, the environment recorded is the one opened, and a stranger can delay others
//! but not stop them. TFTP is known to the network process only: HTTP would be another one. DHCP is not served.

mod back;
mod channel;
mod clients;
mod confinement;
mod front;
mod names;
mod notes;
mod open;
mod packet;
mod pools;
mod queue;
mod systemd;
mod transfer;

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::failure::Failure;
use crate::pool::{EnvName, NodeName};
use crate::publish::tftp_port::{self, Holder};

pub use pools::Served;
pub use systemd::is_unit;

/// The TFTP port.
pub const PORT: u16 = 69;

/// An event to report and act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The server is ready.
    Ready(SocketAddrV4),
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
/// `front` is the command that starts the network process: it must call [`face_network`].
///
/// # Errors
/// If the port is in use, with the program that uses it; if the network process ends.
pub fn serve(
    served: Served,
    at: SocketAddrV4,
    mut front: Command,
    report: &mut dyn FnMut(Event) -> Result<()>,
) -> Result<()> {
    let socket = listen(at)?;
    let at = match socket.local_addr() {
        Ok(std::net::SocketAddr::V4(at)) => at,
        _ => at,
    };
    let (ours, theirs) = channel::pair().context("making a socket between two processes")?;
    confinement::set_close_on_exec().context("marking files close-on-exec")?;
    // Its two files are its stdin and stdout, so no descriptor numbers are passed.
    let mut child = front
        .stdin(Stdio::from(OwnedFd::from(socket)))
        .stdout(Stdio::from(theirs))
        .spawn()
        .context("starting the process that faces the network")?;
    drop(front);
    systemd::notify_ready();
    let served =
        report(Event::Ready(at)).and_then(|()| back::Back::new(served, ours)?.serve(report));
    // The channel is closed, so it ends; it is killed if it hangs.
    std::thread::sleep(std::time::Duration::from_millis(50));
    if !matches!(child.try_wait(), Ok(Some(_))) {
        let _ = child.kill();
    }
    let ended = child
        .wait()
        .context("waiting for the process that faces the network")?;
    match served? {
        back::End::Requested => Ok(()),
        back::End::PeerEnded => Err(Failure::failed(format!(
            "the process that faces the network ended: {ended}"
        ))
        .into()),
    }
}

/// Runs the network process: stdin is the socket for requests, stdout the channel to the other process.
pub fn face_network() -> Result<()> {
    let copy =
        |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned().context("taking over a socket");
    let socket = UdpSocket::from(copy(std::io::stdin().as_fd())?);
    let channel = copy(std::io::stdout().as_fd())?;
    front::run(socket, channel)
}

fn listen(at: SocketAddrV4) -> Result<UdpSocket> {
    UdpSocket::bind(at).map_err(|e| {
        if e.kind() != std::io::ErrorKind::AddrInUse {
            return anyhow::Error::new(e).context(format!("listening at {at}"));
        }
        let failure = Failure::failed(format!("{at} is taken"));
        match tftp_port::holder(at.port()) {
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
