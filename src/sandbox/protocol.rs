//! What netbe and the sandbox's first stage say to each other: one request, then reports.
//!
//! Lines of JSON over one socket; a report may carry a descriptor. The programs inside never hold this
//! socket, and netbe believes nothing on it but how a program ended.

use std::io::{self, IoSlice, IoSliceMut, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use serde::{Deserialize, Serialize};

use super::mountpoints::Place;
use super::network::Range;
use super::signals::whatever_comes;
use super::{Durable, Ended, Network};

/// Everything the first stage has to know.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// The netbe that waits for this sandbox; it must still be the parent.
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
    /// What is mounted where packages are downloaded to.
    pub(super) packages: Option<PathBuf>,
    /// Files of netbe's that stand in for the environment's own while it runs.
    pub(super) files: Vec<StandIn>,
}

/// What the program reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Input {
    /// The sandbox's own `/dev/null`: the server's could be given another mode from inside.
    Null,
    /// The pipe the first stage was started with.
    Pipe,
    /// A terminal of the sandbox's own, as controlling terminal; also what the program writes to.
    Terminal,
}

/// A file mounted over one of the environment's.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StandIn {
    pub(super) place: Place,
    pub(super) content: String,
    pub(super) mode: u32,
}

/// What the first stage answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    /// The controlling end of the program's terminal comes with this line.
    Terminal,
    /// The sandbox could not be made; the whole cause in one line.
    Failed(String),
    /// The program ended, or could not be started.
    Ended(Ended),
}

/// Reads the one request, up to the end that the sender has marked by closing its side.
pub(super) fn receive_request(channel: &UnixStream) -> io::Result<Request> {
    let mut text = Vec::new();
    let mut reader = channel;
    reader.read_to_end(&mut text)?;
    serde_json::from_slice(&text).map_err(io::Error::from)
}

/// Sends a report, and a descriptor with it where there is one.
pub(super) fn send_report(
    channel: &UnixStream,
    report: &Report,
    descriptor: Option<&OwnedFd>,
) -> io::Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    let raw: Vec<RawFd> = descriptor.iter().map(|fd| fd.as_raw_fd()).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control: &[ControlMessage<'_>] = if raw.is_empty() { &[] } else { &rights };
    // A report is far smaller than a socket's buffer: it goes whole or not at all.
    let parts = [IoSlice::new(&line)];
    let flags = MsgFlags::MSG_NOSIGNAL;
    whatever_comes(|| sendmsg::<()>(channel.as_raw_fd(), &parts, control, flags, None))?;
    Ok(())
}

/// Collects reports as they arrive, also in pieces.
#[derive(Debug, Default)]
pub(super) struct Reports {
    buffered: Vec<u8>,
    descriptor: Option<OwnedFd>,
}

impl Reports {
    /// Takes in what has arrived; `None` once the sandbox is gone.
    pub(super) fn receive(&mut self, channel: &UnixStream) -> io::Result<Option<Vec<Report>>> {
        let mut bytes = [0u8; 4096];
        let mut control = nix::cmsg_space!([RawFd; 1]);
        let mut slices = [IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(channel.as_raw_fd(), &mut slices, Some(&mut control), flags)?;
        for part in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(raw) = part {
                self.descriptor = raw.into_iter().map(own).next_back();
            }
        }
        let length = message.bytes;
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

    /// Returns the descriptor that came last, once.
    pub(super) fn take_descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptor.take()
    }
}

#[allow(unsafe_code)]
fn own(raw: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made this descriptor for us while receiving it; nothing else owns it.
    unsafe { OwnedFd::from_raw_fd(raw) }
}
