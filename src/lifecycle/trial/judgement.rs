//! The decision about a pending boot or trial, by the evidence.
//!
//! Pure: evidence and time in, a verdict out. It can be repeated at any time and after any crash. Not for applying it.

use jiff::{SignedDuration, Timestamp};

use crate::boot::Fetched;
use crate::evidence::first_fetches::First;
use crate::pool::pending::{Kind, PendingBoot};

/// How long after the first fetch of its last file a boot counts as fetched: longer than firmware's pause between two
/// files, shorter than any machine needs to ask again. Later transfers do not extend it.
pub const QUIET: SignedDuration = SignedDuration::from_secs(5);

/// The same if only a kernel was fetched.
const LONG_QUIET: SignedDuration = SignedDuration::from_mins(2);

/// The time limit of a trial whose record has none.
const WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// How long a boot for once waits for its report if this server does not learn of transfers.
pub const ONCE_WITHOUT_FETCH: SignedDuration = SignedDuration::from_hours(24);

/// How long a running machine can leave its root unused: NFS attributes are revalidated after a minute at most, and
/// some program accesses files all the time.
const IDLE: SignedDuration = SignedDuration::from_mins(8);

/// The evidence.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The pending boot.
    pub boot: &'a PendingBoot,
    /// The first fetch of each file of the environment for it; only the node's own if its address is known.
    pub fetched: &'a [First],
    /// The ways to boot the environment.
    pub ways: &'a [Fetched],
    /// The environment's report: time and boot ID.
    pub reported: Option<(Timestamp, &'a str)>,
    /// Whether the NFS server has the environment in use.
    pub mounted: bool,
    /// Whether only the node can cause NFS use.
    pub sole_client: bool,
    /// Whether it is active already.
    pub active: bool,
    /// Whether another environment reported a boot after the fetch.
    pub left: bool,
    /// Whether this server learns of what the node fetches.
    pub fetches_are_recorded: bool,
    /// The time, UTC.
    pub now: Timestamp,
}

/// The verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Wait.
    Wait,
    /// It was fetched: point the names back to the active environment.
    LeadBack(Fetching),
    /// It completed its boot: make it active.
    Passed,
    /// It did not report in time.
    NotInTime,
    /// The node booted another environment and this one never reported.
    LeftUnsaid,
    /// Its time is over, and this server does not learn of what the node fetches.
    NotRecorded,
    /// It is over, and nothing is left to do.
    Over,
}

/// The fetch of a boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetching {
    /// When it was complete, UTC.
    pub time: Timestamp,
    /// Whether the fetch came from the node's own address.
    pub its: bool,
}

/// Returns the verdict.
pub fn judge(facts: Facts<'_>) -> Verdict {
    let boot = facts.boot;
    if facts.active {
        return Verdict::Over;
    }
    let came_up = came_up(&facts);
    match (boot.fetched, boot.kind) {
        (_, Kind::Try) if came_up => Verdict::Passed,
        (None, _) => match begun(&facts, came_up) {
            Some(fetching) => Verdict::LeadBack(fetching),
            None if !facts.fetches_are_recorded && is_over(boot, facts.now) => Verdict::NotRecorded,
            None => Verdict::Wait,
        },
        (Some(_), Kind::Once) if facts.left => Verdict::Over,
        (Some(_), Kind::Try) if facts.left => Verdict::LeftUnsaid,
        (Some(fetched), Kind::Try) if is_late(boot, fetched, facts.now) => Verdict::NotInTime,
        (Some(_), _) => Verdict::Wait,
    }
}

pub(super) fn is_late(boot: &PendingBoot, fetched: Timestamp, now: Timestamp) -> bool {
    has_passed(fetched, within(boot), now)
}

/// Returns whether a boot whose fetch is not observed is over, by the time since it was set.
fn is_over(boot: &PendingBoot, now: Timestamp) -> bool {
    let limit = match boot.kind {
        Kind::Once => ONCE_WITHOUT_FETCH,
        Kind::Try => within(boot),
    };
    boot.since.is_none_or(|since| has_passed(since, limit, now))
}

fn within(boot: &PendingBoot) -> SignedDuration {
    let seconds = boot.within.and_then(|s| i64::try_from(s).ok());
    seconds.map_or(WITHIN, SignedDuration::from_secs)
}

/// Returns whether so much time has passed; true if the clock was set back before it.
fn has_passed(since: Timestamp, duration: SignedDuration, now: Timestamp) -> bool {
    let passed = now.duration_since(since);
    passed >= duration || passed.is_negative()
}

/// The evidence for cutting a node's power.
#[derive(Debug, Clone, Copy)]
pub struct PowerFacts<'a> {
    /// The failed trial.
    pub boot: &'a PendingBoot,
    /// Whether the NFS server has another environment of the node in use; `None` if unknown.
    pub others_in_use: Option<bool>,
    /// Whether an NFS server runs, which would observe it.
    pub watched: bool,
    /// The time, UTC.
    pub now: Timestamp,
}

/// Returns whether a node may be power-cycled after a failed trial.
///
/// Never if the NFS server observes, or observed since the trial was fetched, that it runs another environment: then it
/// never left it, or is back. A fetch from the node's address is the node's. If the address is not known, another machine
/// may have fetched, and the node may still run its environment: then that root must be unused for longer than any system
/// leaves its root unused.
pub fn may_cut_power(facts: PowerFacts<'_>) -> bool {
    let boot = facts.boot;
    if boot.elsewhere || facts.others_in_use != Some(false) {
        return false;
    }
    let idle = boot
        .withdrawn
        .is_some_and(|since| facts.now.duration_since(since) >= IDLE);
    boot.its || (facts.watched && idle)
}

/// Returns whether the environment reported a new boot.
fn came_up(facts: &Facts<'_>) -> bool {
    facts.reported.is_some_and(|(time, id)| {
        facts.boot.since.is_none_or(|since| time >= since)
            && facts.boot.boot_id_before.as_deref() != Some(id)
    })
}

/// Returns the fetch of the boot, if it is complete.
fn begun(facts: &Facts<'_>, came_up: bool) -> Option<Fetching> {
    if came_up || (facts.mounted && !facts.boot.used_before) {
        let last = facts.fetched.iter().map(|first| first.time).max();
        return Some(Fetching {
            time: last.unwrap_or(facts.now),
            its: facts.sole_client,
        });
    }
    let whole = facts
        .ways
        .iter()
        .filter_map(|way| fetched_whole(facts, way));
    let kernels = facts.ways.iter().map(|way| &way.kernel);
    let kernel = kernels.filter_map(|kernel| fetched(facts, kernel)).min();
    let ended = |time: Option<Timestamp>, quiet| time.filter(|t| has_passed(*t, quiet, facts.now));
    let time = ended(whole.min(), QUIET).or_else(|| ended(kernel, LONG_QUIET))?;
    Some(Fetching {
        time,
        its: facts.fetched.iter().all(|first| first.its),
    })
}

/// Returns the first fetch of the last file of one way to boot, if all were fetched.
fn fetched_whole(facts: &Facts<'_>, way: &Fetched) -> Option<Timestamp> {
    let files = std::iter::once(&way.kernel).chain(&way.initramfs);
    let times: Option<Vec<Timestamp>> = files.map(|file| fetched(facts, file)).collect();
    times?.into_iter().max()
}

fn fetched(facts: &Facts<'_>, file: &str) -> Option<Timestamp> {
    let mut firsts = facts.fetched.iter();
    firsts
        .find(|first| first.file == file)
        .map(|first| first.time)
}

#[cfg(test)]
pub(super) mod tests;
