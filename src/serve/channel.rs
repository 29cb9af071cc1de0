//! Messages between the two processes: small, over a socket, one of them with a file descriptor.
//!
//! Messages of the network process are as untrusted as packets. Their size is limited.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyhow::{Context, Result};
use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr,
    recvmsg, sendmsg, socketpair,
};

use super::packet::{Code, REQUEST_MAX};

/// Maximum size of a message.
const MESSAGE_MAX: usize = REQUEST_MAX + 64;

/// Stands for no error code.
const NO_CODE: u8 = u8::MAX;

/// A message of the network process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ask {
    /// A client requests a file.
    Open {
        /// Number of the request.
        id: u64,
        /// The client's address.
        client: Ipv4Addr,
        /// The requested name.
        name: String,
    },
    /// The transfer of an opened file has ended.
    Ended {
        /// Number of its request.
        id: u64,
        /// Whether the client received all of it.
        whole: bool,
    },
}

/// A message of the process that opens files.
#[derive(Debug)]
pub(super) enum Opened {
    /// The file was opened.
    File {
        /// Number of the request.
        id: u64,
        /// Number of bytes to send.
        size: u64,
        /// The file, open for reading.
        file: OwnedFd,
    },
    /// The file is not served.
    Refused {
        /// Number of the request.
        id: u64,
        /// Error code; `None` to send nothing, so that the client repeats its request.
        code: Option<Code>,
    },
}

/// Returns the two ends of a channel.
pub(super) fn pair() -> nix::Result<(OwnedFd, OwnedFd)> {
    socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )
}

impl Ask {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Open { id, client, name } => [
                &b"O"[..],
                &id.to_le_bytes(),
                &client.octets(),
                name.as_bytes(),
            ]
            .concat(),
            Self::Ended { id, whole } => {
                [&b"E"[..], &id.to_le_bytes(), &[u8::from(*whole)]].concat()
            }
        }
    }

    /// Parses a message; `None` if it is invalid.
    fn read(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let (id, rest) = rest.split_first_chunk::<8>()?;
        let id = u64::from_le_bytes(*id);
        match (kind, rest) {
            (b'E', [whole @ (0 | 1)]) => Some(Self::Ended {
                id,
                whole: *whole == 1,
            }),
            (b'O', rest) => {
                let (client, name) = rest.split_first_chunk::<4>()?;
                Some(Self::Open {
                    id,
                    client: Ipv4Addr::from(*client),
                    name: std::str::from_utf8(name).ok()?.to_string(),
                })
            }
            _ => None,
        }
    }

    /// Sends it without waiting: `EAGAIN` if the channel is full.
    pub(super) fn send(&self, channel: &OwnedFd) -> nix::Result<()> {
        let bytes = self.bytes();
        sendmsg::<UnixAddr>(
            channel.as_raw_fd(),
            &[IoSlice::new(&bytes)],
            &[],
            MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL,
            None,
        )?;
        Ok(())
    }

    /// Sends those that fit into the channel now.
    pub(super) fn send_all(unsent: &mut VecDeque<Self>, channel: &OwnedFd) -> Result<()> {
        while let Some(first) = unsent.front() {
            match first.send(channel) {
                Ok(()) => drop(unsent.pop_front()),
                Err(Errno::EAGAIN | Errno::EINTR) => break,
                Err(e) => return Err(e).context("reporting a transfer"),
            }
        }
        Ok(())
    }

    /// Receives the next message; `None` at the end, and after an invalid one, which ends the protocol.
    pub(super) fn receive(channel: &OwnedFd) -> nix::Result<Option<Self>> {
        let mut buffer = [0; MESSAGE_MAX];
        // No space for descriptors: the kernel closes any that are attached.
        let (length, flags) = {
            let mut parts = [IoSliceMut::new(&mut buffer)];
            let received =
                recvmsg::<UnixAddr>(channel.as_raw_fd(), &mut parts, None, MsgFlags::empty())?;
            (received.bytes, received.flags)
        };
        match flags.contains(MsgFlags::MSG_TRUNC) {
            true => Ok(None),
            false => Ok(Self::read(&buffer[..length])),
        }
    }
}

