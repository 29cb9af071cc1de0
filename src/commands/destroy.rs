//! `netbe destroy`

use std::io::IsTerminal;
use std::str::FromStr;

use anyhow::Result;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::args::Changing;
use super::ask;
use super::complete;
use super::session::Session;
use crate::failure::{Failure, Kind};
use crate::lifecycle::space::{self, Space};
use crate::lifecycle::{Mode, Outcome, data, destroy, kept_bases};
use crate::pool::data::DataPath;
use crate::pool::name::NotAName;
use crate::pool::pattern::Named;
use crate::pool::{NodeName, Operand, Pool};

/// Destroy environments, or a node with all of them
///
/// Refuses an environment that is active, booted or may be booted, pending, pinned, mounted or in use, and prints
/// the reason; the others are still destroyed, and the exit status is that of the worst. -r destroys whole nodes under the same
/// rules, but also the active and the pinned environments of a node that is not booted. The command returns when the deletion is
/// durable; btrfs frees the space in the background.
///
/// An environment may be booted if a TFTP name of the node led to it, or any host fetched a file of it, until the node
/// is known to run another one: see netbe-status. An environment that the NFS server has in use is always refused. The NFS
/// server keeps entries for up to half an hour after a node has left an environment. If the node is known to have left, netbe
/// makes the server drop the entries, and the environment is unused if they do not come back within five seconds. This is
/// checked again just before anything is destroyed.
///
/// --data destroys data of a node (netbe-set) whose path was removed from the property data. It refuses data that environments
/// mount, and data that the machine may still have mounted, until it has reported a later boot. -r refuses a node with
/// data, unless --data is given too.
///
/// With -n, and before the question, the command prints how much space will be freed: what only the named
/// environments refer to, counted as netbe list --space counts UNIQUE.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe destroy nog/old nog/older
  netbe destroy -n nog/old nog/older
  netbe destroy -r werda
  netbe destroy --data nog /srv")]
pub struct Destroy {
    /// The environments; with -r, the nodes; with --data, a node and its paths
    #[arg(required = true, value_name = "NODE[/ENV]", add = ArgValueCompleter::new(complete::sources))]
    pub words: Vec<Target>,
    /// Destroy whole nodes
    #[arg(short, long)]
    pub recursive: bool,
    /// Destroy data whose path was removed from a node's property; with -r, all data of the nodes
    #[arg(long)]
    pub data: bool,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// A node or environment, or with `--data` a path.
#[derive(Debug, Clone)]
pub enum Target {
    /// `NODE`, a pattern of nodes, or `NODE/ENV`.
    Operand(Named<Operand>),
    /// A path as the node sees it.
    Path(DataPath),
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.starts_with('/') {
            true => text.parse().map(Self::Path),
            false => text
                .parse()
                .map(Self::Operand)
                .map_err(|e: NotAName| e.to_string()),
        }
    }
}

/// Destroys environments, whole nodes, or data of a node.
pub fn run(session: &Session, args: &Destroy) -> Result<u8> {
    let pool = session.pool()?;
    let mode: Mode = args.changing.into();
    if args.data && !args.recursive {
        return destroy_data(session, &pool, args);
    }
    let (args, unmatched) = &Targets::new(session, &pool, args)?;
    let look = mode.dry();
    let (operands, refused) = able(&pool, args, look)?;
    let worst = session.failed(&refused).max(*unmatched);
    if operands.is_empty() {
        return Ok(worst);
    }
    let bytes = |space: &Space| match args.recursive {
        true => space.of_nodes(&operands),
        false => space.of_environments(&operands),
    };
    if !mode.dry_run && !args.yes {
        // Refuse before asking: a question about what will be refused is useless.
        if let Outcome::Planned(mut steps) = destroy(&pool, &operands, args, look)? {
            if std::io::stdin().is_terminal() {
                steps.extend(freed(session, &pool, bytes));
            }
            if !confirmed(session, &steps)? {
                return Ok(worst);
            }
        }
    }
    let destroying = || destroy(&pool, &operands, args, mode);
    let mut outcome = session.busy("Destroying", destroying)?;
    if let Outcome::Planned(steps) = &mut outcome {
        steps.extend(freed(session, &pool, bytes));
    }
    if let Some(gone) = session.done(outcome)? {
        session.sentence(&format!("Destroyed {}.", gone.join(", ")))?;
        session.notes(&kept_bases::note(&pool)?.into_iter().collect::<Vec<_>>());
    }
    Ok(worst)
}

/// The operands that name environments or nodes.
struct Targets {
    operands: Vec<Operand>,
    recursive: bool,
    data: bool,
    yes: bool,
}

