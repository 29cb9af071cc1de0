//! Taking turns, and saying how it went.

use std::time::Duration;

/// Runs the candidates in turn, so many rounds, and returns the median of each.
///
/// One round before, not counted, warms caches; rounds are numbered from 0, the first one being that.
pub(crate) fn turns<const N: usize>(
    rounds: usize,
    mut candidates: [&mut dyn FnMut(usize) -> Duration; N],
) -> [Duration; N] {
    let mut times: [Vec<Duration>; N] = std::array::from_fn(|_| Vec::with_capacity(rounds));
    for round in 0..=rounds {
        for (candidate, times) in candidates.iter_mut().zip(&mut times) {
            let time = candidate(round);
            if round > 0 {
                times.push(time);
            }
        }
    }
    times.map(|mut times| {
        times.sort();
        times[times.len() / 2]
    })
}

/// Lines of a table, printed as they come.
#[derive(Debug)]
pub(crate) struct Report;

impl Report {
    /// Starts the table.
    pub(crate) fn new() -> Self {
        println!(
            "{:<44} {:>10} {:>10} {:>8}  goal",
            "netbe | other", "netbe", "other", "ratio"
        );
        Self
    }

    /// Reports two medians whose ratio is to be at most `goal`.
    pub(crate) fn ratio(&mut self, what: &str, ours: Duration, theirs: Duration, goal: f64) {
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
        line(
            what,
            ours,
            theirs,
            &format!("at most {goal}: {}", verdict(ratio <= goal)),
        );
    }

    /// Reports two medians whose difference is to be at most `goal` milliseconds.
    pub(crate) fn difference(&mut self, what: &str, ours: Duration, theirs: Duration, goal: f64) {
        let more = (ours.as_secs_f64() - theirs.as_secs_f64()) * 1e3;
        line(
            what,
            ours,
            theirs,
            &format!("{more:+.2} ms; at most {goal}: {}", verdict(more <= goal)),
        );
    }

    /// Reports two medians with no goal set.
    pub(crate) fn plain(&mut self, what: &str, ours: Duration, theirs: Duration) {
        line(what, ours, theirs, "none");
    }

    /// Reports how a time grew when the work grew `factor` times: linear is the goal, give or take what two runs differ by.
    pub(crate) fn growth(&mut self, what: &str, few: Duration, many: Duration, factor: f64) {
        let grew = many.as_secs_f64() / few.as_secs_f64();
        println!(
            "{what}: {factor:.0} times as many take {grew:.1} times as long; at most linear: {}",
            verdict(grew <= factor * 1.1)
        );
    }

    /// Reports something in words.
    pub(crate) fn note(&mut self, text: &str) {
        println!("{text}");
    }
}

/// Returns a time in milliseconds, as text.
pub(crate) fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

fn line(what: &str, ours: Duration, theirs: Duration, goal: &str) {
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    println!(
        "{what:<44} {:>10} {:>10} {ratio:>8.2}  {goal}",
        milliseconds(ours),
        milliseconds(theirs)
    );
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}
