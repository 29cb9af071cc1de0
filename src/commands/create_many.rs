//! `netbe create` for several nodes

use anyhow::Result;

use super::create::{self, Create};
use super::merge;
use super::session::Session;
use super::side_by_side::{self, tell};
use crate::failure::Failure;
use crate::lifecycle::Outcome;
use crate::lifecycle::create::Created;
use crate::lifecycle::fleet::Report;
use crate::lifecycle::trial::How;
use crate::output;
use crate::pool::pattern::Named;
use crate::pool::{Operand, Pool};

/// Makes several environments, side by side.
pub(super) fn run(session: &Session, args: &Create) -> Result<u8> {
    if let Some((name, value)) = args.properties().first() {
        return Err(
            Failure::usage(format!("--{name}={value} is for one new node"))
                .hint("netbe set --help")
                .into(),
        );
    }
    let pool = session.pool()?;
    let (targets, unmatched) = targets(session, &pool, args)?;
    if args.changing.dry_run {
        return session.beside(unmatched, dry_run(session, &pool, args, &targets));
    }
    let reports = side_by_side::run(session, &targets, args.jobs, &|target| {
        args.worker_arguments(&session.pool_dir, &session.states, target)
    })?;
    session.report(&output::upgrade::draw_created(
        targets.iter().zip(&reports),
        session.look,
    ))?;
    let how = How::asked(args.once, args.trial);
    session.beside(
        unmatched,
        side_by_side::tell_all(session, &targets, &reports, how),
    )
}

/// Makes one of several, as the worker of a netbe that makes them all.
pub(super) fn worker(session: &Session, args: &Create) -> Result<u8> {
    let [Named::One(target)] = args.targets.as_slice() else {
        return Ok(2);
    };
    side_by_side::work(session, || {
        let done = work(session, args, target);
        let mut report = Report::of_created(&done);
        let merged = done.iter().filter_map(|made| made.merged.as_ref());
        report.tell(merged.flat_map(merge::notes).collect());
        report
    })
}

fn work(session: &Session, args: &Create, target: &Operand) -> Result<Created> {
    match create::perform(&session.pool()?, args, target)? {
        Outcome::Done(done) => Ok(done),
        Outcome::Planned(_) => Err(Failure::usage("a worker cannot do a dry run").into()),
    }
}

/// Returns what is to be made: what is named, each once, or for every node that is neither template nor the source; and the
/// exit status so far.
fn targets(session: &Session, pool: &Pool, args: &Create) -> Result<(Vec<Operand>, u8)> {
    let (mut targets, unmatched) = session.chosen_or_all(pool, &args.targets, args.all)?;
    if let Some(from) = args.from.as_ref().filter(|_| args.all) {
        targets.retain(|target| target.node != from.node);
    }
    Ok((targets, unmatched))
}

fn dry_run(session: &Session, pool: &Pool, args: &Create, targets: &[Operand]) -> Result<u8> {
    let mut worst = 0;
    for target in targets {
        match create::perform(pool, args, target) {
            Ok(outcome) => drop(session.done(outcome)?),
            Err(e) => worst = worst.max(tell(session, target, &Report::failed(&e))),
        }
    }
    Ok(worst)
}
