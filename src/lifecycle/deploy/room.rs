//! Space on the disk of a node: if a root does not fit, older roots are removed, the oldest first.
//!
//! Only roots that this node's environments have put there and boot no more are removed: an unknown root may be another
//! node's, or another server's. The node's changes in it are reported first. Not for a disk that is formatted.

use anyhow::Result;

use super::disk;
use super::work::Work;
use crate::evidence::Evidence;
use crate::failure::Failure;
use crate::pool::stage::Staged;
use crate::pool::{Environment, Node, deployed};
use crate::terminal;

/// How many changed paths are named.
const NAMED: usize = 8;

/// Returns whether an error is that the disk is full.
pub(super) fn is_full(error: &anyhow::Error) -> bool {
    // The disk's is a message of a program; the system's own is of the pool's filesystem, where no removed root helps.
    let is_here = error.is::<std::io::Error>();
    !is_here && format!("{error:#}").contains("No space left on device")
}

/// Returns the names of the removable roots, the oldest first; `has` are all roots on the disk, in that order.
///
/// # Errors
/// If the environments of the node cannot be read.
fn removable(node: &Node, device: &str, has: &[String]) -> Result<Vec<String>> {
    let envs = node.environments()?;
    // An environment whose record cannot be read may boot any of them.
    if envs.iter().any(|env| env.record.is_none()) {
        return Ok(Vec::new());
    }
    let (former, evidence) = (deployed::former(node)?, Evidence::now(node));
    let mut names = Vec::new();
    for name in has {
        let may_go = match envs.iter().find(|env| deployed::is_of(name, env)) {
            Some(env) => boots_elsewhere(env, device, name) && evidence.booted(env) == Some(false),
            None => {
                let base = deployed::base_of(name);
                former.iter().any(|former| former == base)
            }
        };
        if may_go && !deployed::is_being_sent(node, name)? {
            names.push(name.clone());
        }
    }
    Ok(names)
}

/// Returns whether the boot files of an environment name another root than this one.
fn boots_elsewhere(env: &Environment, device: &str, name: &str) -> bool {
    let disk = env.disk();
    disk.is_some_and(|disk| disk.device != device || disk.name() != Some(name))
}

/// Returns a free name to keep a root under.
fn name_to_keep(name: &str, has: &[String]) -> String {
    let mut names = (1_u64..).map(|number| format!("{name}.{number}"));
    let is_free = |kept: &String| !has.contains(kept);
    names.find(is_free).unwrap_or_default()
}

