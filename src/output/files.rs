//! Differences of files: the lines of `diff`, and the JSON.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::clean;
use super::table::{self, Columns, Look, Narrow};
use crate::btrfs::compare::{Aspect, Kind, Node};
use crate::lifecycle::diff::files::Changed;
use crate::terminal::bytes;

/// Returns a line for each file that differs; one line for an added or removed directory with its content, unless
/// `each`.
pub fn draw<'a>(
    changes: impl IntoIterator<Item = &'a Changed>,
    each: bool,
    colour: bool,
) -> String {
    let mut lines = String::new();
    let mut changes = changes.into_iter().peekable();
    while let Some(changed) = changes.next() {
        let mut inside = Inside::default();
        if !each && whole_directory(changed).is_some() {
            while let Some(below) = changes.next_if(|c| is_part_of(c, changed)) {
                inside.count(below);
            }
        }
        lines.push_str(&line(changed, &inside, colour));
    }
    lines
}

/// The content of an added or removed directory.
#[derive(Debug, Default)]
struct Inside {
    count: usize,
    size: u64,
}

impl Inside {
    fn count(&mut self, changed: &Changed) {
        self.count += 1;
        let change = &changed.change;
        let node = change.after.as_ref().or(change.before.as_ref());
        self.size += node.map_or(0, |n| n.size);
    }
}

/// Returns whether a directory was added (true) or removed (false); `None` for any other difference.
fn whole_directory(changed: &Changed) -> Option<bool> {
    match (&changed.change.before, &changed.change.after) {
        (None, Some(node)) if node.kind == Kind::Directory => Some(true),
        (Some(node), None) if node.kind == Kind::Directory => Some(false),
        _ => None,
    }
}

fn is_part_of(changed: &Changed, directory: &Changed) -> bool {
    let came = changed.change.before.is_none();
    let went = changed.change.after.is_none();
    changed.path.starts_with(&directory.path)
        && changed.identity == directory.identity
        && changed.in_boot == directory.in_boot
        && match whole_directory(directory) {
            Some(true) => came,
            _ => went,
        }
}

fn line(changed: &Changed, inside: &Inside, colour: bool) -> String {
    let change = &changed.change;
    let mut path = clean(&changed.path.to_string_lossy());
    let (sign, code, details) = match (&change.before, &change.after) {
        (None, Some(node)) => ('+', 32, described(node, inside)),
        (Some(node), None) => ('-', 31, described(node, inside)),
        (Some(before), Some(after)) => ('M', 35, differences(before, after, &change.aspects)),
        (None, None) => return String::new(),
    };
    if whole_directory(changed).is_some() {
        path.push('/');
    }
    match colour {
        true => format!("\x1b[{code}m{sign}\x1b[0m {path}  {details}\n"),
        false => format!("{sign} {path}  {details}\n"),
    }
}

fn described(node: &Node, inside: &Inside) -> String {
    let (user, group) = node.owner;
    let mut text = format!("{} {user}:{group}", permissions(node));
    match node.kind {
        Kind::File => text.push_str(&format!(", {}", bytes(node.size))),
        Kind::Link => text.push_str(&format!(", -> {}", shown(node.target.as_deref()))),
        Kind::CharacterDevice | Kind::BlockDevice => {
            text.push_str(&format!(", {}", numbers(node)));
        }
        Kind::Directory if inside.count > 0 => {
            text.push_str(&format!(
                ", {} inside, {}",
                inside.count,
                bytes(inside.size)
            ));
        }
        _ => {}
    }
    text
}

