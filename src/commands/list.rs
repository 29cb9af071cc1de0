//! `netbe list`

use anyhow::Result;
use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCompleter;

use super::complete;
use super::session::Session;
use crate::lifecycle::list::{self, Listed, Unread};
use crate::lifecycle::{origin_tree, space};
use crate::output::{self, json};
use crate::pool::Operand;

/// List environments
///
/// FLAGS: N booted now, ? not known whether booted, R boots on the next reboot, T boots next time only, P
/// pinned, ! damaged.
///
/// With --space: REFERENCED is what an environment's files take on disk, whoever else has them, and UNIQUE what
/// comes back when it, and it alone, is destroyed. Both count root and boot, and snapshots and other subvolumes
/// in them; compressed files at their size on disk, and every extent whole while any part of it is in use. What is
/// shared with anything else on the filesystem is nobody's UNIQUE: another environment, a snapshot made by
/// hand, a file of the pool's. What netbe destroy -n says of several together can therefore be more than their
/// sum. Names, attributes and checksums are not counted, nor the copies that RAID keeps; and files so small that they
/// stand among those can be counted wrongly after a btrfs balance, until they are written again. It is read from the
/// filesystem itself, in all environments at once; quota groups are not needed. What waits in memory is written first
/// (syncfs), so a busy disk can keep it waiting. Needs CAP_SYS_ADMIN.
///
/// With -H: no header, tabs, - for nothing, and these fields: node, environment, flags, kernel, created
/// (seconds since the epoch), unique bytes, referenced bytes (both - without --space), origin, description.
/// Characters that a terminal would obey or hide are shown as ?; --json has all, escaped.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe list
  netbe list nog --tree
  netbe list -S unique
  netbe list -H nog | cut -f2
  netbe list --json | jq -r '.environments[] | select(.active) | .root'")]
pub struct List {
    /// Nodes or environments; all without one
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(complete::sources))]
    pub operands: Vec<Operand>,
    /// For scripts: no header, tabs between fields
    #[arg(short = 'H', conflicts_with_all = ["json", "tree"])]
    pub machine: bool,
    /// For scripts: one JSON document
    #[arg(long, conflicts_with = "tree")]
    pub json: bool,
    /// Show what each takes on disk, and what of it comes back when it is destroyed
    #[arg(long)]
    pub space: bool,
    /// Draw what was made from what, across nodes; of those named, with what they came from
    #[arg(long)]
    pub tree: bool,
    /// Sort by this, upwards
    #[arg(short = 's', value_name = "FIELD", conflicts_with = "descending")]
    pub ascending: Option<SortField>,
    /// Sort by this, downwards
    #[arg(short = 'S', value_name = "FIELD")]
    pub descending: Option<SortField>,
}

/// What a list is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SortField {
    /// Node, then environment
    Name,
    /// When it was made
    Created,
    /// What comes back when it is destroyed; with --space, asked for or not
    Unique,
}

/// How many damaged environments are told of one by one.
const TOLD: usize = 10;

/// Lists environments.
pub fn run(session: &Session, args: &List) -> Result<u8> {
    let pool = session.pool()?;
    let (mut listed, unread) = list::list(&pool, &args.operands)?;
    if args.tree && !args.operands.is_empty() {
        listed = origin_tree::with_ancestors(&pool, listed)?;
    }
    let mut notes = Vec::new();
    let with_space = args.space || fields(args).0 == SortField::Unique;
    if with_space {
        notes = space::fill(&pool, &mut listed)?;
    }
    sort(&mut listed, args);
    let colour = session.screen.colour;
    let text = if args.json {
        json::environments(&listed)?
    } else if args.machine {
        output::list::tabbed(&listed)
    } else if args.tree {
        output::list::draw_tree(&listed, &unread, with_space, colour)
    } else {
        output::list::draw(&listed, &unread, with_space, colour)
    };
    session.screen.answer(&text)?;
    let is_wrong = |one: &Unread| format!("{}: {}", one.node, one.why);
    session
        .screen
        .warnings(&unread.iter().map(is_wrong).collect::<Vec<_>>());
    session.screen.warnings(&notes);
    session.screen.warnings(&damaged(&listed));
    Ok(0)
}

/// Returns what is sorted by, and whether downwards.
fn fields(args: &List) -> (SortField, bool) {
    match (args.ascending, args.descending) {
        (_, Some(field)) => (field, true),
        (Some(field), _) => (field, false),
        _ => (SortField::Name, false),
    }
}

fn sort(listed: &mut [Listed], args: &List) {
    let (field, down) = fields(args);
    match field {
        SortField::Name => listed.sort_by(|a, b| (&a.node, &a.name).cmp(&(&b.node, &b.name))),
        SortField::Created => listed.sort_by_key(|e| e.order),
        SortField::Unique => listed.sort_by_key(|e| e.space.map(|s| s.unique)),
    }
    if down {
        listed.reverse();
    }
}

/// Returns what is wrong with the damaged ones, as far as they are told of one by one.
fn damaged(listed: &[Listed]) -> Vec<String> {
    let damaged: Vec<&Listed> = listed.iter().filter(|e| !e.problems.is_empty()).collect();
    let told = damaged
        .iter()
        .take(TOLD)
        .map(|env| format!("{}/{}: {}", env.node, env.name, env.problems.join("; ")));
    let rest = damaged.len().saturating_sub(TOLD);
    let more = format!("{rest} more are damaged; netbe check names them all");
    told.chain((rest > 0).then_some(more)).collect()
}
