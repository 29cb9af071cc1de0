//! A command for several nodes in parallel: the common part of `upgrade` and `create`.
//!
//! Progress lines, messages besides the table, the report of one of several. Not for the work itself.

use std::ffi::OsString;
use std::fmt::Display;

use anyhow::Result;

use super::args::{Changing, Making, Next};
use super::session::Session;
use crate::failure::Failure;
use crate::lifecycle::Outcome;
use crate::lifecycle::fleet::{self, News, Report};
use crate::lifecycle::trial::How;
use crate::output;
use crate::output::lines::Lines;
use crate::output::screen::Talk;
use crate::output::table::Look;

/// Runs a worker for each item and shows their progress, or plans each in a dry run; prints the results, and returns the exit status.
pub(super) fn run<T: Display + Sync, D>(
    session: &Session,
    all: &[T],
    (changing, jobs, next): (Changing, Option<u16>, Next),
    perform: impl Fn(&T) -> Result<Outcome<D>>,
    arguments: &(dyn Fn(&T) -> Vec<OsString> + Sync),
    draw: impl FnOnce(&[T], &[Report], Look) -> String,
) -> Result<u8> {
    if changing.dry_run {
        let mut worst = 0;
        for one in all {
            match perform(one) {
                Ok(outcome) => drop(session.done(outcome)?),
                Err(e) => worst = worst.max(print_result(session, one, &Report::failed(&e))),
            }
        }
        return Ok(worst);
    }
    let names: Vec<String> = all.iter().map(T::to_string).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut lines = Lines::new(&names, session.draws_progress());
    let jobs = jobs.map_or_else(processors, usize::from);
    let reports = fleet::run(all, jobs, arguments, |one, news| {
        if session.talks() == Talk::Quiet {
            return;
        }
        let words = output::upgrade::in_words(news);
        lines.say(&one.to_string(), &words, matches!(news, News::Says(_)));
    })?;
    session.report(&draw(all, &reports, session.look))?;
    print_results(session, all, &reports, next.how())
}

/// Returns the arguments of the worker process that does one of several and reports, without the program; `own` are those that
/// its command alone has.
pub(super) fn worker_arguments(
    session: &Session,
    verb: &str,
    (changing, next, making): (Changing, Next, &Making),
    own: Vec<OsString>,
) -> Vec<OsString> {
    let mut line: Vec<OsString> = vec!["--pool".into(), session.pool_dir.clone().into()];
    line.extend(["--state".into(), session.states.clone().into()]);
    line.extend([verb, "--worker", "--wait"].map(OsString::from));
    line.push(changing.wait.as_secs().to_string().into());
    line.extend(next.activate.then(|| "--activate".into()));
    line.extend(next.once.then(|| "--once".into()));
    let within = next.trial.map(|within| within.as_secs());
    line.extend(within.map(|seconds| format!("--try={seconds}s").into()));
    line.extend(["--description".into(), making.description.clone().into()]);
    line.extend(own);
    line
}

/// Prints notes, warnings, failures, and the command that activates the results; returns the exit status.
fn print_results<T: Display>(
    session: &Session,
    all: &[T],
    reports: &[Report],
    how: Option<How>,
) -> Result<u8> {
    let mut worst = 0;
    for (one, report) in all.iter().zip(reports) {
        worst = worst.max(print_result(session, one, report));
    }
    let waiting: Vec<String> = reports.iter().filter_map(Report::to_activate).collect();
    if how.is_none() && !waiting.is_empty() {
        let all = waiting.join(" ");
        session.sentence(&format!("To boot next: netbe activate {all}"))?;
    }
    Ok(worst)
}

/// Prints notes, warnings and failures of one; returns the exit status.
fn print_result(session: &Session, one: &impl Display, report: &Report) -> u8 {
    let name = |message: &String| match names(message, &one.to_string()) {
        true => message.clone(),
        false => format!("{one}: {message}"),
    };
    let named = |all: &[String]| -> Vec<String> { all.iter().map(name).collect() };
    match report {
        Report::Created {
            package_notes,
            warnings,
            ..
        } => {
            session.notes(&named(package_notes));
            session.warnings(&named(warnings));
        }
        Report::Failed { why, hint, status } => {
            let mut failure = Failure::with_status(*status, name(why));
            failure.hint.clone_from(hint);
            return session.failed(&[failure.into()]);
        }
        Report::Nothing { package_notes } => session.notes(&named(package_notes)),
    }
    report.status()
}

/// Returns whether a text names the node of `NODE` or `NODE/ENV`.
fn names(text: &str, one: &str) -> bool {
    let node = one.split('/').next().unwrap_or(one);
    let is_inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
    text.split(|c| !is_inner(c)).any(|word| word == node)
}

/// Does the work for one of several, as the worker of the netbe that does all; prints the report as one line of JSON.
pub(super) fn work<D>(
    session: &Session,
    perform: impl FnOnce() -> Result<Outcome<D>>,
    report: impl FnOnce(Result<D>) -> Report,
) -> Result<u8> {
    let report = match fleet::stop_with_parent() {
        Ok(()) => report(perform().and_then(|outcome| match outcome {
            Outcome::Done(done) => Ok(done),
            Outcome::Planned(_) => Err(Failure::usage("a worker cannot do a dry run").into()),
        })),
        Err(e) => Report::failed(&e),
    };
    session.answer(&format!("{}\n", serde_json::to_string(&report)?))?;
    Ok(report.status())
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
