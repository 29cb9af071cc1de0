//! Taking note of what was fetched, beside the answering of requests.
//!
//! Noting reads what a node wrote, and a file that an NFS client has for itself is waited for: that keeps no
//! machine from its files. Promises that nothing that was fetched is left out, and the order. Not for what a
//! note says: that is `publish::tftp_transfer`.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use super::Event;
use crate::pool::Pool;
use crate::publish::tftp_transfer::{self, Fetched};

/// How many wait to be noted before requests do.
const WAITING: usize = 1024;

/// What notes.
#[derive(Debug)]
pub(super) struct Notes {
    /// Gone when no more is to come.
    fetched: Option<SyncSender<(Arc<Pool>, Fetched)>>,
    events: Receiver<Event>,
    thread: Option<JoinHandle<()>>,
}

impl Notes {
    /// Begins, in a thread of its own.
    pub(super) fn start() -> Self {
        let (fetched, to_note) = sync_channel::<(Arc<Pool>, Fetched)>(WAITING);
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

    /// Has one noted.
    pub(super) fn add(&self, pool: Arc<Pool>, fetched: Fetched) {
        if let Some(to) = &self.fetched {
            // It ends only after this.
            let _ = to.send((pool, fetched));
        }
    }

    /// Returns what came of those that were noted since.
    pub(super) fn told(&self) -> impl Iterator<Item = Event> + '_ {
        self.events.try_iter()
    }
}

impl Drop for Notes {
    /// Notes what was fetched before it ends.
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
        // Nobody listens any more once the end was asked for.
        let _ = tell.send(event);
    }
}
