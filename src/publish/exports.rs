//! The exports file: pure text.
//!
//! One line for each exported half, with its subvolume's UUID as `fsid=`, so that a file handle never refers to another
//! environment's file. Format: exports(5). Not for installing it.

use std::path::Path;

use anyhow::{Context, Result};

use super::server;
use crate::btrfs::subvolume::{self, Uuid};
use crate::pool::record::EnvRecord;
use crate::pool::{Environment, Node, Pool, data_store, layout};

/// The options of every export.
///
/// `no_root_squash`: a node's root user owns its system. `mp`: never export the empty directory of an unmounted pool (a
/// subvolume counts as mount point).
const MORE_OPTIONS: &str = "no_root_squash,mp";

/// One exported half.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Path of the subvolume.
    pub path: String,
    /// The clients that may mount it.
    pub clients: Vec<String>,
    /// The subvolume's UUID.
    pub fsid: Uuid,
    /// Whether it is read-only: machines that boot it keep their changes in memory.
    pub read_only: bool,
    /// Whether the server checks on every call that the file is below the export. Without it, a forged handle can refer
    /// to any file of the filesystem; with it, a file that is renamed while it is open fails with ESTALE (exports(5)).
    pub subtree_check: bool,
}

/// Returns the lines of an environment: of its root half unless that is a disk image, of its boot half, and, if its root is
/// read-only, of the directory for its machines' reports.
pub fn lines_for(pool: &Pool, node: &Node, env: &Environment) -> Result<Vec<Line>> {
    let clients = allowed(pool, node)?;
    let subtree_check = checks_subtrees(pool, node);
    // As in its boot files, whatever the property says now.
    let read_only = env.record.as_ref().is_some_and(|record| record.read_only);
    let reports = layout::reports(pool.root(), &node.name);
    let by_export = env
        .record
        .as_ref()
        .is_some_and(EnvRecord::reports_by_export);
    let reports =
        (by_export && subvolume::is_subvolume(&reports).unwrap_or(false)).then_some(reports);
    // A disk is not mounted by NFS.
    let root = (!env.is_image()).then(|| env.root());
    let halves = root.into_iter().chain([env.boot()]);
    halves
        .map(|half| (half, read_only))
        .chain(reports.map(|reports| (reports, false)))
        .map(|(path, read_only)| {
            let fsid = subvolume::info(&path)
                .with_context(|| format!("exporting {env}"))?
                .uuid;
            Ok(Line {
                path: path.to_string_lossy().into_owned(),
                clients: clients.clone(),
                fsid,
                read_only,
                subtree_check,
            })
        })
        .collect()
}

/// Returns the lines of a node's data, also of data that was taken off its list: a machine may have that mounted until it
/// has booted again.
///
/// # Errors
/// If one cannot be read; one that does not exist has no line.
pub fn lines_of_data(pool: &Pool, node: &Node) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for data in &node.record.data.paths {
        let path = data_store::subvolume_of(node, &data.path);
        let exporting = || format!("exporting the data {} of {}", data.path, node.name);
        if data_store::is_there(node, &data.path).with_context(exporting)? {
            lines.push(Line {
                fsid: subvolume::info(&path).with_context(exporting)?.uuid,
                path: path.to_string_lossy().into_owned(),
                clients: allowed(pool, node)?,
                read_only: false,
                subtree_check: checks_subtrees(pool, node),
            });
        }
    }
    Ok(lines)
}

/// Returns the clients that a node's environments are exported to: the configured ones, and the former ones that are kept
/// until the node has booted again.
pub fn allowed(pool: &Pool, node: &Node) -> Result<Vec<String>> {
    let mut allowed = clients(pool, node)?;
    for kept in node.record.kept.iter().flat_map(|kept| &kept.clients) {
        if !allowed.contains(kept) {
            allowed.push(kept.clone());
        }
    }
    Ok(allowed)
}

/// Returns the clients that may mount a node's environments: property `clients`, else the address in its property `ip`,
/// else the server's network.
pub fn clients(pool: &Pool, node: &Node) -> Result<Vec<String>> {
    if let Some(set) = node.property(pool, "clients") {
        return Ok(set.split(',').map(str::to_string).collect());
    }
    if let Some(address) = node.address(pool) {
        return Ok(vec![address.to_string()]);
    }
    let server = server::address(Some(&node.record), pool.record())?;
    Ok(vec![server::network(server)])
}

/// Returns whether the server checks a node's handles: property `nfs.subtree-check`.
pub fn checks_subtrees(pool: &Pool, node: &Node) -> bool {
    node.property(pool, "nfs.subtree-check").as_deref() == Some("on")
}

/// Returns the whole file with these lines, and the lines of an older file that stay.
pub fn print(pool_uuid: &str, lines: &[Line], kept: Vec<String>) -> String {
    let printed = lines.iter().map(print_line).chain(kept).collect();
    in_order(pool_uuid, printed)
}

/// Returns the lines of a file for paths in a directory.
pub fn below(text: &str, dir: &Path) -> Vec<String> {
    let start = start_of(dir);
    text.lines()
        .filter(|l| l.starts_with(&start) && l.ends_with(')'))
        .map(|l| format!("{l}\n"))
        .collect()
}

/// Sorted, so that adding a line and rewriting all give the same file.
pub(super) fn in_order(pool_uuid: &str, mut lines: Vec<String>) -> String {
    lines.sort();
    lines.dedup();
    header(pool_uuid) + &lines.concat()
}

/// Returns the beginning of the lines for paths in a directory.
fn start_of(dir: &Path) -> String {
    quoted(&dir.to_string_lossy())
        .trim_end_matches('"')
        .to_string()
        + "/"
}

