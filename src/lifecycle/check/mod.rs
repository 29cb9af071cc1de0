//! Checking the pool, and repairing what has only one safe repair: `check`.
//!
//! Checking takes no lock and changes nothing; the stages of running commands are no findings. Each finding names the
//! object, the problem and the remedy.

mod data;
pub mod filesystem;
mod for_any;
mod http_port;
mod leftovers;
mod limits;
mod nested;
mod published;
mod remedy;
mod repair;
mod stale;
mod trust;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::addresses::{self, Misfit};
use crate::failure::Failure;
use crate::fs::interrupt;
use crate::pool::lock::Watch;
use crate::pool::{EnvName, Environment, Node, NodeName, Pool, layout};
use crate::staged;

pub use repair::{Repaired, repair};
pub use trust::one_domain;

/// A finding.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// The node, environment or file.
    pub about: String,
    /// The problem, a sentence without a period.
    pub problem: String,
    /// The remedy.
    pub remedy: String,
    /// The repair, if `--repair` can do it.
    pub repairable: bool,
    #[serde(skip)]
    repair: Option<Repair>,
    /// Whether the only problem is that an environment's boot files differ from the properties.
    #[serde(skip)]
    stale: bool,
}

/// A repair.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Repair {
    /// Delete a leftover with a hidden name.
    Remove(PathBuf, Option<NodeName>),
    /// Delete the second name that an interrupted rename left.
    FinishRename(PathBuf, NodeName),
    /// Regenerate a lost `env.json` from the disk.
    Describe(NodeName, EnvName),
    /// Delete what a killed command was writing in an environment.
    RemoveHalfReplaced(NodeName, EnvName),
    /// Restore an environment's files that a killed command had replaced.
    GiveBack(NodeName, EnvName),
    /// Have an environment mount the data of its node.
    MountData(NodeName, EnvName),
    /// Records that an environment would boot, which was recorded as one that would not.
    Verify(NodeName, EnvName),
    /// Write the disk that an environment's root was deployed to into its boot files.
    LeadToDisk(NodeName, EnvName),
    /// Delete the record of a deploy to a node's disk that is no longer needed.
    ForgetSent(NodeName),
    /// Lead `active` to the only complete environment.
    Activate(NodeName, EnvName),
    /// Remove the state of a node that does not exist.
    Forget(NodeName),
    /// Rewrite the copy of a node's record, or of the pool's, for a takeover.
    Copy(Option<NodeName>),
    /// Publish.
    Publish,
}

const REPAIR: &str = "netbe check --repair";
impl Finding {
    #[allow(clippy::needless_pass_by_value)]
    fn new(about: impl ToString, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            about: about.to_string(),
            problem: problem.into(),
            remedy: remedy.into(),
            repairable: false,
            repair: None,
            stale: false,
        }
    }

    fn repairable(about: impl ToString, problem: impl Into<String>, repair: Repair) -> Self {
        Self {
            repairable: true,
            repair: Some(repair),
            ..Self::new(about, problem, REPAIR)
        }
    }
}

impl From<Misfit> for Finding {
    fn from(misfit: Misfit) -> Self {
        Self::new(misfit.about, misfit.problem, misfit.remedy)
    }
}

/// How often the check is repeated, at most, while other processes change the pool.
const MAX_READS: usize = 8;

/// Checks one node, or the pool and all of them.
///
/// Checking takes time and no lock: if another netbe changed something meanwhile, only what is found again is a
/// finding.
pub fn check(pool: &Pool, only: Option<&NodeName>) -> Result<Vec<Finding>> {
    let mut watch = Watch::begin(pool.state());
    let mut found = look(pool, only)?;
    for _ in 0..MAX_READS {
        if found.is_empty() || !watch.saw_a_change() {
            break;
        }
        watch = Watch::begin(pool.state());
        let again = look(pool, only)?;
        found.retain(|f| {
            again
                .iter()
                .any(|a| (&a.about, &a.problem) == (&f.about, &f.problem))
        });
    }
    Ok(found)
}

fn look(pool: &Pool, only: Option<&NodeName>) -> Result<Vec<Finding>> {
    let nodes = match only {
        Some(name) => vec![pool.node(name)?],
        None => pool.nodes()?,
    };
    let mut found = Vec::new();
    if only.is_none() {
        found.extend(leftovers::in_pool(pool, &nodes)?);
        found.extend(trust::of_pool(pool, &nodes)?);
    }
    // The pool of this machine itself is not offered to the network.
    if only.is_none() && pool.local().is_none() {
        let misfits = addresses::of_servers(pool, &nodes).into_iter();
        let misfits = misfits.chain(addresses::of_nodes(pool, &nodes));
        found.extend(misfits.map(Finding::from));
        found.extend(limits::of_server(pool, &nodes));
        found.extend(http_port::of_server(pool));
        found.extend(for_any::of_nodes(pool, &nodes));
    }
    // Also when checking one node: it cannot run on a damaged filesystem.
    found.extend(filesystem::of_filesystem(pool)?);
    for node in &nodes {
        found.extend(of_node(pool, node).unwrap_or_else(|e| {
            let problem = format!("it cannot be read: {e:#}");
            vec![Finding::new(&node.name, problem, remedy::UNREAD)]
        }));
    }
    if only.is_none() {
        found.extend(twins(&nodes)?);
    }
    found.extend(published::findings(pool, &nodes, only.is_some())?);
    // A read that a signal interrupted fails too, and must not become a finding.
    interrupt::check()?;
    Ok(stale::gathered(found, only))
}

