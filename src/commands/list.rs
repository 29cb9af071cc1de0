//! `netbe list`

use anyhow::Result;

use super::Session;
use crate::cli::{List, SortField};
use crate::lifecycle::list::{self, Listed, Unread};
use crate::lifecycle::{origin_tree, space};
use crate::output::{self, json};

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
        SortField::Created => listed.sort_by_key(|e| e.created),
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
