//! What becomes of a boot for once or on trial, from what has been seen of it.
//!
//! Pure: what was seen goes in, with the time; one word comes out. The same again gives the same word, so
//! it may be asked at any time and after any crash. Not for doing it.

use jiff::{SignedDuration, Timestamp};

use crate::boot::Fetched;
use crate::pool::pending::{Kind, PendingBoot};

/// How long a machine has fetched nothing before its boot is taken to have begun: longer than firmware
/// thinks between two files, shorter than any machine takes from there to asking again.
pub const QUIET: SignedDuration = SignedDuration::from_secs(5);

/// How long where some of what it should have fetched was not seen.
const LONG_QUIET: SignedDuration = SignedDuration::from_mins(2);

/// What there is to go by.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// What is before the node.
    pub boot: &'a PendingBoot,
    /// What was fetched of the environment since then, and when, oldest first: paths in its boot half.
    pub fetched: &'a [(Timestamp, &'a str)],
    /// The ways the environment is booted.
    pub ways: &'a [Fetched],
    /// When the environment reported, and which boot that was.
    pub reported: Option<(Timestamp, &'a str)>,
    /// Whether the NFS server has the environment in use.
    pub mounted: bool,
    /// Whether it is the active one already.
    pub active: bool,
    /// What boots of other environments were seen after that.
    pub others: &'a [Timestamp],
    /// The time, UTC.
    pub now: Timestamp,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing yet.
    Wait,
    /// It has been fetched, at this time: lead the names back to the active one.
    LeadBack(Timestamp),
    /// It came up: make it the active one.
    Passed,
    /// It did not come up in its time.
    NotInTime,
    /// The node booted something else without a word about it.
    LeftUnsaid,
    /// Nothing is left to be done about it.
    Over,
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
            Some(time) => Verdict::LeadBack(time),
            None => Verdict::Wait,
        },
        (Some(fetched), kind) => {
            let left = facts.others.iter().any(|other| *other > fetched);
            let within = boot.within.and_then(|s| i64::try_from(s).ok());
            let late = within.is_some_and(|s| facts.now.duration_since(fetched).as_secs() >= s);
            match (kind, left, late) {
                (Kind::Once, true, _) => Verdict::Over,
                (Kind::Once, false, _) => Verdict::Wait,
                (Kind::Try, true, _) => Verdict::LeftUnsaid,
                (Kind::Try, false, true) => Verdict::NotInTime,
                (Kind::Try, false, false) => Verdict::Wait,
            }
        }
    }
}

/// Returns whether the environment reported a boot that is not the one it told of before.
fn came_up(facts: &Facts<'_>) -> bool {
    facts.reported.is_some_and(|(time, id)| {
        facts.boot.since.is_none_or(|since| time >= since)
            && facts.boot.told_before.as_deref() != Some(id)
    })
}