fn of_node(pool: &Pool, node: &Node) -> Result<Vec<Finding>> {
    let envs = node.environments()?;
    let mut found: Vec<Finding> = node
        .problems
        .iter()
        .filter(|p| !p.contains(layout::ACTIVE))
        .map(|p| Finding::new(&node.name, p, node.how_to_restore()))
        .collect();
    found.extend(leftovers::in_node(pool, node, &envs)?);
    found.extend(active_link(pool, node, &envs));
    found.extend(data::of_node(pool, node)?);
    found.extend(addresses::of_clients(pool, node)?.map(Finding::from));
    for env in &envs {
        // Each verification reads kernels and initramfs: thousands take minutes.
        interrupt::check()?;
        found.extend(of_environment(pool, node, env)?);
    }
    Ok(found)
}

fn active_link(pool: &Pool, node: &Node, envs: &[Environment]) -> Option<Finding> {
    let problem = match &node.active {
        Some(name) if envs.iter().any(|e| e.name == *name) => return None,
        Some(name) => format!("its active environment {name} does not exist"),
        None => match node.problems.iter().find(|p| p.contains(layout::ACTIVE)) {
            Some(problem) => problem.clone(),
            None => "it has no active environment".to_string(),
        },
    };
    let mut complete = envs.iter().filter(|e| e.problems.is_empty());
    Some(match (complete.next(), complete.next()) {
        // An environment that cannot be read may be the active one.
        (Some(only), None) if !node.lost && !node.unread && !envs.iter().any(|e| e.unread) => {
            Finding::repairable(
                &node.name,
                problem,
                Repair::Activate(node.name.clone(), only.name.clone()),
            )
        }
        _ => Finding::new(
            &node.name,
            problem,
            remedy::nothing_active(pool, node, envs),
        ),
    })
}

fn of_environment(pool: &Pool, node: &Node, env: &Environment) -> Result<Vec<Finding>> {
    let problems = env.problems.iter();
    let each = |remedy: &str| Ok(problems.map(|p| Finding::new(env, p, remedy)).collect());
    if !env.dir.symlink_metadata().is_ok_and(|m| m.is_dir()) {
        return each(&remedy::foreign(pool, &env.dir));
    }
    if env.unread {
        return each(remedy::UNREAD);
    }
    if env.record.is_none() && env.whole && env.problems.len() == 1 {
        let repair = Repair::Describe(node.name.clone(), env.name.clone());
        return Ok(vec![Finding::repairable(
            env,
            env.problems[0].clone(),
            repair,
        )]);
    }
    if !env.problems.is_empty() {
        return each(&remedy::damaged(pool, node, env));
    }
    let is_worked_in = || {
        pool.refuse_work(&node.name, &env.name, Duration::ZERO)
            .is_err()
    };
    if env.require_own_files().is_err() && !is_worked_in() {
        return Ok(vec![Finding::repairable(
            env,
            "a command in it was killed: files of netbe's stand in place of its own",
            Repair::GiveBack(node.name.clone(), env.name.clone()),
        )]);
    }
    let reasons = match node.lost {
        // Without the node's record, the properties that it would boot with are not known.
        true => Ok(Vec::new()),
        false => staged::reasons(pool, node, env),
    };
    let mut found: Vec<Finding> = match reasons {
        Ok(reasons) if !reasons.is_empty() && staged::lacks_data_alone(pool, node, env) => {
            let problem = format!("it would not boot: {}", reasons.join("; "));
            let repair = Repair::MountData(node.name.clone(), env.name.clone());
            vec![Finding::repairable(env, problem, repair)]
        }
        Ok(reasons) if !reasons.is_empty() && staged::is_stale(pool, node, env) => {
            vec![stale::finding(node, env, &reasons)]
        }
        Ok(reasons) if reasons.is_empty() => {
            let damage = staged::damage_for_some(pool, node, &env.boot());
            let finding = damage.map(|(problem, remedy)| Finding::new(env, problem, remedy));
            let record = env.record.as_ref();
            let is_marked = record.is_some_and(|record| !record.would_not_boot.is_empty());
            let marked = is_marked.then(|| {
                let problem = "it is recorded as one that would not boot, and would";
                Finding::repairable(
                    env,
                    problem,
                    Repair::Verify(node.name.clone(), env.name.clone()),
                )
            });
            let found = finding.into_iter().chain(marked);
            found.filter(|_| !node.lost).collect()
        }
        Ok(reasons) => {
            let is_sound = |env: &Environment| {
                staged::reasons(pool, node, env).is_ok_and(|reasons| reasons.is_empty())
            };
            let (problem, remedy) = remedy::would_not_boot(node, env, is_sound, &reasons);
            vec![Finding::new(env, problem, remedy)]
        }
        Err(e) => {
            let hint = e.downcast_ref::<Failure>().and_then(|f| f.hint.clone());
            vec![Finding::new(
                env,
                format!("it cannot be verified: {e:#}"),
                hint.unwrap_or_else(|| remedy::UNREAD.to_string()),
            )]
        }
    };
    found.extend(nested::of_environment(node, env));
    let read_only = staged::read_only_halves(pool, node, env).into_iter();
    found.extend(read_only.map(|(problem, remedy)| Finding::new(env, problem, remedy)));
    Ok(found)
}

/// Finds environments with equal records: one of them was copied by hand.
fn twins(nodes: &[Node]) -> Result<Vec<Finding>> {
    let mut seen: HashMap<String, String> = HashMap::new();
    let mut found = Vec::new();
    for node in nodes {
        // A node that cannot be read is a finding already.
        for env in node.environments().unwrap_or_default() {
            let Some(uuid) = env.uuid().map(str::to_string) else {
                continue;
            };
            if let Some(other) = seen.insert(uuid, env.to_string()) {
                found.push(Finding::new(
                    &env,
                    format!("its env.json is that of {other}: one of them was copied by hand"),
                    remedy::copied(&env),
                ));
            }
        }
    }
    Ok(found)
}
