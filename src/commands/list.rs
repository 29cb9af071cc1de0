//! `netbe list`

use anyhow::Result;

use super::Session;
use crate::cli::{List, SortField};
use crate::lifecycle::ancestry::{self, Who};
use crate::lifecycle::listing::{self, Listed, Unread};
use crate::lifecycle::space;
use crate::output::{self, json, progress, table, tree};

/// How many damaged environments are told of one by one.
const TOLD: usize = 10;

/// Where the columns about space stand among the others.
const SPACE_AT: usize = 5;

/// Lists environments.
pub fn run(session: &Session, args: &List) -> Result<u8> {
    let pool = session.pool()?;
    let (mut listed, unread) = listing::list(&pool, &args.operands)?;
    if args.tree && !args.operands.is_empty() {
        listed = ancestry::with_ancestors(&pool, listed)?;
    }
    let mut notes = Vec::new();
    let with_space = args.space || fields(args).0 == SortField::Unique;
    if with_space {
        notes = space::fill(&pool, &mut listed)?;
    }
    sort(&mut listed, args);
    let text = if args.json {
        json::environments(&listed)?
    } else if args.machine {
        table::tabbed(&listed.iter().map(machine_row).collect::<Vec<_>>())
    } else if args.tree {
        drawn(&listed, &unread, with_space, session.screen.colour)
    } else {
        let heads = heads(with_space);
        let rows: Vec<_> = listed
            .iter()
            .map(|env| row(env, with_space))
            .chain(unread.iter().map(|one| row_of_unread(one, heads.len())))
            .collect();
        table::table(&heads, &rows, session.screen.colour)
    };
    session.screen.answer(&text)?;
    for one in &unread {
        session
            .screen
            .warnings(&[format!("{}: {}", one.node, one.why)]);
    }
    session.screen.warnings(&notes);
    let damaged: Vec<&Listed> = listed.iter().filter(|e| !e.problems.is_empty()).collect();
    for env in damaged.iter().take(TOLD) {
        session.screen.warnings(&[format!(
            "{}/{}: {}",
            env.node,
            env.name,
            env.problems.join("; ")
        )]);
    }
    if damaged.len() > TOLD {
        session.screen.warnings(&[format!(
            "{} more are damaged; netbe check names them all",
            damaged.len() - TOLD
        )]);
    }
    Ok(0)
}

/// Returns the table with node and environment in one column, drawn beneath what they were made from.
fn drawn(listed: &[Listed], unread: &[Unread], with_space: bool, colour: bool) -> String {
    if listed.is_empty() && unread.is_empty() {
        return String::new();
    }
    let ancestry = ancestry::of(listed);
    let heads = heads(with_space);
    let rows: Vec<Vec<String>> = tree::draw(&ancestry)
        .into_iter()
        .map(|(who, name)| {
            let of_table = match who {
                Who::There(env) => row(env, with_space),
                Who::Gone(_) => vec![String::new(); heads.len()],
            };
            std::iter::once(name)
                .chain(of_table.into_iter().skip(2))
                .collect()
        })
        .chain(unread.iter().map(|one| {
            let of_table = row_of_unread(one, heads.len()).into_iter().skip(2);
            std::iter::once(one.node.clone()).chain(of_table).collect()
        }))
        .collect();
    table::table(&heads[1..], &rows, colour)
}

fn heads(with_space: bool) -> Vec<&'static str> {
    let mut heads = vec![
        "NODE",
        "ENVIRONMENT",
        "FLAGS",
        "KERNEL",
        "CREATED",
        "DESCRIPTION",
    ];
    if with_space {
        heads.splice(SPACE_AT..SPACE_AT, ["UNIQUE", "REFERENCED"]);
    }
    heads
}

/// Returns what is sorted by, and whether downwards.
fn fields(args: &List) -> (SortField, bool) {
    match (args.ascending, args.descending) {
        (_, Some(field)) => (field, true),
        (Some(field), _) => (field, false),
        _ => (SortField::Name, false),
    }
}

/// Returns what comes back without it, and what it refers to; nothing where that is not known.
fn sizes(env: &Listed) -> [Option<u64>; 2] {
    [env.space.map(|s| s.unique), env.space.map(|s| s.referenced)]
}

fn sort(listed: &mut [Listed], args: &List) {
    let (field, down) = fields(args);
    match field {
        SortField::Name => listed.sort_by(|a, b| (&a.node, &a.name).cmp(&(&b.node, &b.name))),
        SortField::Created => listed.sort_by_key(|e| e.created),
        SortField::Unique => listed.sort_by_key(|e| sizes(e)[0]),
    }
    if down {
        listed.reverse();
    }
}

fn row(env: &Listed, with_space: bool) -> Vec<String> {
    let mut row = vec![
        env.node.clone(),
        env.name.clone(),
        dash(env.flags()),
        dash(output::clean(env.kernel.as_deref().unwrap_or_default())),
        output::local(env.created),
        output::clean(&env.description),
    ];
    if with_space {
        let sizes = sizes(env).map(|s| s.map_or("-".into(), progress::bytes));
        row.splice(SPACE_AT..SPACE_AT, sizes);
    }
    row
}

/// Returns the row of what is in a node's place: a flag, and what is wrong beside it.
fn row_of_unread(one: &Unread, width: usize) -> Vec<String> {
    let mut row = vec![dash(String::new()); width];
    row[0].clone_from(&one.node);
    row[2] = "!".to_string();
    row
}

fn machine_row(env: &Listed) -> Vec<String> {
    let [unique, referenced] = sizes(env).map(|s| s.map_or(String::new(), |s| s.to_string()));
    vec![
        env.node.clone(),
        env.name.clone(),
        env.flags(),
        env.kernel.clone().unwrap_or_default(),
        env.created.as_second().to_string(),
        unique,
        referenced,
        env.origin
            .as_ref()
            .map(|o| format!("{}/{}", o.node, o.name))
            .unwrap_or_default(),
        env.description.clone(),
    ]
}

fn dash(text: String) -> String {
    match text.is_empty() {
        true => "-".to_string(),
        false => text,
    }
}
