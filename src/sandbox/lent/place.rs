//! Decides where to put a file of netbe: on the sandbox's own filesystems, such as `/run`, or in the environment.
//!
//! Not for moving it there.

use anyhow::bail;

use super::Lent;
use crate::fs::rooted::Tree;

/// The place of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sandbox) enum Place {
    /// On one of the sandbox's own empty filesystems, at this path.
    Fresh(String),
    /// In the environment, for as long as a program runs.
    Lent(Lent),
}

/// Directories that are empty in every sandbox; one that is a link in the environment stays a link.
const FRESH: &[&str] = &["run", "tmp", "var/tmp"];
/// The maximum number of links, as in the kernel.
const MAX_LINKS: usize = 40;

/// Returns the place of a file that programs find at a path; one for the environment is planned.
///
/// A link to one of the sandbox's own filesystems stays, since its target is there. Any other link is set aside like a
/// file.
///
/// # Errors
/// When the place has a directory, a device or a pipe.
pub(in crate::sandbox) fn find(
    tree: &Tree,
    path: &str,
    content: &str,
    mode: u32,
) -> anyhow::Result<Place> {
    if let Ok(end) = end_of_links(tree, path) {
        let plain = tidy(&end);
        if is_fresh(tree, &plain)? {
            return Ok(Place::Fresh(plain));
        }
    }
    Lent::plan(tree, path, content, mode).map(Place::Lent)
}

fn is_fresh(tree: &Tree, plain: &str) -> anyhow::Result<bool> {
    for place in FRESH {
        let beneath = plain.strip_prefix(place);
        if beneath.is_some_and(|rest| rest.starts_with('/')) {
            let stands = tree.symlink_metadata(place)?;
            return Ok(!stands.is_some_and(|m| m.file_type().is_symlink()));
        }
    }
    Ok(false)
}

/// Follows the links at the end of a path and returns the last one's target, which need not exist.
fn end_of_links(tree: &Tree, path: &str) -> anyhow::Result<String> {
    let mut path = path.to_string();
    for _ in 0..MAX_LINKS {
        let linked = tree
            .symlink_metadata(&path)?
            .is_some_and(|m| m.file_type().is_symlink());
        if !linked {
            return Ok(path);
        }
        let target = tree.link_target(&path)?;
        let Some(target) = target.to_str() else {
            bail!("/{path} in the environment is a link whose target is not UTF-8");
        };
        path = match target.strip_prefix('/') {
            Some(absolute) => absolute.trim_start_matches('/').to_string(),
            None => match path.rsplit_once('/') {
                Some((parent, _)) => format!("{parent}/{target}"),
                None => target.to_string(),
            },
        };
    }
    bail!("/{path} in the environment is a chain of more than {MAX_LINKS} symbolic links");
}

/// Returns a path without `.`, `..` and the old name of `/run`: `etc/../var/run/x` becomes `run/x`.
///
/// Correct only if no directory in it is a symbolic link: it only determines the kind of place, and the kernel resolves
/// the path itself.
fn tidy(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let plain = parts.join("/");
    match plain.strip_prefix("var/run/") {
        Some(rest) => format!("run/{rest}"),
        None => plain,
    }
}
