//! What becomes of a boot for once or on trial, from what has been seen of it.
//!
//! Pure: what was seen goes in, with the time; one word comes out. The same again gives the same word, so
//! it may be asked at any time and after any crash. Not for doing it.

use jiff::{SignedDuration, Timestamp};

use crate::boot::Fetched;
use crate::evidence::first_fetches::First;
use crate::pool::pending::{Kind, PendingBoot};

/// How long after the last of its files a boot is taken to have begun: longer than firmware thinks between two files,
/// shorter than any machine takes from there to asking again. No later transfer moves it.
pub const QUIET: SignedDuration = SignedDuration::from_secs(5);

/// How long after a kernel alone.
const LONG_QUIET: SignedDuration = SignedDuration::from_mins(2);

/// How long a machine that runs may leave its root alone: attributes are asked for again after a minute at most, and
/// something looks at a file all the time.
const IDLE: SignedDuration = SignedDuration::from_mins(8);

/// What there is to go by.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// What is before the node.
    pub boot: &'a PendingBoot,
    /// What was fetched of the environment for it, each file the first time; not what others than the node fetched, where
    /// its address is known.
    pub fetched: &'a [First],
    /// The ways the environment is booted.
    pub ways: &'a [Fetched],
    /// When the environment reported, and which boot that was.
    pub reported: Option<(Timestamp, &'a str)>,
    /// Whether the NFS server has the environment in use.
    pub mounted: bool,
    /// Whether what the NFS server has in use is the node's own doing.
    pub sole_client: bool,
    /// Whether it is the active one already.
    pub active: bool,
    /// Whether another environment reported a boot of later than the fetching.
    pub left: bool,
    /// The time, UTC.
    pub now: Timestamp,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing yet.
    Wait,
    /// It has been fetched: lead the names back to the active one.
    LeadBack(Fetching),
    /// It came up: make it the active one.
    Passed,
    /// It did not come up in its time.
    NotInTime,
    /// The node came up in something else without a word about it.
    LeftUnsaid,
    /// Nothing is left to be done about it.
    Over,
}

/// That a boot has been fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetching {
    /// When it had been, UTC.
    pub time: Timestamp,
    /// Whether by the node, as far as its address tells.
    pub its: bool,
}

/// Returns what is to be done.
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
            None => Verdict::Wait,
        },
        (Some(_), Kind::Once) if facts.left => Verdict::Over,
        (Some(_), Kind::Try) if facts.left => Verdict::LeftUnsaid,
        (Some(fetched), Kind::Try) if is_late(boot, fetched, facts.now) => Verdict::NotInTime,
        (Some(_), _) => Verdict::Wait,
    }
}

fn is_late(boot: &PendingBoot, fetched: Timestamp, now: Timestamp) -> bool {
    let within = boot.within.and_then(|s| i64::try_from(s).ok());
    within.is_some_and(|s| has_passed(fetched, SignedDuration::from_secs(s), now))
}

/// Returns whether so much time has passed; where the clock was set back behind it, it has.
fn has_passed(since: Timestamp, duration: SignedDuration, now: Timestamp) -> bool {
    let passed = now.duration_since(since);
    passed >= duration || passed.is_negative()
}

/// What there is to go by before a node's power is cut.
#[derive(Debug, Clone, Copy)]
pub struct PowerFacts<'a> {
    /// The trial, which did not pass.
    pub boot: &'a PendingBoot,
    /// Whether the NFS server has another environment of the node in use; `None` where that cannot be told.
    pub others_in_use: Option<bool>,
    /// Whether there is an NFS server that would see it.
    pub watched: bool,
    /// The time, UTC.
    pub now: Timestamp,
}

/// Returns whether a node whose trial did not pass may be cut off from its power.
///
/// Never where the NFS server sees, or saw since the trial was fetched, that it runs another environment: then it never
/// left it, or is back. Who fetched from the node's address is taken for the node; where that is not known, anybody may
/// have, and the node may go on running what it ran: then its root has not been in use for longer than any system leaves
/// it alone.
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

/// Returns whether the environment reported a boot that is not the one it told of before.
fn came_up(facts: &Facts<'_>) -> bool {
    facts.reported.is_some_and(|(time, id)| {
        facts.boot.since.is_none_or(|since| time >= since)
            && facts.boot.told_before.as_deref() != Some(id)
    })
}

/// Returns what had been fetched when the boot had begun, so that nothing more of it will be.
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

/// Returns when the last file of one way to boot was fetched for the first time, where all were.
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
mod tests;