impl Work<'_> {
    /// Measures the size of a whole root; the size of a difference is not known before it is sent.
    pub(super) fn measure(&mut self) -> Result<()> {
        if self.parent.is_none() {
            self.takes = Some(disk::size_of(&self.env.root())?);
        }
        Ok(())
    }

    fn lacks_room(&self) -> bool {
        self.takes.is_some_and(|takes| takes > self.free)
    }

    /// Returns the roots to remove if there is too little space and removing them could help.
    pub(super) fn in_the_way(&self, node: &Node) -> Result<Vec<String>> {
        match self.lacks_room() && self.takes < Some(self.size) {
            true => removable(node, &self.root.device, &self.has),
            false => Ok(Vec::new()),
        }
    }

    /// Removes roots until there is enough space.
    ///
    /// # Errors
    /// A refusal if there is not enough space then.
    pub(super) fn make_room(&mut self) -> Result<()> {
        while self.lacks_room() && self.remove_oldest()? {}
        self.refuse_for_room().map_err(|e| self.with_removed(e))
    }

    /// Refuses a disk with less free space than a whole root takes.
    pub(super) fn refuse_for_room(&self) -> Result<()> {
        let Some(takes) = self.takes.filter(|_| self.lacks_room()) else {
            return Ok(());
        };
        let (env, target) = (self.env, &self.request.target);
        let [takes, free] = [takes, self.free].map(terminal::bytes);
        Err(Failure::refused(format!(
            "the root of {env} takes {takes}, and {target} has {free} of free space"
        ))
        .into())
    }

    /// Removes the oldest removable root; returns whether there was one.
    pub(super) fn remove_oldest(&mut self) -> Result<bool> {
        let Some((name, mark)) = self.claim_oldest()? else {
            return Ok(false);
        };
        // Without the node's lock: the disk may take an hour for either.
        let changed = self.changes_in(&name);
        self.disk.remove(&name)?;
        drop(mark);
        let changed = changed.map_or(String::new(), |changes| format!(", in which {changes}"));
        self.removed.push(format!(
            "netbe/{name}, which {} boots no more, was removed from its disk to make room{changed}",
            self.env.node
        ));
        self.disk.settle()?;
        let found = self.disk.look()?;
        // Another deploy may have removed some, too.
        self.has
            .retain(|has| *has != name && found.has.contains(has));
        self.free = found.free;
        Ok(true)
    }

    /// Chooses the oldest removable root, and marks it: until the mark goes, no other deploy leads to it or removes it.
    fn claim_oldest(&self) -> Result<Option<(String, Staged)>> {
        let _lock = self.mode.lock_again(self.pool, &self.env.node)?;
        let node = self.pool.node(&self.env.node)?;
        let names = removable(&node, &self.root.device, &self.has)?;
        let oldest = names.into_iter().find(|name| *name != self.name);
        oldest
            .map(|name| deployed::mark(&node, &name).map(|mark| (name, mark)))
            .transpose()
    }

    /// Returns an error with the roots that were removed before it.
    pub(super) fn with_removed(&self, error: anyhow::Error) -> anyhow::Error {
        match self.removed.is_empty() {
            true => error,
            false => error.context(self.removed.join("; ")),
        }
    }

    /// Frees this environment's name on the disk: a root of that name is kept under another name if the node may have booted
    /// it, else removed.
    ///
    /// Without a disk in the record, boot files never named the root: it is the rest of an interrupted deploy.
    pub(super) fn clear_name(&mut self) -> Result<()> {
        if !self.has.contains(&self.name) {
            return Ok(());
        }
        let was_led = self.env.record_for_change()?.disk.is_some();
        let keeps = match self.disk.changes(&self.name) {
            Ok(changes) if changes.is_empty() => {
                let node = self.pool.node(&self.env.node)?;
                was_led && Evidence::now(&node).booted(self.env) != Some(false)
            }
            Ok(_) => true,
            Err(_) => was_led,
        };
        let at = self.has.iter().position(|name| *name == self.name);
        match keeps {
            true => {
                let new_name = name_to_keep(&self.name, &self.has);
                self.disk.keep(&self.name, &new_name)?;
                self.notes.push(format!(
                    "what {} had on that disk already is kept there as netbe/{new_name}, until room is needed",
                    self.env
                ));
                self.has.extend(at.map(|_| new_name));
            }
            false => self.disk.remove(&self.name)?,
        }
        self.has.retain(|name| *name != self.name);
        Ok(())
    }

    /// Adds a note about what the node has changed on its disk: the changes stay there, and are not in the root that is sent.
    pub(super) fn tell_changes(&mut self) {
        for name in self.has.clone() {
            if let Some(changes) = self.changes_in(&name) {
                let note = format!("in netbe/{name}, which stays on the disk, {changes}");
                self.notes.push(note);
            }
        }
    }

    /// Returns what the node has changed in a root, a clause; `None` if nothing.
    pub(super) fn changes_in(&self, name: &str) -> Option<String> {
        let node = &self.env.node;
        let changes = match self.disk.changes(name) {
            Ok(changes) if changes.is_empty() => return None,
            Ok(changes) => changes,
            Err(e) => return Some(format!("it is not known what {node} has changed: {e:#}")),
        };
        let named: Vec<&str> = changes.iter().take(NAMED).map(String::as_str).collect();
        let more = match changes.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        Some(format!("{node} has changed {}{more}", named.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_has_a_name_of_its_own() {
        let has = ["a-1a2b3c4d", "a-1a2b3c4d.1", "a-1a2b3c4d.3"].map(str::to_string);
        assert_eq!(name_to_keep("a-1a2b3c4d", &has), "a-1a2b3c4d.2");
    }

    #[test]
    fn a_full_disk_is_known_by_what_its_tools_say() {
        let said = anyhow::anyhow!("ERROR: writing to a failed: No space left on device");
        assert!(is_full(&said.context("sending")));
        assert!(!is_full(&anyhow::anyhow!("no route to host")));
    }
}
