//! `netbe list`

use anyhow::Result;

use super::Session;
use crate::cli::{List, SortField};
use crate::lifecycle::listing::{self, Listed};
use crate::lifecycle::space;
use crate::output::{self, json, progress, table, tree};

/// How many damaged environments are told of one by one.
const TOLD: usize = 10;

/// Lists environments.
pub fn run(session: &Session, args: &List) -> Result<u8> {
    let pool = session.pool()?;
    let (mut listed, mut unread) = listing::list(&pool, &args.operands)?;
    let with_space = args.space || fields(args).0 == SortField::Unique;
    if with_space {
        unread.extend(space::fill(&pool, &mut listed)?);
    }
    sort(&mut listed, args);
    let text = if args.json {
        json::environments(&listed)?
    } else if args.machine {
        table::tabbed(&listed.iter().map(machine_row).collect::<Vec<_>>())
    } else if args.tree {
        tree::draw(&listed)
    } else {
        let (heads, rows) = columns(&listed, with_space);
        table::table(&heads, &rows, session.screen.colour)
    };
    session.screen.answer(&text)?;
    session.screen.warnings(&unread);
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

/// Returns the table's heads and rows.
fn columns(listed: &[Listed], with_space: bool) -> (Vec<&'static str>, Vec<Vec<String>>) {
    let mut heads = vec![
        "NODE",
        "ENVIRONMENT",
        "FLAGS",
        "KERNEL",
        "CREATED",
        "DESCRIPTION",
    ];
    let mut rows: Vec<_> = listed.iter().map(row).collect();
    if with_space {
        heads.splice(5..5, ["UNIQUE", "REFERENCED"]);
        for (row, env) in rows.iter_mut().zip(listed) {
            let text = |size: Option<u64>| size.map_or("-".to_string(), progress::bytes);
            row.splice(5..5, sizes(env).map(text));
        }
    }
    (heads, rows)
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
