//! Everything that netbe reads and has not written itself, mutated: no panic, no hang, no memory that the input does
//! not justify, and what is printed is what was parsed.
//!
//! Seeds are real files, and proptest mutates and shrinks them. Cases come in batches of their own random numbers:
//! `NETBE_FAULT=fuzz:TARGET:BATCH` runs one again, `NETBE_FAULT=fuzz:TARGET` one target. `NETBE_FAULTS=full` tries
//! ten million cases of each target, or as many as `NETBE_FAULT_CASES` says.

mod boot;
mod long;
mod memory;
mod mutation;
mod names;
mod packages;
mod records;
mod sources;
mod trees;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::asked;
use crate::report::figures;
use mutation::{Seeds, cases};

/// How many cases of a target the full form tries.
const FULL: u64 = 10_000_000;
/// How many cases have their random numbers in common.
const BATCH: u64 = 1_000;
/// How long a case may take before it counts as hanging; other things run on the machine.
const HANG: Duration = Duration::from_secs(30);

/// Something that reads what it did not write.
pub(crate) struct Target {
    name: &'static str,
    /// Real things of its kind, and the words they are made of.
    seeds: Seeds,
    /// Cases of the short form.
    short: u64,
    /// What it may allocate: bytes in any case, and bytes for each byte of the input.
    memory: (usize, usize),
    /// How long a case may take, machine idle.
    time: Duration,
    /// Makes what tries one case, for one thread; it fails by a panic.
    make: fn() -> Attempt,
}

/// What tries one case.
type Attempt = Box<dyn FnMut(&[u8])>;

/// What came of a target.
#[derive(Default)]
struct Outcome {
    cases: AtomicU64,
    nanoseconds: AtomicU64,
    slowest: AtomicU64,
    largest: AtomicUsize,
}

fn targets() -> Vec<Target> {
    [
        boot::targets(),
        records::targets(),
        names::targets(),
        packages::targets(),
        sources::targets(),
        trees::targets(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn invariants_10_12_and_13_hold_whatever_is_read() {
    let full = asked::is_full();
    let Some(only) = asked::of("fuzz") else {
        return;
    };
    let mut point = only.splitn(2, ':');
    let (target, batch) = (
        point.next().filter(|name| !name.is_empty()),
        point.next().map(|n| n.parse::<u64>().expect("a number")),
    );
    trees::prepare();
    if target.is_none() {
        // Not a test of its own: the ground is in the mount namespace of one thread.
        long::judge();
    }
    let targets: Vec<Target> = targets()
        .into_iter()
        .filter(|t| target.is_none_or(|name| name == t.name))
        .collect();
    assert!(!targets.is_empty(), "there is no target {only}");
    let mut work: Vec<(usize, u64)> = Vec::new();
    for (at, target) in targets.iter().enumerate() {
        let cases = match full {
            true => number("NETBE_FAULT_CASES").unwrap_or(FULL),
            false => target.short,
        };
        let all = 0..cases.div_ceil(BATCH);
        work.extend(
            all.filter(|b| batch.is_none_or(|only| only == *b))
                .map(|b| (at, b)),
        );
    }
    // All targets advance together, so that a run that is stopped has tried something of each.
    work.sort_by_key(|(at, batch)| (std::cmp::Reverse(*batch), *at));
    let outcomes: Vec<Outcome> = targets.iter().map(|_| Outcome::default()).collect();
    let faults = run(&targets, &outcomes, work);
    report(&targets, &outcomes, full, &faults);
    assert!(
        faults.is_empty(),
        "{}",
        faults.into_values().collect::<Vec<_>>().join("\n\n")
    );
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|n| n.parse().expect("a number"))
}

/// Tries batches on all processors; returns the first fault of each target.
fn run(
    targets: &[Target],
    outcomes: &[Outcome],
    work: Vec<(usize, u64)>,
) -> BTreeMap<&'static str, String> {
    let work = Mutex::new(work);
    let faults = Mutex::new(BTreeMap::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let next = || work.lock().expect("nobody panics with it").pop();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((at, batch)) = next() {
                    let target = &targets[at];
                    if faults
                        .lock()
                        .expect("nobody panics with it")
                        .contains_key(target.name)
                    {
                        continue;
                    }
                    if let Err(why) = try_batch(target, batch, &outcomes[at]) {
                        let told = format!("NETBE_FAULT=fuzz:{}:{batch}\n{why}", target.name);
                        faults
                            .lock()
                            .expect("nobody panics with it")
                            .insert(target.name, told);
                    }
                }
            });
        }
    });
    faults.into_inner().expect("all threads ended")
}

fn try_batch(target: &Target, batch: u64, outcome: &Outcome) -> Result<(), String> {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&batch.to_le_bytes());
    let config = Config {
        cases: u32::try_from(BATCH).expect("it is small"),
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..Config::default()
    };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let attempt = RefCell::new((target.make)());
    let seeds = &target.seeds;
    let strategy = cases().prop_map(|case| seeds.bytes(&case));
    let watched = memory::Watched::begin(target.name, batch);
    let result = runner.run(&strategy, |bytes| {
        let ((), took, peak) = watched.case(|| attempt.borrow_mut()(&bytes));
        outcome.add(took, peak);
        let (fixed, each) = target.memory;
        assert!(
            peak <= fixed + each * bytes.len(),
            "{peak} bytes were allocated for {} of input, of {}",
            bytes.len(),
            target.name
        );
        assert!(took <= target.time * 10, "it took {took:?}");
        Ok(())
    });
    result.map_err(|error| match error {
        proptest::test_runner::TestError::Fail(reason, bytes) => {
            format!("{reason}\nby {:?}", String::from_utf8_lossy(&bytes))
        }
        proptest::test_runner::TestError::Abort(reason) => reason.to_string(),
    })
}

impl Outcome {
    fn add(&self, took: Duration, peak: usize) {
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.cases.fetch_add(1, Ordering::Relaxed);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
        self.slowest.fetch_max(nanoseconds, Ordering::Relaxed);
        self.largest.fetch_max(peak, Ordering::Relaxed);
    }
}

fn report(
    targets: &[Target],
    outcomes: &[Outcome],
    full: bool,
    faults: &BTreeMap<&'static str, String>,
) {
    let mut all = 0;
    let mut slowest = (0.0, "");
    for (target, outcome) in targets.iter().zip(outcomes) {
        let cases = outcome.cases.load(Ordering::Relaxed);
        let seconds = outcome.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9;
        let worst = outcome.slowest.load(Ordering::Relaxed) as f64 / 1e6;
        all += cases;
        if worst > slowest.0 {
            slowest = (worst, target.name);
        }
        if full || std::env::var_os("NETBE_FAULT").is_some() {
            figures(&format!(
                "fuzz: {:<12} {cases:>9} cases, {:>8.0} a second and processor, slowest {worst:.1} ms, largest {} KiB",
                target.name,
                cases as f64 / seconds.max(1e-9),
                outcome.largest.load(Ordering::Relaxed) >> 10,
            ));
        }
    }
    figures(&format!(
        "fuzz: {all} cases of {} targets, slowest {:.1} ms ({}), {} faults",
        targets.len(),
        slowest.0,
        slowest.1,
        faults.len()
    ));
}

/// Returns a case's time on the processor: others may have it in between.
fn timed<T>(what: impl FnOnce() -> T) -> (T, Duration) {
    let now = || -> Duration {
        let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("every thread has one");
        time.into()
    };
    let start = now();
    let result = what();
    (result, now().saturating_sub(start))
}
