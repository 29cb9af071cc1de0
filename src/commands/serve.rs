//! `netbe serve`

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{Session, reconcile};
use crate::cli::Serve;
use crate::output::clean;
use crate::serve::{self, Event, Served};

/// How many refusals and how many files are told of in [`A_WHILE`]: a stranger must not fill the log, and a fleet
/// that boots is not a stranger.
const REFUSALS: u32 = 200;
const FILES: u32 = 5000;
const A_WHILE: Duration = Duration::from_secs(60);

/// Hands out boot files until it is stopped.
pub fn run(session: &Session, args: &Serve) -> Result<u8> {
    if args.facing_the_network {
        return serve::face_network().map(|()| 0);
    }
    let served = match args.all_pools {
        true => Served::All(session.states.clone()),
        false => Served::One(Box::new(session.pool()?)),
    };
    let program = std::env::current_exe().context("finding this program")?;
    let mut front = Command::new(program);
    front.args(["serve", "--facing-the-network"]).env_clear();
    let mut told = Told {
        refusals: AtMost::new(REFUSALS),
        files: AtMost::new(FILES),
    };
    serve::serve(served, args.listen, front, &mut |event| {
        told.tell(session, event)
    })?;
    Ok(0)
}

/// What was told lately.
#[derive(Debug)]
struct Told {
    refusals: AtMost,
    files: AtMost,
}

impl Told {
    /// Tells of what happened, and starts what follows from it; where nobody reads it any more, serving goes on.
    fn tell(&mut self, session: &Session, event: Event) -> Result<()> {
        let (line, budget) = match event {
            Event::Ready(at) => {
                let _ = session.screen.sentence(&format!("Answering at {at}."));
                return Ok(());
            }
            Event::Fetched(pool, node) => {
                if let Err(e) = reconcile::reconcile_soon(session, &pool, &node) {
                    session.screen.failed(&e, None);
                }
                return Ok(());
            }
            Event::Trouble(why) => (
                format!("cannot note a transfer: {}", clean(&why)),
                &mut self.refusals,
            ),
            Event::Sent {
                client,
                node,
                env,
                file,
                size,
            } => (
                format!("{client}: {node}/{env} {} ({size} bytes)", clean(&file)),
                &mut self.files,
            ),
            Event::Refused { client, name, why } => (
                format!("{client}: not {}: {}", clean(&name), clean(&why)),
                &mut self.refusals,
            ),
        };
        if let Some(more) = budget.count(Instant::now()) {
            let _ = session.screen.sentence(&format!("{line}{more}"));
        }
        Ok(())
    }
}

/// So many lines in [`A_WHILE`].
#[derive(Debug)]
struct AtMost {
    most: u32,
    count: u32,
    since: Instant,
}

impl AtMost {
    fn new(most: u32) -> Self {
        Self {
            most,
            count: 0,
            since: Instant::now(),
        }
    }

    /// Counts one; returns what to say after it, and `None` where it is not said.
    fn count(&mut self, now: Instant) -> Option<&'static str> {
        if now.duration_since(self.since) > A_WHILE {
            (self.since, self.count) = (now, 0);
        }
        self.count = self.count.saturating_add(1);
        match self.count {
            n if n < self.most => Some(""),
            n if n == self.most => Some("; no more such lines for a minute"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_lines_a_minute() {
        let mut it = AtMost::new(3);
        let now = it.since;
        let said: Vec<_> = (0..1000).filter_map(|_| it.count(now)).collect();
        assert_eq!(said.len(), 3);
        assert!(said[2].contains("no more"));
        assert_eq!(it.count(now + A_WHILE * 2), Some(""));
    }
}
