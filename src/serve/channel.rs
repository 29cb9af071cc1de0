//! What the two processes say to each other: small messages over a socket, one of them with a file.
//!
//! What comes from the process that faces the network is looked at like anything from the network. Promises
//! messages of a bounded size. Not for what they lead to.

use std::io::{IoSlice, IoSliceMut};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr,
    recvmsg, sendmsg, socketpair,
};

use super::packet::{Code, LONGEST_REQUEST};

/// How long a message may be.
const LONGEST: usize = LONGEST_REQUEST + 64;

/// In place of a code, where there is none.
const NO_CODE: u8 = u8::MAX;

/// What the process that faces the network says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ask {
    /// A client asks for a file.
    Open {
        /// The request, by number.
        id: u64,
        /// Who asks.
        client: Ipv4Addr,
        /// By which name.
        name: String,
    },
    /// A file that was opened is no longer sent.
    Ended {
        /// The request it was opened for.
        id: u64,
        /// Whether the client has all of it.
        whole: bool,
    },
}

/// What the process that opens files says.
#[derive(Debug)]
pub(super) enum Opened {
    /// Here it is.
    File {
        /// The request.
        id: u64,
        /// How many bytes to send.
        size: u64,
        /// The file, open for reading.
        file: OwnedFd,
    },
    /// It is not handed out.
    Refused {
        /// The request.
        id: u64,
        /// Why; `None` where the client is told nothing, and asks again.
        code: Option<Code>,
    },
}

/// Returns the two ends.
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

    /// Reads one; `None` for what the other process would never say.
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

    /// Says it, without waiting: `EAGAIN` where there is no room.
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

    /// Takes the next; `None` at the end, also of what makes no sense: there is nothing more to be had from it.
    pub(super) fn receive(channel: &OwnedFd) -> nix::Result<Option<Self>> {
        let mut buffer = [0; LONGEST];
        // No room for descriptors: what is sent along is closed by the kernel.
        let (length, flags) = {
            let mut parts = [IoSliceMut::new(&mut buffer)];
            let got =
                recvmsg::<UnixAddr>(channel.as_raw_fd(), &mut parts, None, MsgFlags::empty())?;
            (got.bytes, got.flags)
        };
        match flags.contains(MsgFlags::MSG_TRUNC) {
            true => Ok(None),
            false => Ok(Self::read(&buffer[..length])),
        }
    }
}

impl Opened {
    /// Says it.
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
        let along = [ControlMessage::ScmRights(&descriptors)];
        let along = if descriptors.is_empty() {
            &[][..]
        } else {
            &along[..]
        };
        loop {
            match sendmsg::<UnixAddr>(
                channel.as_raw_fd(),
                &[IoSlice::new(&bytes)],
                along,
                MsgFlags::MSG_NOSIGNAL,
                None,
            ) {
                Err(Errno::EINTR) => {}
                sent => return sent.map(drop),
            }
        }
    }

    /// Takes the next; `None` at the end, `EAGAIN` where none is there.
    #[allow(unsafe_code)]
    pub(super) fn receive(channel: &OwnedFd) -> nix::Result<Option<Self>> {
        let mut buffer = [0; 32];
        let mut space = cmsg_space!([std::os::fd::RawFd; 1]);
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let got = recvmsg::<UnixAddr>(channel.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
        let length = got.bytes;
        let mut file = None;
        for message in got.cmsgs()? {
            if let ControlMessageOwned::ScmRights(descriptors) = message {
                for descriptor in descriptors {
                    // SAFETY: the kernel has just made it for this process, and nothing else knows of it.
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
    fn what_is_said_arrives() {
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
        let got = Opened::receive(&here).unwrap();
        assert!(
            matches!(got, Some(Opened::File { id: 7, size: 3, .. })),
            "{got:?}"
        );
        Opened::Refused {
            id: 8,
            code: Some(Code::Denied),
        }
        .send(&there)
        .unwrap();
        let got = Opened::receive(&here).unwrap();
        assert!(
            matches!(
                got,
                Some(Opened::Refused {
                    id: 8,
                    code: Some(Code::Denied)
                })
            ),
            "{got:?}"
        );
        assert_eq!(Opened::receive(&here).unwrap_err(), Errno::EAGAIN);
        drop(here);
        assert_eq!(Ask::receive(&there).unwrap(), None);
    }

    #[test]
    fn a_file_sent_to_the_process_that_opens_them_is_not_taken() {
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
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..1100)) {
            if let Some(ask) = Ask::read(&bytes) {
                prop_assert_eq!(ask.bytes(), bytes);
            }
        }
    }
}
