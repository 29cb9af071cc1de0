//! `-n` says what is done: every changing command is run with it and then for real, on pools that are the same.
//!
//! Both refuse the same, in the same words; whatever changed on disk was named by a step, and no step was without effect.
//! `NETBE_DRY_RUN=PART` runs the lines that contain PART.

mod commands;
mod facts;
mod lines;
mod on_this_machine;
mod scenes;

use std::fs;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Mutex;

use self::facts::{changes, facts, names, timeless};
use self::lines::{DONE, PARTLY, REFUSED, UNSEEN};
use self::scenes::scene;

use crate::support::{Outcome, Pool};

/// What a command line is run on, besides the pool that [`scene`] makes.
type Prepare = fn(&Pool);

fn run(pool: &Pool, line: &str) -> Outcome {
    let line = line
        .replace(
            "SYSTEM",
            &pool.beside().join("system").display().to_string(),
        )
        .replace("BESIDE", &pool.beside().display().to_string());
    pool.netbe().run(&line)
}

/// Returns a command line with `-n`, before the program that it runs.
fn planning(line: &str) -> String {
    match line.split_once(" -- ") {
        Some((netbe, program)) => format!("{netbe} -n -- {program}"),
        None => format!("{line} -n"),
    }
}

/// Returns the steps that a dry run printed.
fn steps(planned: &str) -> Vec<&str> {
    let is_step = |line: &&str| line.starts_with("would ");
    planned.lines().filter(is_step).collect()
}

/// Returns the words of an error and its hint, without what is made of the time.
fn errors(outcome: &Outcome) -> Vec<String> {
    let lines = outcome.stderr.lines();
    lines
        .filter(|l| l.starts_with("error: ") || l.starts_with("hint: "))
        .map(str::to_string)
        .collect()
}

/// Runs a command line with `-n` and then for real, and shows that the steps are what changed.
fn assert_is_told(pool: &Pool, line: &str) -> (Outcome, Outcome) {
    let before = facts(pool);
    let all = pool.fingerprint();
    let planned = run(pool, &planning(line));
    all.assert_unchanged(&pool.fingerprint());
    assert_eq!(
        changes(&before, &facts(pool)),
        Vec::<String>::new(),
        "{line} -n"
    );
    let done = run(pool, line);
    let of_planned = timeless(&planned.stdout);
    let steps = steps(&of_planned);
    let changed = changes(&before, &facts(pool));
    let changed: Vec<String> = changed.iter().map(|fact| timeless(fact)).collect();
    for fact in &changed {
        assert!(
            steps.iter().any(|step| names(step, fact)),
            "netbe {line} changed {fact}, and no step says so: {planned:#?} {done:#?}"
        );
    }
    for step in &steps {
        let is_unseen = UNSEEN.iter().any(|words| step.contains(words));
        assert!(
            is_unseen || changed.iter().any(|fact| names(step, fact)),
            "netbe {line} says {step:?}, and nothing of that changed: {changed:#?} {done:#?}"
        );
    }
    (planned, done)
}

/// Calls `assert` with each row that was asked for, several at a time; names all that fail.
fn each<T: Copy + Sync + RefUnwindSafe + UnwindSafe>(
    rows: &[T],
    line: fn(&T) -> &str,
    assert: fn(T),
) {
    let asked = std::env::var("NETBE_DRY_RUN").unwrap_or_default();
    let rows = rows.iter().filter(|row| line(row).contains(&asked));
    let rows = Mutex::new(rows);
    let take = || rows.lock().unwrap().next().copied();
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|threads| {
        let at_once = std::thread::available_parallelism().map_or(1, Into::into);
        for _ in 0..at_once.min(4) {
            threads.spawn(|| {
                while let Some(row) = take() {
                    if std::panic::catch_unwind(|| assert(row)).is_err() {
                        failed.lock().unwrap().push(line(&row).to_string());
                    }
                }
            });
        }
    });
    assert_eq!(failed.into_inner().unwrap(), Vec::<String>::new());
}

#[test]
fn a_dry_run_names_whatever_is_done_and_changes_nothing() {
    each(
        DONE,
        |row| row.0,
        |(line, prepare)| {
            let pool = scene();
            prepare(&pool);
            let (planned, done) = assert_is_told(&pool, line);
            // What is found is there until it is mended.
            let status = i32::from(line.starts_with("check"));
            assert_eq!(planned.status, status, "{line} -n: {planned:#?}");
            assert_eq!(done.status, 0, "{line}: {done:#?}");
        },
    );
}

#[test]
fn a_dry_run_refuses_what_is_refused_in_the_same_words() {
    each(
        REFUSED,
        |row| row.0,
        |(line, status, prepare)| {
            let pool = scene();
            prepare(&pool);
            let before = facts(&pool);
            let planned = run(&pool, &planning(line));
            let done = run(&pool, line);
            assert_eq!(
                (planned.status, done.status),
                (status, status),
                "{line}: {planned:#?} {done:#?}"
            );
            assert_eq!(errors(&planned), errors(&done), "{line}");
            assert_ne!(errors(&done), Vec::<String>::new(), "{line}");
            assert_eq!(
                changes(&before, &facts(&pool)),
                Vec::<String>::new(),
                "{line}"
            );
        },
    );
}

#[test]
fn a_dry_run_foresees_the_failures_among_what_is_done() {
    each(
        PARTLY,
        |row| row.0,
        |(line, status, prepare)| {
            let pool = scene();
            prepare(&pool);
            let (planned, done) = assert_is_told(&pool, line);
            assert_eq!(
                (planned.status, done.status),
                (status, status),
                "{line}: {planned:#?} {done:#?}"
            );
            assert_eq!(errors(&planned), errors(&done), "{line}");
        },
    );
}

#[test]
fn the_power_of_a_machine_that_may_be_elsewhere_is_in_no_step() {
    let pool = scene();
    scenes::with_trial_elsewhere(&pool);
    let (planned, done) = assert_is_told(&pool, "reconcile");
    assert!(!planned.stdout.contains("power.cycle"), "{planned:#?}");
    assert!(done.stderr.contains("power.cycle was not run"), "{done:#?}");
    assert!(!pool.beside().join("power").exists());
}

#[test]
fn a_pool_that_is_made_was_told_of() {
    let pool = Pool::bare(1 << 30);
    let (planned, done) = assert_is_told(&pool, "init --server 192.0.2.9");
    assert_eq!(
        (planned.status, done.status),
        (0, 0),
        "{planned:#?} {done:#?}"
    );
    assert_ne!(steps(&planned.stdout), Vec::<&str>::new());
    assert!(pool.at("pool.json").exists());
}

#[test]
fn an_import_looks_at_the_beginning_of_its_source() {
    let pool = Pool::with_template();
    for content in ["no system at all\n".repeat(9000), String::new()] {
        let path = pool.beside().join("source");
        fs::write(&path, content).unwrap();
        for line in ["import -n debian", "import debian"] {
            let line = format!("{line} {}", path.display());
            let said = pool.netbe().fails(1, &line);
            assert!(
                said.contains("is not an operating system netbe can read"),
                "{said}"
            );
        }
    }
}
