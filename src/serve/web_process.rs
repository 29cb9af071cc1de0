//! The process that serves HTTP: started and ended as the property `http` says.
//!
//! TFTP goes on without it: a port that is in use is reported once, and tried again. Not for its work.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Error, Result, anyhow};

use super::Event;
use super::process::Process;
use crate::publish::port_holder::{self, Holder};

/// How often the property is read.
const CHECK_TIME: Duration = Duration::from_secs(2);

/// The process, while one is wanted.
pub(super) struct WebProcess<'a> {
    at: Ipv4Addr,
    command: &'a dyn Fn() -> Command,
    running: Option<Running>,
    checked: Option<Instant>,
    /// The failure that was reported last.
    reported: Option<String>,
}

struct Running {
    port: u16,
    process: Process,
    channel: OwnedFd,
}

impl<'a> WebProcess<'a> {
    pub(super) fn new(at: Ipv4Addr, command: &'a dyn Fn() -> Command) -> Self {
        Self {
            at,
            command,
            running: None,
            checked: None,
            reported: None,
        }
    }

    /// Returns the channel to it.
    pub(super) fn channel(&self) -> Option<&OwnedFd> {
        self.running.as_ref().map(|running| &running.channel)
    }

    /// Starts or ends the process if another port is wanted than it has; returns the event to report.
    ///
    /// `ended` is called before a running process is ended.
    pub(super) fn adjust(
        &mut self,
        wanted: impl FnOnce() -> Option<u16>,
        ended: impl FnOnce(),
    ) -> Option<Event> {
        let now = Instant::now();
        if self.checked.is_some_and(|then| now - then < CHECK_TIME) {
            return None;
        }
        self.checked = Some(now);
        let wanted = wanted();
        if self.running.as_ref().map(|running| running.port) == wanted {
            return None;
        }
        ended();
        drop(self.end());
        let at = SocketAddrV4::new(self.at, wanted?);
        match self.start(at) {
            Ok(running) => {
                (self.running, self.reported) = (Some(running), None);
                Some(Event::ReadyForHttp(at))
            }
            Err(e) => {
                let why = format!("{e:#}");
                let is_news = self.reported.as_ref() != Some(&why);
                self.reported = Some(why.clone());
                is_news.then_some(Event::NoHttp(why))
            }
        }
    }

    fn start(&self, at: SocketAddrV4) -> Result<Running> {
        let socket = TcpListener::bind(at).map_err(|e| taken(e, at))?;
        let (process, channel) = Process::start((self.command)(), socket.into())?;
        Ok(Running {
            port: at.port(),
            process,
            channel,
        })
    }

    /// Ends the process; returns an event if it failed.
    pub(super) fn end(&mut self) -> Option<Event> {
        let Running {
            process, channel, ..
        } = self.running.take()?;
        drop(channel);
        let ended = match process.end() {
            Ok(status) => status.to_string(),
            Err(e) => format!("{e:#}"),
        };
        Some(Event::NoHttp(format!(
            "the process that faces the network ended: {ended}"
        )))
    }
}

/// Returns the failure to listen, with the program that has the port.
fn taken(e: io::Error, at: SocketAddrV4) -> Error {
    let is_taken = e.kind() == io::ErrorKind::AddrInUse;
    match port_holder::of_tcp(at.port()) {
        Holder::Program(name) if is_taken => anyhow!("{at} is taken by {name}"),
        _ if is_taken => anyhow!("{at} is taken"),
        _ => Error::new(e).context(format!("listening at {at}")),
    }
}
