//! `netbe create` for several nodes

use anyhow::Result;

use super::create::{self, Create};
use super::merge;
use super::session::Session;
use super::side_by_side;
use crate::failure::Failure;
use crate::lifecycle::fleet::Report;
use crate::output;
use crate::pool::pattern::Named;

/// Makes several environments in parallel.
pub(super) fn run(session: &Session, args: &Create) -> Result<u8> {
    if let Some((name, value)) = args.properties().first() {
        return Err(
            Failure::usage(format!("--{name}={value} is for one new node"))
                .hint("netbe set --help")
                .into(),
        );
    }
    let pool = session.pool()?;
    let (mut targets, unmatched) = session.chosen_or_all(&pool, &args.targets, args.all)?;
    if let Some(from) = args.from.as_ref().filter(|_| args.all) {
        targets.retain(|target| target.node != from.node);
    }
    let done = side_by_side::run(
        session,
        &targets,
        (args.changing, args.jobs, args.next),
        |target| create::perform(&pool, args, target),
        &|target| args.worker_arguments(session, target),
        output::upgrade::draw_created,
    );
    session.beside(unmatched, done)
}

/// Makes one of several environments, as the worker of the netbe that makes all.
pub(super) fn worker(session: &Session, args: &Create) -> Result<u8> {
    let [Named::One(target)] = args.targets.as_slice() else {
        return Ok(2);
    };
    let work = || create::perform(&session.pool()?, args, target);
    side_by_side::work(session, work, |done| {
        let mut report = Report::of_created(&done);
        let merged = done.iter().filter_map(|made| made.merged.as_ref());
        report.tell(merged.flat_map(merge::notes).collect());
        report
    })
}