fn differences(before: &Node, after: &Node, aspects: &[Aspect]) -> String {
    let owner = |node: &Node| format!("{}:{}", node.owner.0, node.owner.1);
    let mode = |node: &Node| format!("{:04o}", node.mode);
    let target = |node: &Node| shown(node.target.as_deref());
    let parts = aspects.iter().map(|aspect| {
        let (what, old, new) = match aspect {
            Aspect::Type => ("type", kind(before).to_string(), kind(after).to_string()),
            Aspect::Content if before.size == after.size => {
                return format!("content ({})", bytes(after.size));
            }
            Aspect::Content if bytes(before.size) == bytes(after.size) => {
                let exact = |node: &Node| format!("{} B", node.size);
                ("content", exact(before), exact(after))
            }
            Aspect::Content => ("content", bytes(before.size), bytes(after.size)),
            Aspect::Mode => ("mode", mode(before), mode(after)),
            Aspect::Owner => ("owner", owner(before), owner(after)),
            Aspect::Target => ("target", target(before), target(after)),
            Aspect::Device => ("device", numbers(before), numbers(after)),
            Aspect::Attribute(name) => return attribute(name),
        };
        format!("{what} {old} -> {new}")
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// Returns the common name of an extended attribute.
fn attribute(name: &OsStr) -> String {
    match name.to_str() {
        Some("security.capability") => "capabilities".to_string(),
        Some("system.posix_acl_access") => "ACL".to_string(),
        Some("system.posix_acl_default") => "default ACL".to_string(),
        _ => format!("attribute {}", shown(Some(name))),
    }
}

fn shown(text: Option<&OsStr>) -> String {
    clean(&text.unwrap_or_default().to_string_lossy())
}

fn numbers(node: &Node) -> String {
    node.device
        .map_or(String::new(), |(major, minor)| format!("{major}:{minor}"))
}

fn kind(node: &Node) -> &'static str {
    match node.kind {
        Kind::File => "file",
        Kind::Directory => "directory",
        Kind::Link => "link",
        Kind::CharacterDevice => "character device",
        Kind::BlockDevice => "block device",
        Kind::Pipe => "pipe",
        Kind::Socket => "socket",
        Kind::Subvolume => "subvolume",
    }
}

/// Returns type and permissions in the format of ls(1).
fn permissions(node: &Node) -> String {
    let kind = match node.kind {
        Kind::File => '-',
        Kind::Directory | Kind::Subvolume => 'd',
        Kind::Link => 'l',
        Kind::CharacterDevice => 'c',
        Kind::BlockDevice => 'b',
        Kind::Pipe => 'p',
        Kind::Socket => 's',
    };
    let mut text = String::from(kind);
    for (shift, special, with, without) in [
        (6, 0o4000, 's', 'S'),
        (3, 0o2000, 's', 'S'),
        (0, 0o1000, 't', 'T'),
    ] {
        let bits = node.mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (node.mode & special != 0, bits & 1 != 0) {
            (true, true) => with,
            (true, false) => without,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// Returns how many were added, removed and changed, by the first two path components.
pub fn summary<'a>(changes: impl IntoIterator<Item = &'a Changed>, look: Look) -> String {
    let mut places: BTreeMap<PathBuf, [usize; 3]> = BTreeMap::new();
    for changed in changes {
        let above = changed.path.parent().unwrap_or(Path::new("/"));
        let place: PathBuf = above.components().take(3).collect();
        places.entry(place).or_default()[number(changed)] += 1;
    }
    let rows: Vec<Vec<String>> = places
        .into_iter()
        .map(|(place, counts)| {
            let counts = counts.map(|n| {
                if n == 0 {
                    "-".to_string()
                } else {
                    n.to_string()
                }
            });
            let mut row = vec![clean(&place.to_string_lossy())];
            row.extend(counts);
            row
        })
        .collect();
    let columns = Columns {
        heads: &["BELOW", "ADDED", "REMOVED", "CHANGED"],
        numbers: &["ADDED", "REMOVED", "CHANGED"],
        optional: &[],
        narrow: &[Narrow::End("BELOW", 20)],
    };
    table::table(columns, rows, look)
}

/// Returns the summary line.
pub fn totals<'a>(changes: impl IntoIterator<Item = &'a Changed>) -> String {
    let mut counts = [0; 3];
    for changed in changes {
        counts[number(changed)] += 1;
    }
    format!(
        "{} added, {} removed, {} changed",
        counts[0], counts[1], counts[2]
    )
}

fn number(changed: &Changed) -> usize {
    match (&changed.change.before, &changed.change.after) {
        (None, _) => 0,
        (_, None) => 1,
        _ => 2,
    }
}

/// Returns the JSON.
pub fn document(changes: &[Changed]) -> Value {
    let one = |changed: &Changed| {
        let change = &changed.change;
        json!({
            "path": changed.path.to_string_lossy(),
            "half": if changed.in_boot { "boot" } else { "root" },
            "change": (["added", "removed", "changed"][number(changed)]),
            "differs": change.aspects.iter().map(word).collect::<Vec<_>>(),
            "identity": changed.identity,
            "before": change.before.as_ref().map(node),
            "after": change.after.as_ref().map(node),
        })
    };
    changes.iter().map(one).collect()
}

fn word(aspect: &Aspect) -> String {
    match aspect {
        Aspect::Type => "type".to_string(),
        Aspect::Content => "content".to_string(),
        Aspect::Mode => "mode".to_string(),
        Aspect::Owner => "owner".to_string(),
        Aspect::Target => "target".to_string(),
        Aspect::Device => "device".to_string(),
        Aspect::Attribute(name) => name.to_string_lossy().into_owned(),
    }
}

fn node(node: &Node) -> Value {
    json!({
        "type": kind(node),
        "mode": format!("{:04o}", node.mode),
        "uid": node.owner.0,
        "gid": node.owner.1,
        "size": node.size,
        "target": node.target.as_ref().map(|t| t.to_string_lossy()),
        "device": node.device.map(|(major, minor)| [major, minor]),
    })
}
