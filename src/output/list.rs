//! Environments: the tables of `list` and `list --tree`, and the lines of `list -H`.

use super::table::{self, Columns, Look, Narrow};
use super::{local, tree};
use crate::lifecycle::behind_template::Behind;
use crate::lifecycle::list::{Listed, Unread};
use crate::lifecycle::origin_tree::{self, Item};

/// The position of the space columns.
const SPACE_AT: usize = 5;

/// Returns the table; nodes that cannot be read are last.
pub fn draw(listed: &[Listed], unread: &[Unread], with_space: bool, look: Look) -> String {
    let heads = heads(with_space);
    let rows: Vec<_> = listed
        .iter()
        .map(|env| row(env, with_space))
        .chain(unread.iter().map(|one| row_of_unread(one, heads.len())))
        .collect();
    let name = Narrow::Middle("ENVIRONMENT", 18);
    table::table(columns(&heads, &narrow(name)), rows, look)
}

/// Returns the table with node and environment in one column, drawn as a tree of origins.
pub fn draw_tree(
    listed: &[Listed],
    unread: &[Unread],
    behind: &[Behind],
    with_space: bool,
    look: Look,
) -> String {
    if listed.is_empty() && unread.is_empty() {
        return String::new();
    }
    let origins = origin_tree::build(listed);
    let heads = heads(with_space);
    let rows: Vec<Vec<String>> = tree::draw(&origins)
        .into_iter()
        .map(|(item, mut name)| {
            let of_table = match item {
                Item::Present(env) => {
                    let is_its = |one: &&Behind| env.active && one.node == env.node;
                    if let Some(one) = behind.iter().find(is_its) {
                        name.push_str(&format!(" (behind {})", one.newer));
                    }
                    row(env, with_space)
                }
                Item::Destroyed(_) => vec![String::new(); heads.len()],
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
    // The name begins with the branches of the tree.
    let name = Narrow::End("ENVIRONMENT", 30);
    table::table(columns(&heads[1..], &narrow(name)), rows, look)
}

/// Returns the lines for scripts, with times in seconds and sizes in bytes.
pub fn tabbed(listed: &[Listed]) -> String {
    table::tabbed(&listed.iter().map(machine_row).collect::<Vec<_>>())
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

fn columns<'a>(heads: &'a [&'static str], narrow: &'a [Narrow]) -> Columns<'a> {
    Columns {
        heads,
        numbers: &["UNIQUE", "REFERENCED"],
        optional: &["FLAGS", "KERNEL", "DESCRIPTION"],
        narrow,
    }
}

/// Returns the steps that make the table narrower; `name` is the step for the column of names.
fn narrow(name: Narrow) -> [Narrow; 8] {
    [
        Narrow::End("DESCRIPTION", 24),
        Narrow::At("CREATED", 10),
        Narrow::End("KERNEL", 14),
        name,
        Narrow::End("DESCRIPTION", 11),
        Narrow::Middle("NODE", 12),
        Narrow::Without("DESCRIPTION"),
        Narrow::Without("KERNEL"),
    ]
}

/// Returns unique and referenced bytes; empty if they are not known.
fn sizes(env: &Listed) -> [Option<u64>; 2] {
    [env.space.map(|s| s.unique), env.space.map(|s| s.referenced)]
}

fn row(env: &Listed, with_space: bool) -> Vec<String> {
    let mut row = vec![
        env.node.to_string(),
        env.name.to_string(),
        dash(env.flags()),
        dash(env.kernel.clone().unwrap_or_default()),
        local(env.created),
        env.description.clone(),
    ];
    if with_space {
        let sizes = sizes(env).map(|s| s.map_or("-".into(), crate::terminal::bytes));
        row.splice(SPACE_AT..SPACE_AT, sizes);
    }
    row
}

/// Returns the row of a node that cannot be read: the flag, and the reason.
fn row_of_unread(one: &Unread, width: usize) -> Vec<String> {
    let mut row = vec![dash(String::new()); width];
    row[0].clone_from(&one.node);
    row[2] = "!".to_string();
    row
}

fn machine_row(env: &Listed) -> Vec<String> {
    let [unique, referenced] = sizes(env).map(|s| s.map_or(String::new(), |s| s.to_string()));
    vec![
        env.node.to_string(),
        env.name.to_string(),
        env.flags(),
        env.kernel.clone().unwrap_or_default(),
        env.created.as_second().to_string(),
        unique,
        referenced,
        env.origin
            .as_ref()
            .map(ToString::to_string)
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
