//! Records what was fetched, on a thread of its own.
//!
//! Recording reads files that a node wrote, and may wait for an NFS client's lease; requests must not wait for that.
//! Nothing is omitted, and the order is kept. The content of a record is defined in `publish::tftp_transfer`.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use super::Event;
use crate::pool::Pool;
use crate::publish::tftp_transfer::{self, Fetched};

/// Maximum number in the queue; above it, requests wait.
const QUEUE_MAX: usize = 1024;

/// The recording thread.
#[derive(Debug)]
pub(super) struct Notes {
    /// `None` once no more will be added.
    fetched: Option<SyncSender<(Arc<Pool>, Fetched)>>,
    events: Receiver<Event>,
    thread: Option<JoinHandle<()>>,
}

impl Notes {
    /// Starts the thread.
    pub(super) fn start() -> Self {
        let (fetched, to_note) = sync_channel::<(Arc<Pool>, Fetched)>(QUEUE_MAX);
        let (tell, events) = channel();
        let thread = std::thread::spawn(move || {
            for (pool, fetched) in to_note {
                note(&pool, fetched, &tell);
            }
        });
        Self {
            fetched: Some(fetched),
            events,
            thread: Some(thread),
        }
    }

    /// Adds a fetched file to the queue.
    pub(super) fn add(&self, pool: Arc<Pool>, fetched: Fetched) {
        if let Some(to) = &self.fetched {
            // The thread ends only after this sender.
            let _ = to.send((pool, fetched));
        }
    }

    /// Returns the events since the last call.
    pub(super) fn events(&self) -> impl Iterator<Item = Event> + '_ {
        self.events.try_iter()
    }
}

impl Drop for Notes {
    /// Records everything in the queue first.
    fn drop(&mut self) {
        self.fetched = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn note(pool: &Pool, fetched: Fetched, tell: &Sender<Event>) {
    let event = match tftp_transfer::note_fetched(pool, &fetched) {
        Ok(node) => node.map(|node| Event::Fetched(pool.root().to_path_buf(), node)),
        Err(e) => Some(Event::Trouble(format!("{e:#}"))),
    };
    let sent = Event::Sent {
        client: fetched.client.parse().unwrap_or(Ipv4Addr::UNSPECIFIED),
        node: fetched.node,
        env: fetched.env,
        file: fetched.file,
        size: fetched.size,
    };
    for event in event.into_iter().chain([sent]) {
        // Nothing receives events after a stop request.
        let _ = tell.send(event);
    }
}
