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
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn pending(kind: Kind, fetched: Option<i64>) -> PendingBoot {
        PendingBoot {
            env: "b".parse().unwrap(),
            kind,
            since: Some(at(0)),
            within: (kind == Kind::Try).then_some(600),
            told_before: Some("old".to_string()),
            told: Vec::new(),
            used_before: false,
            fetched: fetched.map(at),
            its: false,
            withdrawn: None,
            elsewhere: false,
        }
    }

    fn firsts(files: &[(i64, &str)], its: bool) -> Vec<First> {
        let first = |(seconds, file): &(i64, &str)| First {
            since: Some(at(0)),
            env: "b".to_string(),
            time: at(*seconds),
            file: file.to_string(),
            its,
        };
        files.iter().map(first).collect()
    }

    struct Case<'a> {
        kind: Kind,
        fetched: Option<i64>,
        seen: &'a [(i64, &'a str)],
        reported: Option<(i64, &'a str)>,
        left: bool,
        now: i64,
        want: Verdict,
    }

    fn ways() -> Vec<Fetched> {
        let way = |kernel: &str, initramfs: &str| Fetched {
            kernel: kernel.to_string(),
            initramfs: vec![initramfs.to_string()],
        };
        vec![
            way("kernel8.img", "initramfs8"),
            way("kernel_2712.img", "initramfs_2712"),
        ]
    }

    fn back(seconds: i64) -> Verdict {
        Verdict::LeadBack(Fetching {
            time: at(seconds),
            its: false,
        })
    }

    #[test]
    fn the_course_of_a_trial() {
        let fetch: &[(i64, &str)] = &[(20, "initramfs8"), (30, "kernel8.img")];
        let both: &[(i64, &str)] = &[
            (20, "initramfs_2712"),
            (30, "kernel_2712.img"),
            (32, "initramfs8"),
            (33, "kernel8.img"),
        ];
        let halfway: &[(i64, &str)] = &[(20, "kernel8.img")];
        let plain = |kind, fetched, now, want| Case {
            kind,
            fetched,
            seen: &[],
            reported: None,
            left: false,
            now,
            want,
        };
        let seen = |seen, kind, now, want| Case {
            seen,
            ..plain(kind, None, now, want)
        };
        let told = |reported, kind, fetched, now, want| Case {
            reported: Some(reported),
            ..plain(kind, fetched, now, want)
        };
        let left = |kind, want| Case {
            left: true,
            ..plain(kind, Some(30), 100, want)
        };
        use Verdict::*;
        let cases = [
            plain(Kind::Try, None, 100_000, Wait),
            seen(fetch, Kind::Try, 33, Wait),
            seen(fetch, Kind::Try, 35, back(30)),
            seen(fetch, Kind::Once, 35, back(30)),
            // Another way, fetched after the first, moves nothing.
            seen(both, Kind::Try, 35, back(30)),
            seen(both, Kind::Try, 900, back(30)),
            // The clock was set back since: it is over, and not to be waited for.
            seen(fetch, Kind::Try, 10, back(30)),
            seen(halfway, Kind::Try, 139, Wait),
            seen(halfway, Kind::Try, 140, back(20)),
            told((50, "old"), Kind::Try, None, 60, Wait),
            told((-5, "new"), Kind::Try, None, 60, Wait),
            told((50, "new"), Kind::Try, None, 60, Passed),
            told((50, "new"), Kind::Once, None, 60, back(60)),
            plain(Kind::Try, Some(30), 629, Wait),
            plain(Kind::Try, Some(30), 630, NotInTime),
            told((50, "new"), Kind::Try, Some(30), 700, Passed),
            left(Kind::Try, LeftUnsaid),
            left(Kind::Once, Over),
            plain(Kind::Once, Some(30), 100_000, Wait),
        ];
        for (i, case) in cases.iter().enumerate() {
            let boot = pending(case.kind, case.fetched);
            let facts = Facts {
                boot: &boot,
                fetched: &firsts(case.seen, false),
                ways: &ways(),
                reported: case.reported.map(|(t, id)| (at(t), id)),
                mounted: false,
                sole_client: false,
                active: false,
                left: case.left,
                now: at(case.now),
            };
            assert_eq!(judge(facts), case.want, "case {i}");
            let active = Facts {
                active: true,
                ..facts
            };
            assert_eq!(judge(active), Over, "case {i}, active");
        }
    }

    #[test]
    fn a_mounted_root_is_a_boot_that_has_begun() {
        fn facts(boot: &PendingBoot) -> Facts<'_> {
            Facts {
                boot,
                fetched: &[],
                ways: &[],
                reported: None,
                mounted: true,
                sole_client: true,
                active: false,
                left: false,
                now: at(5),
            }
        }
        let mut boot = pending(Kind::Try, None);
        let begun = Fetching {
            time: at(5),
            its: true,
        };
        assert_eq!(judge(facts(&boot)), Verdict::LeadBack(begun));
        boot.used_before = true;
        assert_eq!(judge(facts(&boot)), Verdict::Wait);
    }

    #[test]
    fn the_power_of_what_may_run_well_is_not_cut() {
        // By the node's address; seen elsewhere before; others in use now; a server to see it; minutes; what comes of it.
        let cases = [
            (true, false, Some(false), true, 1, true),
            (true, false, Some(false), false, 1, true),
            (true, true, Some(false), true, 60, false),
            (true, false, Some(true), true, 60, false),
            (true, false, None, true, 60, false),
            // Anybody may have fetched it.
            (false, false, Some(false), true, 7, false),
            (false, false, Some(false), true, 8, true),
            (false, false, Some(false), false, 60, false),
            (false, true, Some(false), true, 60, false),
            (false, false, Some(true), true, 60, false),
            (false, false, None, true, 60, false),
        ];
        for (i, (its, elsewhere, others_in_use, watched, minutes, want)) in cases.iter().enumerate()
        {
            let boot = PendingBoot {
                its: *its,
                elsewhere: *elsewhere,
                withdrawn: Some(at(0)),
                ..pending(Kind::Try, Some(0))
            };
            let facts = PowerFacts {
                boot: &boot,
                others_in_use: *others_in_use,
                watched: *watched,
                now: at(minutes * 60),
            };
            assert_eq!(may_cut_power(facts), *want, "case {i}");
        }
    }
}
