//! Looking at everything that should hold, and mending what has one safe answer: `check`.
//!
//! Looking takes no lock and changes nothing; what a command that runs now is making is no finding. Each
//! finding says what is wrong with which thing and what to do.

pub mod filesystem;
mod leftovers;
mod repair;
mod trust;

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::{init, staged};
use crate::btrfs::subvolume;
use crate::failure::Failure;
use crate::fs::interrupt;
use crate::fs::shown_path::shortened;
use crate::pool::lock::Watch;
use crate::pool::{EnvName, Environment, Node, NodeName, Pool, layout};
use crate::publish;

pub use repair::{Repaired, repair};
pub use trust::one_domain;

/// One thing that is not as it should be.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// The node, environment or file it is about.
    pub about: String,
    /// What is wrong, a sentence without its period.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
    /// Whether `--repair` does it.
    pub repairable: bool,
    #[serde(skip)]
    repair: Option<Repair>,
}

/// What has one safe answer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Repair {
    /// Delete what an interrupted command left under a hidden name.
    Remove(PathBuf, Option<NodeName>),
    /// Delete the one of two names that an interrupted rename left.
    FinishRename(PathBuf, NodeName),
    /// Write a lost `env.json` from what the disk says.
    Describe(NodeName, EnvName),
    /// Put back an environment's own files, which a killed command had lent others in place of.
    GiveBack(NodeName, EnvName),
    /// Lead `active` to the only complete environment there is.
    Activate(NodeName, EnvName),
    /// Take away what the state directory holds of a node that is not there.
    Forget(NodeName),
    /// Write again the copy of a node's record, or of the pool's, that another server could take over.
    Copy(Option<NodeName>),
    /// Write again what the network is offered.
    Publish,
}

/// How many nested subvolumes of a half are told one by one.
const NESTED: usize = 20;

const REPAIR: &str = "netbe check --repair";
/// What to do about what netbe did not make.
const FOREIGN: &str = "look what it is, and move it out of the pool";

impl Finding {
    #[allow(clippy::needless_pass_by_value)]
    fn new(about: impl ToString, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            about: about.to_string(),
            problem: problem.into(),
            remedy: remedy.into(),
            repairable: false,
            repair: None,
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

/// How often it looks again, at most, while others change what it looks at.
const MAX_READS: usize = 8;

/// Looks at one node, or at the pool and all of them.
///
/// Looking takes time, and no lock: where another netbe changed something meanwhile, only what is found again is a
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
        found.extend(filesystem::of_filesystem(pool)?);
    }
    for node in &nodes {
        found.extend(of_node(pool, node).unwrap_or_else(|e| {
            let problem = format!("it cannot be read: {e:#}");
            let remedy = match nix::unistd::geteuid().is_root() {
                true => FOREIGN,
                false => "run netbe check as root",
            };
            vec![Finding::new(&node.name, problem, remedy)]
        }));
    }
    if only.is_none() {
        found.extend(twins(&nodes)?);
        found.extend(publication(pool)?);
    }
    Ok(found)
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
    found.extend(active_link(node, &envs));
    for env in &envs {
        // Each takes a look into kernels and initramfs: thousands take minutes.
        interrupt::check()?;
        found.extend(of_environment(pool, node, env)?);
    }
    Ok(found)
}

fn active_link(node: &Node, envs: &[Environment]) -> Option<Finding> {
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
        // What cannot be read may be the active one.
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
            format!("netbe activate {}/ENV", node.name),
        ),
    })
}

fn of_environment(pool: &Pool, node: &Node, env: &Environment) -> Result<Vec<Finding>> {
    if !env.dir.symlink_metadata().is_ok_and(|m| m.is_dir()) {
        return Ok(env
            .problems
            .iter()
            .map(|p| Finding::new(env, p, FOREIGN))
            .collect());
    }
    if env.unread {
        let remedy = "look at what the kernel says of the disk: dmesg";
        let problems = env.problems.iter();
        return Ok(problems.map(|p| Finding::new(env, p, remedy)).collect());
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
        return Ok(env
            .problems
            .iter()
            .map(|p| {
                Finding::new(
                    env,
                    p,
                    format!("netbe destroy {env}, when nothing in it is needed"),
                )
            })
            .collect());
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
        // By which properties it would have to boot is not known.
        true => Ok(Vec::new()),
        false => staged::reasons(pool, node, env),
    };
    let mut found: Vec<Finding> = match reasons {
        Ok(reasons) => reasons
            .iter()
            .map(|r| {
                Finding::new(
                    env,
                    format!("it would not boot: {r}"),
                    remedy_for(node, env),
                )
            })
            .collect(),
        Err(e) => {
            let hint = e.downcast_ref::<Failure>().and_then(|f| f.hint.clone());
            vec![Finding::new(
                env,
                format!("whether it would boot cannot be told: {e:#}"),
                hint.unwrap_or_else(|| "run netbe check as root".to_string()),
            )]
        }
    };
    for (half, path) in [("root", env.root()), ("boot", env.boot())] {
        if let Ok(nested) = subvolume::nested(&path) {
            found.extend(nested.iter().take(NESTED).map(|inner| {
                Finding::new(
                    env,
                    format!(
                        "its {half} half holds the nested subvolume {}, which a plain snapshot leaves out",
                        shortened(&inner.path)
                    ),
                    format!("netbe clone {env} {}/NEW carries it along as a directory", node.name),
                )
            }));
            if nested.len() > NESTED {
                found.push(Finding::new(
                    env,
                    format!("its {half} half holds {} more", nested.len() - NESTED),
                    format!("btrfs subvolume list -o {}", path.display()),
                ));
            }
        }
    }
    Ok(found)
}

fn remedy_for(node: &Node, env: &Environment) -> String {
    match env.active || env.template {
        true => format!(
            "netbe clone {env} {}/NEW writes the boot files anew",
            node.name
        ),
        false => format!("netbe shell {env}, or netbe destroy {env}"),
    }
}

/// Finds environments that are the same one by their records: copied in by hand, one of the two lies.
fn twins(nodes: &[Node]) -> Result<Vec<Finding>> {
    let mut seen: HashMap<String, String> = HashMap::new();
    let mut found = Vec::new();
    for node in nodes {
        // One that cannot be read has been told of.
        for env in node.environments().unwrap_or_default() {
            let Some(uuid) = env.uuid().map(str::to_string) else {
                continue;
            };
            if let Some(other) = seen.insert(uuid, env.to_string()) {
                found.push(Finding::new(
                    &env,
                    format!("its env.json is that of {other}: one of them was copied by hand"),
                    format!(
                        "remove {}, then {REPAIR}",
                        env.dir.join("env.json").display()
                    ),
                ));
            }
        }
    }
    Ok(found)
}

fn publication(pool: &Pool) -> Result<Vec<Finding>> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(Vec::new());
    }
    let state = publish::out_of_date(pool)?;
    let stale = state.steps.iter().map(|step| {
        Finding::repairable(
            "publish",
            format!("what the network is offered is not up to date: to {step}"),
            Repair::Publish,
        )
    });
    let wrong = state
        .warnings
        .iter()
        .map(|w| Finding::new("publish", w, "see netbe-publish(8)"));
    let services = init::services::missing::sentences(pool)?;
    let services = services.iter().map(|problem| {
        Finding::new(
            "services",
            problem,
            format!("netbe init {} --services", pool.root().display()),
        )
    });
    Ok(stale.chain(wrong).chain(services).collect())
}