/// Returns the file with these lines, each replacing an older one for the same path.
pub fn with(text: &str, pool_uuid: &str, lines: &[Line]) -> String {
    let starts: Vec<String> = lines
        .iter()
        .map(|l| format!("{} ", quoted(&l.path)))
        .collect();
    let other_lines = text
        .lines()
        .filter(|old| old.starts_with('"') && !starts.iter().any(|s| old.starts_with(s)))
        // A file not written by netbe may end without a newline; duplicates are removed.
        .map(|old| format!("{}\n", old.trim_end_matches('\r')))
        .collect();
    print(pool_uuid, lines, other_lines)
}

/// Returns the file without the halves of these environments' directories; `None` if nothing changes.
pub fn without(text: &str, dirs: &[&Path]) -> Option<String> {
    let starts: Vec<String> = dirs.iter().map(|d| start_of(d)).collect();
    let other_lines: String = text
        .lines()
        .filter(|l| !starts.iter().any(|s| l.starts_with(s)))
        .map(|l| format!("{l}\n"))
        .collect();
    (other_lines != text).then_some(other_lines)
}

/// Returns whether netbe wrote the file completely: exportfs would fail on a truncated line.
pub fn is_whole(text: &str) -> bool {
    let ours = |line: &str| line.starts_with('#') || (line.starts_with('"') && line.ends_with(')'));
    pool_of(text).is_some() && text.ends_with('\n') && text.lines().all(ours)
}

/// Returns the paths a file exports.
pub fn paths(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|l| l.strip_prefix('"')?.split_once('"'))
        .map(|(path, _)| path.to_string())
        .collect()
}

/// Returns the UUID of the pool a file was written for.
pub fn pool_of(text: &str) -> Option<&str> {
    text.lines()
        .next()?
        .strip_prefix("# netbe pool ")?
        .split_whitespace()
        .next()
}

fn header(pool_uuid: &str) -> String {
    format!(
        "# netbe pool {pool_uuid}\n# Written by netbe publish; changes are lost. See netbe-publish(8).\n"
    )
}

fn print_line(line: &Line) -> String {
    let check = match line.subtree_check {
        true => "subtree_check",
        false => "no_subtree_check",
    };
    let access = if line.read_only { "ro" } else { "rw" };
    let clients: Vec<String> = line
        .clients
        // No space before the parenthesis: with one, the path is exported to every host.
        .iter()
        .map(|c| {
            format!(
                "{c}({access},sync,{check},{MORE_OPTIONS},fsid={})",
                line.fsid
            )
        })
        .collect();
    format!("{} {}\n", quoted(&line.path), clients.join(" "))
}

/// Returns a path in double quotes, with octal escapes where quotes do not protect.
fn quoted(path: &str) -> String {
    let mut text = String::from("\"");
    for byte in path.bytes() {
        match byte {
            b'"' | b'\\' | 0..=0x20 | 0x7f.. => text.push_str(&format!("\\{byte:03o}")),
            _ => text.push(char::from(byte)),
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(path: &str, fsid: u8) -> Line {
        Line {
            path: path.to_string(),
            clients: vec!["10.0.0.0/24".to_string(), "nog.lan".to_string()],
            fsid: Uuid([fsid; 16]),
            read_only: false,
            subtree_check: false,
        }
    }

    #[test]
    fn invariant_8_a_line_names_one_path_with_its_own_fsid() {
        let text = print(
            "u",
            &[line("/srv/netbe/nodes/nog/envs/a/root", 1)],
            Vec::new(),
        );
        let want = "\"/srv/netbe/nodes/nog/envs/a/root\" \
             10.0.0.0/24(rw,sync,no_subtree_check,no_root_squash,mp,fsid=01010101-0101-0101-0101-010101010101) \
             nog.lan(rw,sync,no_subtree_check,no_root_squash,mp,fsid=01010101-0101-0101-0101-010101010101)\n";
        assert!(text.ends_with(want), "{text}");
        assert_eq!(pool_of(&text), Some("u"));
    }

    #[test]
    fn a_read_only_root_is_exported_read_only() {
        let line = Line {
            read_only: true,
            ..line("/p/a/root", 1)
        };
        let text = print("u", &[line], Vec::new());
        assert!(
            text.contains("10.0.0.0/24(ro,sync,") && !text.contains("rw"),
            "{text}"
        );
    }

    #[test]
    fn paths_are_quoted_as_exports_wants() {
        assert_eq!(quoted("/a b\"c\\d#e"), "\"/a\\040b\\042c\\134d#e\"");
    }

    #[test]
    fn adding_replaces_by_path_and_is_idempotent() {
        let one = print(
            "u",
            &[line("/p/a/root", 1), line("/p/ab/root", 2)],
            Vec::new(),
        );
        let two = with(&one, "u", &[line("/p/a/root", 3)]);
        assert_eq!(paths(&two), ["/p/a/root", "/p/ab/root"]);
        assert!(
            two.contains("03030303") && !two.contains("01010101"),
            "{two}"
        );
        assert_eq!(with(&two, "u", &[line("/p/a/root", 3)]), two);
    }

    #[test]
    fn removing_takes_whole_names_only() {
        let text = print(
            "u",
            &[
                line("/p/a/root", 1),
                line("/p/a/boot", 2),
                line("/p/ab/root", 3),
            ],
            Vec::new(),
        );
        let left = without(&text, &[Path::new("/p/a")]).unwrap();
        assert_eq!(paths(&left), ["/p/ab/root"]);
        assert_eq!(without(&left, &[Path::new("/p/a")]), None);
    }
}