impl Targets {
    /// Returns the named environments and nodes, and the exit status so far.
    fn new(session: &Session, pool: &Pool, args: &Destroy) -> Result<(Self, u8)> {
        let mut operands = Vec::new();
        for word in &args.words {
            match word {
                Target::Operand(operand) => operands.push(operand.clone()),
                Target::Path(path) => {
                    return Err(
                        Failure::usage(format!(
                            "{path} is a path, not an environment: data of a node is destroyed by --data and the node's name before it"
                        ))
                            .hint("netbe destroy --help")
                            .into(),
                    );
                }
            }
        }
        let (operands, unmatched) = session.chosen(pool, &operands)?;
        let targets = Self {
            operands,
            recursive: args.recursive,
            data: args.data,
            yes: args.yes,
        };
        Ok((targets, unmatched))
    }
}

fn destroy_data(session: &Session, pool: &Pool, args: &Destroy) -> Result<u8> {
    let usage = || Failure::usage("--data takes a node and its paths").hint("netbe destroy --help");
    let Some((Target::Operand(Named::One(Operand { node, env: None })), words)) =
        args.words.split_first()
    else {
        return Err(usage().into());
    };
    let mut paths: Vec<DataPath> = Vec::new();
    for word in words {
        match word {
            Target::Path(path) if !paths.contains(path) => paths.push(path.clone()),
            Target::Path(_) => {}
            Target::Operand(_) => return Err(usage().into()),
        }
    }
    if paths.is_empty() {
        return Err(usage().into());
    }
    let mode: Mode = args.changing.into();
    let look = mode.dry();
    if !mode.dry_run
        && !args.yes
        && let Outcome::Planned(steps) = data::destroy::destroy(pool, node, &paths, look)?
        && !confirmed(session, &steps)?
    {
        return Ok(0);
    }
    if let Some(gone) = session.done(data::destroy::destroy(pool, node, &paths, mode)?)? {
        session.sentence(&format!("Destroyed {}.", gone.join(", ")))?;
    }
    Ok(0)
}

/// Returns the operands that may be destroyed, and the reasons against the others. A single operand is not checked here: the
/// command itself reports its reason.
///
/// # Errors
/// `Usage`; nothing is done then.
fn able(pool: &Pool, args: &Targets, look: Mode) -> Result<(Vec<Operand>, Vec<anyhow::Error>)> {
    let (mut able, mut refused) = (args.operands.clone(), Vec::new());
    if able.len() > 1 {
        able.clear();
        for operand in &args.operands {
            let one = std::slice::from_ref(operand);
            let Err(error) = destroy(pool, one, args, look) else {
                able.push(operand.clone());
                continue;
            };
            match error.downcast_ref::<Failure>().map(|failure| failure.kind) {
                Some(Kind::Usage) => return Err(error),
                // Destroying waits for the lock.
                Some(Kind::Locked) if args.yes => able.push(operand.clone()),
                _ => refused.push(error),
            }
        }
    }
    Ok((able, refused))
}

fn destroy(
    pool: &Pool,
    operands: &[Operand],
    args: &Targets,
    mode: Mode,
) -> Result<Outcome<Vec<String>>> {
    if !args.recursive {
        return destroy::environments(pool, operands, mode);
    }
    let mut nodes: Vec<NodeName> = Vec::new();
    for operand in operands {
        if operand.env.is_some() {
            return Err(Failure::usage(format!(
                "-r destroys nodes, and {operand} is an environment"
            ))
            .hint(format!("netbe destroy {operand}"))
            .into());
        }
        nodes.push(operand.node.clone());
    }
    destroy::nodes(pool, &nodes, args.data, mode)
}

/// Returns the step that names the space to be freed; prints a warning instead if it cannot be measured.
pub(super) fn freed(
    session: &Session,
    pool: &Pool,
    of: impl FnOnce(&Space) -> u64,
) -> Option<String> {
    let space = match session.busy("Measuring space", || Space::measure(pool)) {
        Ok(space) => space,
        Err(e) => {
            let why = format!("cannot measure how much space will be freed: {e:#}");
            session.warnings(&[why]);
            return None;
        }
    };
    session.warnings(&space.unread);
    let bytes = of(&space);
    let trees = space::of_trees(pool);
    let trees = trees.map_or(String::new(), |size| {
        format!(", and blocks of the trees, which take {size} in all")
    });
    Some(format!(
        "free {} ({bytes} bytes){trees}",
        crate::terminal::bytes(bytes)
    ))
}

/// Asks for confirmation; returns whether to continue.
///
/// # Errors
/// A refusal without a terminal.
fn confirmed(session: &Session, steps: &[String]) -> Result<bool> {
    ask::ask(session, steps, "Nothing was destroyed.")?.ok_or_else(|| {
        Failure::refused(format!(
            "nothing was destroyed: {}; -y destroys without asking",
            ask::NO_TERMINAL
        ))
        .into()
    })
}
