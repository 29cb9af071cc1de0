//! `activate --merge`: merging the files that a node would leave behind into the environment that it boots next.
//!
//! Files at a place of its data go into the data. Promises that nothing is activated if there are conflicts. Not for the merge.

use anyhow::Result;

use super::steps::Steps;
use super::{Merged, Request, merge, with_run};
use crate::btrfs::subvolume;
use crate::evidence::Evidence;
use crate::failure::Failure;
use crate::lifecycle::data::old_place;
use crate::lifecycle::left_behind::{self, AsOf, LeftBehind};
use crate::lifecycle::{Mode, Outcome, activate, activate_new};
use crate::merge::decide::Conflicts;
use crate::pool::{EnvId, Node, Operand, Pool};

/// The result of `activate --merge`.
#[derive(Debug)]
pub struct Taken {
    /// The merge; `None` if the node left nothing behind.
    pub merged: Option<Merged>,
    /// The activation; `None` if there are conflicts, which have to be resolved first.
    pub activated: Option<activate::Activated>,
}

/// Merges the files that a node would leave behind into the environment that it is to boot next, with `packages` also the
/// packages that it added and removed, and activates the result.
pub fn and_activate(
    pool: &Pool,
    operand: Option<&Operand>,
    packages: bool,
    force: bool,
    mode: Mode,
) -> Result<Outcome<Taken>> {
    let with_packages = if packages { "--packages " } else { "" };
    let options = format!("--merge {with_packages}{}", activate::forcing(force));
    let chosen = activate::choose(pool, operand, &options)?.env;
    let node = pool.node(&chosen.node)?;
    subvolume::sync(pool.root())?;
    let left = left_behind::by_booting(pool, &node, &chosen, AsOf::Now)?;
    let old_places = old_place::of_node(&node, &node.environments()?)?;
    let from = match (left.as_slice(), old_places.as_slice()) {
        ([], []) => {
            let done = activate::activate(pool, operand, force, mode)?;
            return Ok(done.map(|activated| Taken {
                merged: None,
                activated: Some(activated),
            }));
        }
        ([], [first, ..]) => first.wrote_in.clone(),
        ([one], _) => one.wrote_in.clone(),
        (several, _) => the_booted_one(&node, several)?,
    };
    let request = Request {
        from,
        to: chosen.id(),
        name: None,
        paths: Vec::new(),
        conflicts: Conflicts::Beside,
        packages,
        description: String::new(),
        boots_next: !force,
    };
    if mode.dry_run {
        let steps = with_run(pool, &request, mode, |run, _| run.steps())?;
        return foresee(pool, &chosen.id(), steps, force, mode).map(Outcome::Planned);
    }
    let Outcome::Done(merged) = merge(pool, &request, mode)? else {
        return Ok(Outcome::Planned(Vec::new()));
    };
    let mut activated = None;
    if merged.conflicts.is_empty() {
        let made = merged.id.as_ref();
        let next: Operand = made.cloned().unwrap_or(chosen.id()).into();
        let done = activate::activate(pool, Some(&next), force, mode).map_err(|e| match made {
            Some(made) => activate_new::only_made(made, "", &e),
            None => e,
        })?;
        if let Outcome::Done(done) = done {
            activated = Some(done);
        }
    }
    Ok(Outcome::Done(Taken {
        merged: Some(merged),
        activated,
    }))
}

/// Returns the steps of a dry run: those of the merge, and what the node boots then.
fn foresee(
    pool: &Pool,
    chosen: &EnvId,
    steps: Steps,
    force: bool,
    mode: Mode,
) -> Result<Vec<String>> {
    let mut sentences = steps.sentences;
    if steps.leave_conflicts {
        return Ok(sentences);
    }
    if steps.make_one {
        sentences.push(format!("let {} boot the result", chosen.node));
        return Ok(sentences);
    }
    let operand = chosen.clone().into();
    if let Outcome::Planned(more) = activate::activate(pool, Some(&operand), force, mode)? {
        sentences.extend(more);
    }
    Ok(sentences)
}

/// Returns the environment that a node runs, of several in which it may have written.
fn the_booted_one(node: &Node, several: &[LeftBehind]) -> Result<EnvId> {
    let evidence = Evidence::recent(node);
    let envs = node.environments()?;
    let runs = |id: &&EnvId| {
        let env = envs.iter().find(|env| env.name == id.env);
        env.is_some_and(|env| evidence.booted(env) == Some(true))
    };
    let ids: Vec<&EnvId> = several.iter().map(|one| &one.wrote_in).collect();
    if let [one] = ids.iter().filter(|id| runs(id)).collect::<Vec<_>>()[..] {
        return Ok((*one).clone());
    }
    let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
    Err(Failure::refused(format!(
        "{} may have written in several environments, and it is not known which it runs: {}",
        node.name,
        names.join(", ")
    ))
    .hint(format!("netbe merge {} {}", ids[0], several[0].missing_in))
    .into())
}
