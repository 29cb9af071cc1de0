//! The protocol between netbe and the sandbox's first stage: one request, then reports.
//!
//! JSON lines over one socket; a report may carry a descriptor. Programs inside never hold the socket. netbe
//! trusts a report for nothing but how the program ended.

use std::io::{self, IoSlice, IoSliceMut, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use serde::{Deserialize, Serialize};

use super::network::Range;
use super::signals::retry_interrupted;
use super::{Bound, Durable, Ended, Network};

/// The values with which the first stage makes the sandbox and starts the program.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// Process ID of netbe, which must still be the parent.
    pub(super) parent: u32,
    pub(super) root: PathBuf,
    pub(super) boot: PathBuf,
    pub(super) boot_mount: String,
    pub(super) hostname: String,
    pub(super) argv: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) input: Input,
    /// Whether stderr is the terminal too, and not a pipe of its own.
    pub(super) errors_to_terminal: bool,
    pub(super) durable: Durable,
    pub(super) network: Network,
    /// The addresses of its connection, where it has one.
    pub(super) range: Option<Range>,
    /// The directory mounted where packages are downloaded to.
    pub(super) packages: Option<PathBuf>,
    /// Directories mounted in place of the environment's own.
    pub(super) data: Vec<Bound>,
    /// Files on the sandbox's own file systems.
    pub(super) files: Vec<StandIn>,
}

/// The input of the program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Input {
    /// The sandbox's own `/dev/null`: programs inside could change the mode of the server's.
    #[default]
    Null,
    /// The pipe the first stage was started with.
    Pipe,
    /// A terminal of the sandbox's own, as the controlling terminal and the output.
    Terminal,
}

/// A file on one of the sandbox's own file systems.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StandIn {
    /// Relative to the root.
    pub(super) path: String,
    pub(super) content: String,
    pub(super) mode: u32,
}

/// A report of the first stage or of init.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    /// The master end of the program's terminal comes with this line.
    Terminal,
    /// The sandbox could not be made: the error and its causes.
    Failed(String),
    /// The program ended, or could not be started.
    Ended(Ended),
}

/// Reads the request up to the end of the stream.
pub(super) fn receive_request(channel: &UnixStream) -> io::Result<Request> {
    let mut text = Vec::new();
    let mut reader = channel;
    reader.read_to_end(&mut text)?;
    serde_json::from_slice(&text).map_err(io::Error::from)
}

/// Sends a report, with a descriptor where there is one.
pub(super) fn send_report(
    channel: &UnixStream,
    report: &Report,
    descriptor: Option<&OwnedFd>,
) -> io::Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    // A report is far smaller than a socket's buffer: it goes whole or not at all.
    send_along(channel, &line, descriptor)
}

/// Sends bytes, and a descriptor with them where there is one.
pub(super) fn send_along(
    channel: &UnixStream,
    bytes: &[u8],
    descriptor: Option<&OwnedFd>,
) -> io::Result<()> {
    let raw: Vec<RawFd> = descriptor.iter().map(|fd| fd.as_raw_fd()).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
    // A message is smaller than the socket's buffer: it is sent whole or not at all.
    let parts = [IoSlice::new(bytes)];
    let flags = MsgFlags::MSG_NOSIGNAL;
    retry_interrupted(|| sendmsg::<()>(channel.as_raw_fd(), &parts, control, flags, None))?;
    Ok(())
}

/// Receives bytes, and the descriptor sent with them.
pub(super) fn receive_along(
    channel: &UnixStream,
    bytes: &mut [u8],
) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut control = nix::cmsg_space!([RawFd; 1]);
    let mut slices = [IoSliceMut::new(bytes)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(channel.as_raw_fd(), &mut slices, Some(&mut control), flags)?;
    let mut descriptor = None;
    for part in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = part {
            descriptor = raw.into_iter().map(from_raw).next_back();
        }
    }
    Ok((message.bytes, descriptor))
}

/// Collects reports, which may arrive in pieces.
#[derive(Debug, Default)]
pub(super) struct Reports {
    buffered: Vec<u8>,
    descriptor: Option<OwnedFd>,
}

impl Reports {
    /// Reads what has arrived; `None` once the sandbox has closed its end.
    pub(super) fn receive(&mut self, channel: &UnixStream) -> io::Result<Option<Vec<Report>>> {
        let mut bytes = [0u8; 4096];
        let (length, descriptor) = receive_along(channel, &mut bytes)?;
        self.descriptor = descriptor.or(self.descriptor.take());
        if length == 0 {
            return Ok(None);
        }
        self.buffered.extend_from_slice(&bytes[..length]);
        let mut reports = Vec::new();
        while let Some(end) = self.buffered.iter().position(|b| *b == b'\n') {
            let line: Vec<u8> = self.buffered.drain(..=end).collect();
            reports.push(serde_json::from_slice(&line)?);
        }
        Ok(Some(reports))
    }

    /// Takes the descriptor received last.
    pub(super) fn take_descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptor.take()
    }
}

#[allow(unsafe_code)]
fn from_raw(raw: RawFd) -> OwnedFd {
    // SAFETY: the kernel made this descriptor while receiving the message; nothing else owns it.
    unsafe { OwnedFd::from_raw_fd(raw) }
}