impl Opened {
    /// Sends it.
    pub(super) fn send(&self, channel: &OwnedFd) -> nix::Result<()> {
        let (bytes, file) = match self {
            Self::File { id, size, file } => (
                [&b"F"[..], &id.to_le_bytes(), &size.to_le_bytes()].concat(),
                Some(file),
            ),
            Self::Refused { id, code } => (
                [
                    &b"R"[..],
                    &id.to_le_bytes(),
                    &[code.map_or(NO_CODE, |code| code as u8)],
                ]
                .concat(),
                None,
            ),
        };
        let descriptors: Vec<_> = file.iter().map(|f| f.as_raw_fd()).collect();
        let control = [ControlMessage::ScmRights(&descriptors)];
        let control = if descriptors.is_empty() {
            &[][..]
        } else {
            &control[..]
        };
        loop {
            match sendmsg::<UnixAddr>(
                channel.as_raw_fd(),
                &[IoSlice::new(&bytes)],
                control,
                MsgFlags::MSG_NOSIGNAL,
                None,
            ) {
                Err(Errno::EINTR) => {}
                sent => return sent.map(drop),
            }
        }
    }

    /// Receives the next message; `None` at the end, `EAGAIN` if there is none.
    #[allow(unsafe_code)]
    pub(super) fn receive(channel: &OwnedFd) -> nix::Result<Option<Self>> {
        let mut buffer = [0; 32];
        let mut space = cmsg_space!([std::os::fd::RawFd; 1]);
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let received =
            recvmsg::<UnixAddr>(channel.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
        let length = received.bytes;
        let mut file = None;
        for message in received.cmsgs()? {
            if let ControlMessageOwned::ScmRights(descriptors) = message {
                for descriptor in descriptors {
                    // SAFETY: the kernel has just made it for this process; nothing else owns it.
                    file = Some(unsafe { OwnedFd::from_raw_fd(descriptor) });
                }
            }
        }
        let Some((kind, rest)) = buffer[..length].split_first() else {
            return Ok(None);
        };
        let Some((id, rest)) = rest.split_first_chunk::<8>() else {
            return Ok(None);
        };
        let id = u64::from_le_bytes(*id);
        Ok(match (kind, file, rest) {
            (b'F', Some(file), rest) => rest.first_chunk::<8>().map(|size| Self::File {
                id,
                size: u64::from_le_bytes(*size),
                file,
            }),
            (b'R', _, [code]) => Some(Self::Refused {
                id,
                code: match *code {
                    NO_CODE => None,
                    1 => Some(Code::NotFound),
                    2 => Some(Code::Denied),
                    _ => Some(Code::Undefined),
                },
            }),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_round_trip() {
        let (here, there) = pair().unwrap();
        let asks = [
            Ask::Open {
                id: 7,
                client: Ipv4Addr::new(10, 0, 0, 5),
                name: "a/b".into(),
            },
            Ask::Ended {
                id: u64::MAX,
                whole: true,
            },
        ];
        for ask in asks {
            ask.send(&here).unwrap();
            assert_eq!(Ask::receive(&there).unwrap(), Some(ask));
        }
        let file = OwnedFd::from(std::fs::File::open("/proc/version").unwrap());
        Opened::File {
            id: 7,
            size: 3,
            file,
        }
        .send(&there)
        .unwrap();
        let received = Opened::receive(&here).unwrap();
        assert!(
            matches!(received, Some(Opened::File { id: 7, size: 3, .. })),
            "{received:?}"
        );
        Opened::Refused {
            id: 8,
            code: Some(Code::Denied),
        }
        .send(&there)
        .unwrap();
        let received = Opened::receive(&here).unwrap();
        assert!(
            matches!(
                received,
                Some(Opened::Refused {
                    id: 8,
                    code: Some(Code::Denied)
                })
            ),
            "{received:?}"
        );
        assert_eq!(Opened::receive(&here).unwrap_err(), Errno::EAGAIN);
        drop(here);
        assert_eq!(Ask::receive(&there).unwrap(), None);
    }

    #[test]
    fn a_descriptor_sent_to_the_opening_process_is_closed() {
        let (here, there) = pair().unwrap();
        let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let file = OwnedFd::from(std::fs::File::open("/proc/version").unwrap());
        let before = count();
        for _ in 0..300 {
            Opened::File {
                id: 1,
                size: 1,
                file: file.try_clone().unwrap(),
            }
            .send(&here)
            .unwrap();
            assert_eq!(Ask::receive(&there).unwrap(), None);
        }
        assert!(count() < before + 100);
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..1100)) {
            if let Some(ask) = Ask::read(&bytes) {
                prop_assert_eq!(ask.bytes(), bytes);
            }
        }
    }
}
