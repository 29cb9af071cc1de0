//! The decision about a pending boot or trial of this machine itself, whose running environment is known.
//!
//! Not for applying it.

use jiff::Timestamp;

use super::judgement::{self, Fetching, Verdict};
use crate::evidence::this_machine;
use crate::pool::pending::{Kind, PendingBoot};
use crate::pool::{Environment, Pool};
use crate::publish::local;

/// The evidence.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'a> {
    /// The pending boot.
    boot: &'a PendingBoot,
    /// The boot ID of this machine.
    boot_id: Option<&'a str>,
    /// Whether its loader has forgotten the boot; `None` if that cannot be read.
    forgotten: Option<bool>,
    /// Whether it runs the environment; `None` if that is not known.
    runs: Option<bool>,
    /// Whether this boot was completed.
    came_up: bool,
    /// Whether it is active already.
    active: bool,
    /// When it was started, and the time now, UTC.
    started: Timestamp,
    now: Timestamp,
}

/// Returns the verdict.
pub(super) fn judge(facts: Facts<'_>) -> Verdict {
    let boot = facts.boot;
    if facts.active {
        return Verdict::Over;
    }
    // The machine has not rebooted since the boot was set: its running environment proves nothing.
    if boot.set_in.as_deref() == facts.boot_id {
        return Verdict::Wait;
    }
    // Otherwise netbe's entry was not used: another loader, or another entry chosen by hand.
    let is_begun = boot.fetched.is_some() || facts.forgotten == Some(true);
    match (facts.runs, boot.kind) {
        (Some(true), Kind::Try) if facts.came_up => Verdict::Passed,
        _ if !is_begun => Verdict::Wait,
        (Some(true), _) if boot.fetched.is_none() => Verdict::LeadBack(Fetching {
            time: facts.started,
            its: true,
        }),
        (Some(true), Kind::Try) if judgement::is_late(boot, facts.started, facts.now) => {
            Verdict::NotInTime
        }
        (Some(true) | None, _) => Verdict::Wait,
        (Some(false), Kind::Once) => Verdict::Over,
        (Some(false), Kind::Try) => Verdict::LeftUnsaid,
    }
}

/// Returns the verdict on a pending boot of an environment, by the present evidence.
pub(in crate::lifecycle) fn verdict(pool: &Pool, env: &Environment, boot: &PendingBoot) -> Verdict {
    let boot_id = this_machine::boot_id();
    let now = Timestamp::now();
    judge(Facts {
        boot,
        boot_id: boot_id.as_deref(),
        forgotten: pool.local().and_then(local::has_forgotten),
        runs: this_machine::Root::look().is(env),
        came_up: this_machine::came_up(),
        active: env.active,
        started: this_machine::started().unwrap_or(now),
        now,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    #[test]
    fn the_running_environment_decides() {
        use Verdict::*;
        let back = LeadBack(Fetching {
            time: at(100),
            its: true,
        });
        // Fetched before, boot ID, forgotten, runs it, came up; the verdict for once and on trial.
        let cases = [
            // Not started anew yet.
            (false, "old", Some(false), Some(false), true, Wait, Wait),
            (false, "old", Some(true), Some(true), true, Wait, Wait),
            // The loader was not asked.
            (false, "new", Some(false), Some(false), true, Wait, Wait),
            (false, "new", None, Some(false), true, Wait, Wait),
            (false, "new", Some(false), Some(true), true, Wait, Passed),
            (false, "new", Some(true), Some(true), false, back, back),
            (true, "new", Some(true), Some(true), false, Wait, Wait),
            (true, "new", Some(true), Some(true), true, Wait, Passed),
            // It did not come up, or has been left.
            (
                false,
                "new",
                Some(true),
                Some(false),
                true,
                Over,
                LeftUnsaid,
            ),
            (true, "new", None, Some(false), false, Over, LeftUnsaid),
            (true, "new", Some(true), None, true, Wait, Wait),
        ];
        for (fetched, boot_id, forgotten, runs, came_up, once, tried) in cases {
            for (kind, expected) in [(Kind::Once, once), (Kind::Try, tried)] {
                let boot = PendingBoot {
                    set_in: Some("old".to_string()),
                    fetched: fetched.then(|| at(100)),
                    ..judgement::tests::pending(kind, None)
                };
                let facts = Facts {
                    boot: &boot,
                    boot_id: Some(boot_id),
                    forgotten,
                    runs,
                    came_up,
                    active: false,
                    started: at(100),
                    now: at(160),
                };
                assert_eq!(judge(facts), expected, "{facts:?}");
                let active = Facts {
                    active: true,
                    ..facts
                };
                assert_eq!(judge(active), Over);
                let late = Facts {
                    now: at(100 + 601),
                    ..facts
                };
                if (kind, fetched, runs, came_up) == (Kind::Try, true, Some(true), false) {
                    assert_eq!(judge(late), NotInTime);
                }
            }
        }
    }
}
