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

/// Lines of a table, printed as they come; in Markdown without the goals, which are netbe's own.
#[derive(Debug)]
pub(crate) struct Report {
    markdown: bool,
}

impl Report {
    /// Starts the table.
    pub(crate) fn new(markdown: bool) -> Self {
        match markdown {
            true => println!(
                "Measured by `scripts/bench --markdown`: medians, both sides in turn in one run, on {}.\n\n\
                 | netbe | beside | netbe | beside | ratio |\n| --- | --- | ---: | ---: | ---: |",
                machine()
            ),
            false => println!(
                "{:<44} {:>10} {:>10} {:>8}  goal",
                "netbe | other", "netbe", "other", "ratio"
            ),
        }
        Self { markdown }
    }

    /// Reports two medians whose ratio is to be at most `goal`.
    pub(crate) fn ratio(&mut self, what: &str, ours: Duration, theirs: Duration, goal: f64) {
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
        let goal = format!("at most {goal}: {}", verdict(ratio <= goal));
        self.line(what, ours, theirs, &goal);
    }

    /// Reports two medians whose difference is to be at most `goal` milliseconds.
    pub(crate) fn difference(&mut self, what: &str, ours: Duration, theirs: Duration, goal: f64) {
        let more = (ours.as_secs_f64() - theirs.as_secs_f64()) * 1e3;
        let goal = format!("{more:+.2} ms; at most {goal}: {}", verdict(more <= goal));
        self.line(what, ours, theirs, &goal);
    }

    /// Reports two medians with no goal set.
    pub(crate) fn plain(&mut self, what: &str, ours: Duration, theirs: Duration) {
        self.line(what, ours, theirs, "none");
    }

    /// Reports how a time grew when the work grew `factor` times: linear is the goal, give or take what two runs differ by.
    pub(crate) fn growth(&mut self, what: &str, few: Duration, many: Duration, factor: f64) {
        let grew = many.as_secs_f64() / few.as_secs_f64();
        self.note(&format!(
            "{what}: {factor:.0} times as many take {grew:.1} times as long; at most linear: {}",
            verdict(grew <= factor * 1.1)
        ));
    }

    /// Reports something in words.
    pub(crate) fn note(&mut self, text: &str) {
        match self.markdown {
            // It would end the table.
            true => eprintln!("{text}"),
            false => println!("{text}"),
        }
    }

    fn line(&self, what: &str, ours: Duration, theirs: Duration, goal: &str) {
        let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
        let (ours, theirs) = (milliseconds(ours), milliseconds(theirs));
        if !self.markdown {
            println!("{what:<44} {ours:>10} {theirs:>10} {ratio:>8.2}  {goal}");
            return;
        }
        let (own, other) = what.rsplit_once(" | ").unwrap_or((what, ""));
        println!("| {own} | {other} | {ours} | {theirs} | {ratio:.2} |");
    }
}

/// Returns what this machine is, by its processors and memory.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = memory
        .split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse::<u64>().ok());
    let gib = total.map_or(0, |kib| kib.div_ceil(1 << 20));
    format!("a machine with {cores} processors and {gib} GiB of memory")
}

/// Returns a time in milliseconds, as text.
pub(crate) fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}
