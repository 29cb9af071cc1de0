//! netbe's own TFTP server: what machines fetch, handed out without trusting them, nor what nodes write.
//!
//! Two processes. One faces the network and has no privileges: it opens no file and knows no pool. The other is
//! root, opens what a request names, beneath a node's boot half and nowhere else, and sees nothing of the
//! network but a client's address and a name. Promises that each request is resolved when it comes, that what
//! is noted as fetched is the environment that was opened, and that a stranger can delay others, not stop them.
//! Which protocol asks is the first one's matter: HTTP would be another such process. Not for DHCP.

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

/// The port machines ask at.
pub const PORT: u16 = 69;

/// What happened, to be told and acted on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Requests are answered from now on.
    Ready(SocketAddrV4),
    /// A client has the whole of a file.
    Sent {
        /// Who.
        client: Ipv4Addr,
        /// Of which node.
        node: NodeName,
        /// Of which environment.
        env: EnvName,
        /// Its path in the boot half.
        file: String,
        /// Its size in bytes.
        size: u64,
    },
    /// A client asked for what it does not get.
    Refused {
        /// Who.
        client: Ipv4Addr,
        /// What it asked for.
        name: String,
        /// Why it does not get it.
        why: String,
    },
    /// The last file of a boot that is before a node of the pool there was fetched: it is to be looked at soon.
    Fetched(PathBuf, NodeName),
    /// Something that netbe should have done, and could not.
    Trouble(String),
}

/// Answers requests until a signal asks for the end.
///
/// `front` is the command that becomes the process that faces the network: it has to call [`face_network`].
///
/// # Errors
/// When the port cannot be had, with who has it; and when the other process ends.
pub fn serve(
    served: Served,
    at: SocketAddrV4,
    mut front: Command,
    tell: &mut dyn FnMut(Event) -> Result<()>,
) -> Result<()> {
    let socket = listen(at)?;
    let at = match socket.local_addr() {
        Ok(std::net::SocketAddr::V4(at)) => at,
        _ => at,
    };
    let (here, there) = channel::pair().context("making a socket between two processes")?;
    confinement::keep_descriptors().context("keeping files to this process")?;
    // Its two files are where every process has its first two: no number is handed over.
    let mut child = front
        .stdin(Stdio::from(OwnedFd::from(socket)))
        .stdout(Stdio::from(there))
        .spawn()
        .context("starting the process that faces the network")?;
    drop(front);
    systemd::say_ready();
    let served = tell(Event::Ready(at)).and_then(|()| back::Back::new(served, here)?.serve(tell));
    // The channel is closed: it ends, and if it hangs it is made to.
    std::thread::sleep(std::time::Duration::from_millis(50));
    if !matches!(child.try_wait(), Ok(Some(_))) {
        let _ = child.kill();
    }
    let ended = child
        .wait()
        .context("waiting for the process that faces the network")?;
    match served? {
        back::End::Asked => Ok(()),
        back::End::Alone => Err(Failure::failed(format!(
            "the process that faces the network ended: {ended}"
        ))
        .into()),
    }
}

/// Is the process that faces the network: its standard input is the socket of requests, its standard output
/// the way to the other process.
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
                let hint = match name.as_str() {
                    "dnsmasq" => {
                        "netbe init --services has dnsmasq leave TFTP to netbe".to_string()
                    }
                    name => format!("{name} answers there: stop it, or leave TFTP to it"),
                };
                Failure::failed(format!("{at} is taken by {name}"))
                    .hint(hint)
                    .into()
            }
            _ => failure
                .hint(format!("who has it: ss -lunp sport = :{}", at.port()))
                .into(),
        }
    })
}
