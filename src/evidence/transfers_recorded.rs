//! Whether this server records a node's fetches, by the node's recorded events.
//!
//! Pure. Another TFTP server, on this machine or another, may report no fetches. Not for the program that has the port now.

use jiff::SignedDuration;

use super::boots::{How, Seen};

/// How long a machine takes, at most, from the fetch of its kernel to its report.
const BOOT: SignedDuration = SignedDuration::from_hours(1);

/// Returns whether transfers of the node were recorded, also for the last boot that it reported.
pub fn transfers_recorded(seen: &[Seen]) -> bool {
    let last = |how: How| {
        let times = seen.iter().filter(|s| s.how == how).map(|s| s.time);
        times.max()
    };
    match (last(How::Tftp), last(How::Report)) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(fetched), Some(reported)) => reported.duration_since(fetched) <= BOOT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::boots;

    #[test]
    fn a_boot_without_a_transfer_shows_that_transfers_are_not_recorded() {
        let (tftp, report) = ("tftp", "report");
        for (events, want) in [
            (vec![], false),
            (vec![("10:00", report)], false),
            (vec![("10:00", tftp)], true),
            (vec![("10:00", tftp), ("10:02", report)], true),
            (
                vec![("10:00", tftp), ("10:02", report), ("14:00", report)],
                false,
            ),
            (vec![("10:02", report), ("14:00", tftp)], true),
        ] {
            let line = |(time, how): &(&str, &str)| {
                format!("{{\"time\":\"2026-11-21T{time}:00Z\",\"env\":\"a\",\"how\":\"{how}\"}}\n")
            };
            let text: String = events.iter().map(line).collect();
            assert_eq!(transfers_recorded(&boots::parse(&text)), want, "{text}");
        }
    }
}
