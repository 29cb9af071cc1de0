//! A command for several nodes, side by side: what `upgrade` and `create` have in common.
//!
//! Progress lines, what is told besides the table, the report of one of several. Not for what is done.

use std::ffi::OsString;
use std::fmt::Display;

use anyhow::Result;

use super::session::Session;
use crate::failure::Failure;
use crate::lifecycle::fleet::{self, News, Report};
use crate::lifecycle::trial::How;
use crate::output;
use crate::output::lines::Lines;
use crate::output::screen::Talk;

/// Does it for all, showing how it goes; returns what came of each.
pub(super) fn run<T: Display + Sync>(
    session: &Session,
    all: &[T],
    jobs: Option<u16>,
    arguments: &(dyn Fn(&T) -> Vec<OsString> + Sync),
) -> Result<Vec<Report>> {
    let names: Vec<String> = all.iter().map(T::to_string).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut lines = Lines::new(&names, session.draws_progress());
    let jobs = jobs.map_or_else(processors, usize::from);
    fleet::run(all, jobs, arguments, |one, news| {
        let is_drawn = session.draws_progress();
        if session.talks() == Talk::Quiet || (!is_drawn && matches!(news, News::Begun)) {
            return;
        }
        let words = output::upgrade::in_words(news);
        lines.say(&one.to_string(), &words, matches!(news, News::Says(_)));
    })
}

/// Prints what is not in the table: notes, warnings, failures, and what is left to activate; returns the exit status.
pub(super) fn tell_all<T: Display>(
    session: &Session,
    all: &[T],
    reports: &[Report],
    how: Option<How>,
) -> Result<u8> {
    let mut worst = 0;
    for (one, report) in all.iter().zip(reports) {
        worst = worst.max(tell(session, one, report));
    }
    let waiting: Vec<String> = reports.iter().filter_map(Report::to_activate).collect();
    if how.is_none() && !waiting.is_empty() {
        let all = waiting.join(" ");
        session.sentence(&format!("To boot next: netbe activate {all}"))?;
    }
    Ok(worst)
}

/// Prints notes, warnings and failures of one; returns the exit status.
pub(super) fn tell(session: &Session, one: &impl Display, report: &Report) -> u8 {
    let name = |said: &String| match names(said, &one.to_string()) {
        true => said.clone(),
        false => format!("{one}: {said}"),
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

/// Does one of several, as the worker of the netbe that does them all; prints the report as one line of JSON.
pub(super) fn work(session: &Session, one: impl FnOnce() -> Report) -> Result<u8> {
    let report = match fleet::stop_with_parent() {
        Ok(()) => one(),
        Err(e) => Report::failed(&e),
    };
    session.answer(&format!("{}\n", serde_json::to_string(&report)?))?;
    Ok(report.status())
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
