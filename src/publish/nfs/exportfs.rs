//! What exportfs(8) says on stderr, as sentences about environments.
//!
//! Pure. Tells what concerns this pool's exports, each with what to do, from what concerns somebody else's,
//! which becomes one sentence. Not for calling it. Texts: nfs-utils 2.6, each provoked.

use std::collections::BTreeSet;
use std::path::Path;

/// How many sentences of this pool's own are given; a pool that is not mounted makes thousands.
const MOST: usize = 5;
/// Bits of an export's flags that netbe's never have: read-only and root_squash (linux/nfsd/export.h).
const NOT_OURS: u32 = 0x1 | 0x4;

/// Returns what `said` means for the exports in the text `ours`, a sentence each.
pub(super) fn sentences(said: &str, ours: &str) -> Vec<String> {
    let ours = Ours { text: ours };
    let (mut found, mut others): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let mut lines = said
        .lines()
        .map(|l| l.strip_prefix("exportfs: ").unwrap_or(l))
        // What the default is where nothing is said: two lines more of their own.
        .filter(|l| !l.trim().is_empty() && !l.starts_with("  ") && !l.contains("Neither 'subtree"))
        // What follows from what it said before.
        .filter(|l| !l.starts_with("can't lock "));
    while let Some(line) = lines.next() {
        let (meant, line) = if line.ends_with("duplicated export entries:") {
            let (first, _) = (lines.next().unwrap_or_default().trim(), lines.next());
            (
                duplicated(&ours, line, first),
                format!("two lines for {first}"),
            )
        } else {
            (meaning(&ours, line), line.to_string())
        };
        let (list, sentence) = match meant {
            Some(sentence) => (&mut found, sentence),
            None => (&mut others, line),
        };
        if !list.contains(&sentence) {
            list.push(sentence);
        }
    }
    if found.len() > MOST {
        let more = found.split_off(MOST).len();
        found.push(format!(
            "and {more} more of the kind: exportfs -ra shows all"
        ));
    }
    if let Some((first, more)) = others.split_first() {
        found.push(match more.len() {
            0 => format!("the NFS server complains of what is not netbe's: {first}"),
            n => format!(
                "the NFS server complains of what is not netbe's: {first}; and {n} more, which exportfs -ra shows"
            ),
        });
    }
    found
}

/// Returns what one line means; `None` where it is not about this pool's exports.
fn meaning(ours: &Ours<'_>, line: &str) -> Option<String> {
    if let Some((path, why)) = line
        .strip_prefix("Failed to stat ")
        .and_then(|l| l.split_once(": "))
    {
        let (env, node) = ours.environment(path)?;
        return Some(format!(
            "{env} is not exported whole: {}; netbe check {node} says what is left of it",
            why.to_lowercase()
        ));
    }
    if let Some(path) = line.strip_suffix(" does not support NFS export") {
        let (env, _) = ours.environment(path)?;
        return Some(format!(
            "{env} cannot be mounted: the NFS server does not export the filesystem it is on; is the pool there? findmnt -T {path}"
        ));
    }
    if let Some(path) = line.strip_suffix(" is not a directory. Remote access will fail") {
        let (env, node) = ours.environment(path)?;
        return Some(format!(
            "{env} cannot be mounted: {path} is not a directory; netbe check {node} says what is left of it"
        ));
    }
    if let Some(name) = line.strip_prefix("Failed to resolve ") {
        let nodes = ours.nodes_of(name)?;
        return Some(format!(
            "{nodes} cannot mount as {name}: this machine cannot find an address for that name; \
             getent hosts {name}, or name the address: netbe set clients=ADDRESS"
        ));
    }
    if let Some((_, client)) = line
        .strip_prefix("Invalid prefix ")
        .and_then(|l| l.split_once(" for "))
    {
        let nodes = ours.nodes_of(client)?;
        return Some(format!(
            "{nodes} cannot mount as {client}: that is no network; netbe set clients=ADDRESS/LENGTH"
        ));
    }
    if let Some((file, why)) = line
        .strip_prefix("could not open ")
        .and_then(|l| l.split_once(" for locking: "))
    {
        return Some(format!(
            "the NFS server was told nothing: {file} cannot be written, {why}; then netbe publish"
        ));
    }
    None
}

/// Returns what two lines for one path and client mean, by what is said of the first.
fn duplicated(ours: &Ours<'_>, message: &str, first: &str) -> Option<String> {
    let (client, path, flags) = entry(first)?;
    let (env, _) = ours.environment(path)?;
    let elsewhere = format!("grep -r {path} /etc/exports /etc/exports.d");
    if !message.starts_with("incompatible") {
        return Some(format!(
            "{env} is exported to {client} by a line of somebody else's too, which is not needed: {elsewhere}"
        ));
    }
    Some(match flags & NOT_OURS {
        0 => format!(
            "{env} is exported to {client} as a line of somebody else's has it, not as netbe's: take that out, then exportfs -ra; {elsewhere}"
        ),
        _ => format!(
            "a line of somebody else's that exports {env} to {client} otherwise is ignored: take it out; {elsewhere}"
        ),
    })
}

/// Returns client, path and flags of `CLIENT:PATH (0x425) [IGNORED]`; the latter two are not always there.
fn entry(line: &str) -> Option<(&str, &str, u32)> {
    let line = line.trim().trim_end_matches(" [IGNORED]");
    let (line, flags) = match line.rsplit_once(" (0x") {
        Some((line, flags)) => (
            line,
            u32::from_str_radix(flags.strip_suffix(')')?, 16).ok()?,
        ),
        None => (line, 0),
    };
    // An IPv6 client has colons of its own; a path begins with a slash.
    let at = line.find(":/")?;
    Some((&line[..at], &line[at + 1..], flags))
}

/// The pool's own exports, as their file has them.
struct Ours<'a> {
    text: &'a str,
}

impl Ours<'_> {
    /// Returns the environment at a path, and its node, where it is this pool's to export.
    fn environment(&self, path: &str) -> Option<(String, String)> {
        super::exports::paths(self.text)
            .iter()
            .any(|p| p == path)
            .then(|| environment_of(path))?
    }

    /// Returns the nodes that are exported to a client, for a sentence.
    fn nodes_of(&self, client: &str) -> Option<String> {
        let wanted = format!(" {client}(");
        let nodes: BTreeSet<String> = self
            .text
            .lines()
            .filter(|l| l.contains(&wanted))
            .filter_map(|l| environment_of(l.strip_prefix('"')?.split_once('"')?.0))
            .map(|(_, node)| node)
            .collect();
        (!nodes.is_empty()).then(|| nodes.into_iter().collect::<Vec<_>>().join(", "))
    }
}

/// Returns the environment a half's path is of, and its node: `…/nodes/NODE/envs/ENV/HALF`.
fn environment_of(path: &str) -> Option<(String, String)> {
    let mut parts = Path::new(path).iter().rev().map(|p| p.to_str());
    let (_, env, envs, node) = (
        parts.next()??,
        parts.next()??,
        parts.next()??,
        parts.next()??,
    );
    (envs == "envs").then(|| (format!("{node}/{env}"), node.to_string()))
}

#[cfg(test)]
mod tests;
