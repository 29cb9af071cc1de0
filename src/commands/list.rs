//! `netbe list`

use anyhow::Result;

use super::Session;
use crate::cli::{List, SortField};
use crate::lifecycle::ancestry::{self, Who};
use crate::lifecycle::listing::{self, Listed, Unread};
use crate::output::{self, json, table, tree};

/// How many damaged environments are told of one by one.
const TOLD: usize = 10;

const HEADS: [&str; 6] = [
    "NODE",
    "ENVIRONMENT",
    "FLAGS",
    "KERNEL",
    "CREATED",
    "DESCRIPTION",
];

/// Lists environments.
pub fn run(session: &Session, args: &List) -> Result<u8> {
    let pool = session.pool()?;
    let (mut listed, unread) = listing::list(&pool, &args.operands)?;
    if args.tree && !args.operands.is_empty() {
        listed = ancestry::with_ancestors(&pool, listed)?;
    }
    sort(&mut listed, args);
    let text = if args.json {
        json::environments(&listed)?
    } else if args.machine {
        table::tabbed(&listed.iter().map(machine_row).collect::<Vec<_>>())
    } else if args.tree {
        drawn(&listed, &unread, session.screen.colour)
    } else {
        let rows: Vec<_> = listed
            .iter()
            .map(row)
            .chain(unread.iter().map(row_of_unread))
            .collect();
        table::table(&HEADS, &rows, session.screen.colour)
    };
    session.screen.answer(&text)?;
    for one in &unread {
        session
            .screen
            .warnings(&[format!("{}: {}", one.node, one.why)]);
    }
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
fn drawn(listed: &[Listed], unread: &[Unread], colour: bool) -> String {
    if listed.is_empty() && unread.is_empty() {
        return String::new();
    }
    let ancestry = ancestry::of(listed);
    let rows: Vec<Vec<String>> = tree::draw(&ancestry)
        .into_iter()
        .map(|(who, name)| {
            let of_table = match who {
                Who::There(env) => row(env),
                Who::Gone(_) => vec![String::new(); HEADS.len()],
            };
            std::iter::once(name)
                .chain(of_table.into_iter().skip(2))
                .collect()
        })
        .chain(unread.iter().map(|one| {
            let of_table = row_of_unread(one).into_iter().skip(2);
            std::iter::once(one.node.clone()).chain(of_table).collect()
        }))
        .collect();
    table::table(&HEADS[1..], &rows, colour)
}

fn sort(listed: &mut [Listed], args: &List) {
    let (field, down) = match (args.ascending, args.descending) {
        (_, Some(field)) => (field, true),
        (Some(field), _) => (field, false),
        _ => (SortField::Name, false),
    };
    match field {
        SortField::Name => listed.sort_by(|a, b| (&a.node, &a.name).cmp(&(&b.node, &b.name))),
        SortField::Created => listed.sort_by_key(|e| e.created),
    }
    if down {
        listed.reverse();
    }
}

fn row(env: &Listed) -> Vec<String> {
    vec![
        env.node.clone(),
        env.name.clone(),
        dash(env.flags()),
        dash(output::clean(env.kernel.as_deref().unwrap_or_default())),
        output::local(env.created),
        output::clean(&env.description),
    ]
}

/// Returns the row of what is in a node's place: a flag, and what is wrong beside it.
fn row_of_unread(one: &Unread) -> Vec<String> {
    let mut row = vec![dash(String::new()); HEADS.len()];
    row[0].clone_from(&one.node);
    row[2] = "!".to_string();
    row
}

fn machine_row(env: &Listed) -> Vec<String> {
    vec![
        env.node.clone(),
        env.name.clone(),
        env.flags(),
        env.kernel.clone().unwrap_or_default(),
        env.created.as_second().to_string(),
        String::new(),
        String::new(),
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