/// Returns when the boot had begun, so that nothing more of it will be fetched.
fn begun(facts: &Facts<'_>, came_up: bool) -> Option<Timestamp> {
    let last = facts.fetched.last().map(|(time, _)| *time);
    if came_up || (facts.mounted && !facts.boot.used_before) {
        return Some(last.unwrap_or(facts.now));
    }
    let quiet_after = |i: usize| {
        let next = facts
            .fetched
            .get(i + 1)
            .map_or(facts.now, |(time, _)| *time);
        next.duration_since(facts.fetched[i].0)
    };
    let mut files: Vec<&str> = Vec::new();
    for (i, (time, file)) in facts.fetched.iter().enumerate() {
        files.push(file);
        let whole = facts.ways.iter().any(|way| way.is_among(&files));
        let kernel = facts
            .ways
            .iter()
            .any(|way| files.contains(&way.kernel.as_str()));
        let needed = match (whole, kernel) {
            (true, _) => QUIET,
            (false, true) => LONG_QUIET,
            (false, false) => continue,
        };
        if quiet_after(i) >= needed {
            return Some(*time);
        }
    }
    None
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
            used_before: false,
            fetched: fetched.map(at),
        }
    }

    struct Case<'a> {
        kind: Kind,
        fetched: Option<i64>,
        seen: &'a [(i64, &'a str)],
        reported: Option<(i64, &'a str)>,
        others: &'a [i64],
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

    #[test]
    fn the_course_of_a_trial() {
        let fetch: &[(i64, &str)] = &[(10, "config.txt"), (20, "initramfs8"), (30, "kernel8.img")];
        let again: &[(i64, &str)] = &[
            (20, "initramfs_2712"),
            (30, "kernel_2712.img"),
            (32, "kernel_2712.img"),
            (90, "config.txt"),
        ];
        let halfway: &[(i64, &str)] = &[(10, "config.txt"), (20, "kernel8.img")];
        let plain = |kind, fetched, now, want| Case {
            kind,
            fetched,
            seen: &[],
            reported: None,
            others: &[],
            now,
            want,
        };
        use Verdict::*;
        let cases = [
            plain(Kind::Try, None, 100_000, Wait),
            Case {
                seen: fetch,
                ..plain(Kind::Try, None, 33, Wait)
            },
            Case {
                seen: fetch,
                ..plain(Kind::Try, None, 35, LeadBack(at(30)))
            },
            Case {
                seen: fetch,
                ..plain(Kind::Once, None, 35, LeadBack(at(30)))
            },
            // It asks again before anybody looked: the boot that was meant is over.
            Case {
                seen: again,
                ..plain(Kind::Try, None, 91, LeadBack(at(32)))
            },
            Case {
                seen: halfway,
                ..plain(Kind::Try, None, 60, Wait)
            },
            Case {
                seen: halfway,
                ..plain(Kind::Try, None, 140, LeadBack(at(20)))
            },
            Case {
                reported: Some((50, "old")),
                ..plain(Kind::Try, None, 60, Wait)
            },
            Case {
                reported: Some((-5, "new")),
                ..plain(Kind::Try, None, 60, Wait)
            },
            Case {
                reported: Some((50, "new")),
                ..plain(Kind::Try, None, 60, Passed)
            },
            Case {
                reported: Some((50, "new")),
                ..plain(Kind::Once, None, 60, LeadBack(at(60)))
            },
            plain(Kind::Try, Some(30), 629, Wait),
            plain(Kind::Try, Some(30), 630, NotInTime),
            Case {
                reported: Some((50, "new")),
                ..plain(Kind::Try, Some(30), 700, Passed)
            },
            Case {
                others: &[90],
                ..plain(Kind::Try, Some(30), 100, LeftUnsaid)
            },
            Case {
                others: &[20],
                ..plain(Kind::Try, Some(30), 100, Wait)
            },
            plain(Kind::Once, Some(30), 100_000, Wait),
            Case {
                others: &[90],
                ..plain(Kind::Once, Some(30), 100, Over)
            },
        ];
        for (i, case) in cases.iter().enumerate() {
            let boot = pending(case.kind, case.fetched);
            let fetched: Vec<(Timestamp, &str)> =
                case.seen.iter().map(|(t, f)| (at(*t), *f)).collect();
            let others: Vec<Timestamp> = case.others.iter().map(|t| at(*t)).collect();
            let facts = Facts {
                boot: &boot,
                fetched: &fetched,
                ways: &ways(),
                reported: case.reported.map(|(t, id)| (at(t), id)),
                mounted: false,
                active: false,
                others: &others,
                now: at(case.now),
            };
            assert_eq!(judge(facts), case.want, "case {i}");
            assert_eq!(
                judge(Facts {
                    active: true,
                    ..facts
                }),
                Over,
                "case {i}, active"
            );
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
                active: false,
                others: &[],
                now: at(5),
            }
        }
        let mut boot = pending(Kind::Try, None);
        assert_eq!(judge(facts(&boot)), Verdict::LeadBack(at(5)));
        boot.used_before = true;
        assert_eq!(judge(facts(&boot)), Verdict::Wait);
    }
}
