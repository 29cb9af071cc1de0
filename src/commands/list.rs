//! `netbe list`

use anyhow::Result;
use clap::{Args, ValueEnum};
use clap_complete::engine::ArgValueCompleter;

use super::complete;
use super::session::Session;
use crate::lifecycle::list::{self, Found, Listed, Unread};
use crate::lifecycle::{behind_template, kept_bases, origin_tree, space};
use crate::output::{self, json};
use crate::pool::Operand;
use crate::pool::pattern::Named;

/// List environments
///
/// FLAGS: N booted now, ? may be booted, R next boot, T next boot only (--once, --try), P pinned, ! damaged.
///
/// With --space: REFERENCED is the space on disk of all extents that an environment refers to, shared or not. UNIQUE is
/// the space that is freed if this environment alone is destroyed. Both count root and boot with all subvolumes in
/// them, compressed extents at their size on disk, and each extent whole as long as any part of it is in use. An extent
/// that anything else on the filesystem refers to (another environment, a snapshot made by hand, a file of the pool) is in
/// no UNIQUE, so netbe destroy -n of several environments can free more than the sum of their UNIQUE. Metadata and RAID
/// copies are not counted; files so small that btrfs stores them in the metadata can be counted wrongly after a btrfs
/// balance, until they are rewritten. The numbers are read from the filesystem's trees, for all environments at once, without
/// quota groups. Dirty data is written first (syncfs), which takes a while on a busy disk. Needs CAP_SYS_ADMIN.
///
/// With -H: no header, tabs between fields, - for an empty field: node, environment, flags, kernel, created
/// (seconds since the epoch), unique bytes, referenced bytes (both - without --space), origin, description.
/// Control and invisible characters are printed as ?; --json has them escaped.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe list
  netbe list nog --tree
  netbe list -S unique
  netbe list -H nog | cut -f2
  netbe list --json | jq -r '.environments[] | select(.active) | .root'")]
pub struct List {
    /// Nodes, by name or pattern ('rack1-*'), or environments [default: all]
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(complete::sources))]
    pub operands: Vec<Named<Operand>>,
    /// Every node except templates
    #[arg(long, conflicts_with = "operands")]
    pub all: bool,
    /// For scripts: no header, tabs between fields
    #[arg(short = 'H', conflicts_with_all = ["json", "tree"])]
    pub machine: bool,
    /// For scripts: one JSON document
    #[arg(long, conflicts_with = "tree")]
    pub json: bool,
    /// Show the space that each refers to, and the space that destroying it would free
    #[arg(long)]
    pub space: bool,
    /// Draw the origins as a tree, across nodes, with the origins of the named ones; mark the nodes that are behind
    /// their template
    #[arg(long)]
    pub tree: bool,
    /// Sort by FIELD, ascending
    #[arg(short = 's', value_name = "FIELD", conflicts_with = "descending")]
    pub ascending: Option<SortField>,
    /// Sort by FIELD, descending
    #[arg(short = 'S', value_name = "FIELD")]
    pub descending: Option<SortField>,
}

/// The field that a list is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SortField {
    /// Node, then environment
    Name,
    /// Time of creation
    Created,
    /// Space that destroying it would free; implies --space
    Unique,
}

/// The greatest number of damaged environments with a warning each.
const MAX_WARNINGS: usize = 10;

/// Lists environments.
pub fn run(session: &Session, args: &List) -> Result<u8> {
    let pool = session.pool()?;
    let (operands, unmatched) = session.chosen_or_all(&pool, &args.operands, args.all)?;
    let Found {
        mut listed,
        unread,
        failures,
    } = session.busy("Looking", || list::list(&pool, &operands))?;
    let worst = session.failed(&failures).max(unmatched);
    if listed.is_empty() && worst != 0 {
        return Ok(worst);
    }
    if args.tree && !args.operands.is_empty() {
        listed = origin_tree::with_ancestors(&pool, listed)?;
    }
    let (mut notes, mut data) = (Vec::new(), Vec::new());
    let with_space = args.space || fields(args).0 == SortField::Unique;
    if with_space {
        let measure = || space::fill(&pool, &mut listed);
        let notes_of_space = session.busy("Measuring space", measure)?;
        (notes, data) = (notes_of_space.unread, notes_of_space.data);
    }
    sort(&mut listed, args);
    let look = session.look;
    let mut behind = Vec::new();
    let text = if args.json {
        json::environments(&listed)?
    } else if args.machine {
        output::list::tabbed(&listed)
    } else if args.tree {
        behind = behind_template::among(&pool, &listed)?;
        output::list::draw_tree(&listed, &unread, &behind, with_space, look)
    } else {
        output::list::draw(&listed, &unread, with_space, look)
    };
    session.answer(&text)?;
    session.notes(&behind_template::sentences(&behind));
    session.notes(&data);
    let is_wrong = |one: &Unread| format!("{}: {}", one.node, one.why);
    session.warnings(&unread.iter().map(is_wrong).collect::<Vec<_>>());
    session.warnings(&notes);
    if with_space {
        session.notes(&kept_bases::note(&pool)?.into_iter().collect::<Vec<_>>());
    }
    session.warnings(&damaged(&listed));
    Ok(worst)
}

/// Returns the sort field, and whether the order is descending.
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

/// Returns the warnings about damaged environments.
fn damaged(listed: &[Listed]) -> Vec<String> {
    let damaged: Vec<&Listed> = listed.iter().filter(|e| !e.problems.is_empty()).collect();
    let warnings = damaged
        .iter()
        .take(MAX_WARNINGS)
        .map(|env| format!("{}/{}: {}", env.node, env.name, env.problems.join("; ")));
    let rest = damaged.len().saturating_sub(MAX_WARNINGS);
    let more = format!("{rest} more environments are damaged; netbe check lists all");
    warnings.chain((rest > 0).then_some(more)).collect()
}
