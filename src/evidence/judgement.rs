//! Whether a node may be running an environment, by the evidence of both.
//!
//! Pure. An environment that a node's names led to, or of which a file was fetched by any host, may be running from
//! then on. It stops counting as maybe running only by proof that the node ran another environment after the last
//! moment at which it can have started this one. An event that another host can cause is no proof. Not for environments that the
//! NFS server has in use: these always may be running.

use jiff::Timestamp;

use super::boots::Seen;

/// Until when the node's names led to an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// They never did.
    Never,
    /// Until this time.
    Past(Timestamp),
    /// They do now; the last time before ended then.
    Now(Option<Timestamp>),
    /// That is not known.
    Unknown,
}

/// The evidence of an environment.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Until when the node's names led to it.
    pub until: Until,
    /// The last event of it: a file fetched, or the node running it.
    pub seen: Option<Timestamp>,
    /// The boot IDs that were reported before the names were led away from it.
    pub known_boot_ids: &'a [String],
    /// Whether all fetches of the node are observed.
    pub watched: bool,
}

/// Returns whether a node may be running an environment; `elsewhere` are proofs of other environments.
///
/// A proof is an event that no other machine can cause: a boot that the node reported in its own root, or only that root in
/// use over NFS from its own address, for longer than the server keeps entries.
pub fn may_run<'a>(facts: Facts<'_>, elsewhere: impl IntoIterator<Item = &'a Seen>) -> bool {
    let led = match facts.until {
        Until::Unknown => return true,
        Until::Now(_) if !facts.watched => return true,
        Until::Never => None,
        Until::Past(time) => Some(time),
        Until::Now(before) => before,
    };
    if facts.until == Until::Never && facts.seen.is_none() {
        return false;
    }
    let doubt = led.max(facts.seen);
    let proves = |proof: &Seen| {
        let known_before = proof
            .boot_id
            .as_ref()
            .is_some_and(|id| facts.known_boot_ids.contains(id));
        !known_before && doubt.is_none_or(|doubt| proof.time > doubt)
    };
    !elsewhere.into_iter().any(proves)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn proof(seconds: i64, boot_id: &str) -> Seen {
        Seen {
            env: "other".to_string(),
            time: at(seconds),
            boot_id: Some(boot_id.to_string()),
            ..Seen::default()
        }
    }

    #[test]
    fn only_a_proof_of_later_takes_doubt_away() {
        use Until::*;
        let known_boot_ids = ["before".to_string()];
        // Until when led to, seen last, a proof elsewhere; whether it may run, and whether where all is watched.
        let cases: [(_, Option<i64>, Option<Seen>, _); 16] = [
            (Never, None, None, (false, false)),
            // Fetched although no name led to it: by a link made by hand.
            (Never, Some(5), None, (true, true)),
            (Never, Some(5), Some(proof(6, "new")), (false, false)),
            (Past(at(10)), None, None, (true, true)),
            (Past(at(10)), None, Some(proof(9, "new")), (true, true)),
            (Past(at(10)), None, Some(proof(10, "new")), (true, true)),
            (Past(at(10)), None, Some(proof(11, "new")), (false, false)),
            // The clock was set back since: that boot had been reported before.
            (Past(at(10)), None, Some(proof(11, "before")), (true, true)),
            // Fetched after that, by any host.
            (Past(at(10)), Some(20), Some(proof(11, "new")), (true, true)),
            (
                Past(at(10)),
                Some(20),
                Some(proof(21, "new")),
                (false, false),
            ),
            (Unknown, None, Some(proof(99, "new")), (true, true)),
            // Led to now: where not all is watched it may be booted at any moment.
            (Now(None), None, None, (true, true)),
            (Now(None), None, Some(proof(5, "new")), (true, false)),
            (Now(None), Some(6), Some(proof(5, "new")), (true, true)),
            (Now(Some(at(3))), None, Some(proof(5, "new")), (true, false)),
            (Now(Some(at(7))), None, Some(proof(5, "new")), (true, true)),
        ];
        for (i, (until, seen, proof, (want, want_watched))) in cases.iter().enumerate() {
            for (watched, want) in [(false, want), (true, want_watched)] {
                let facts = Facts {
                    until: *until,
                    seen: seen.map(at),
                    known_boot_ids: &known_boot_ids,
                    watched,
                };
                assert_eq!(may_run(facts, proof), *want, "case {i}, watched: {watched}");
            }
        }
    }
}
