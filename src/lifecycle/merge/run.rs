//! One merge: what it observes, its steps, and carrying them out.

mod publish;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::find::{Found, Half, Sides};
use super::in_data::Search;
use super::{Conflict, Merged, Request, apply, base, packages};
use crate::btrfs::subvolume::{self, Info};
use crate::lifecycle::Mode;
use crate::merge::decide::Conflicts;
use crate::packages::Chosen;
use crate::pool::data::ChangePoint;
use crate::pool::record::EnvRecord;
use crate::pool::stage::Staged;
use crate::pool::{EnvId, EnvName, Environment, Node, NodeLock, Operand, Pool, layout};
use crate::staged::{self, StagedEnvironment, Target, origin_texts, snapshot};

/// A merge of two environments of a node.
pub(super) struct Run<'a> {
    pub(super) pool: &'a Pool,
    pub(super) node: &'a Node,
    pub(super) from: Environment,
    pub(super) to: Environment,
    pub(super) before: EnvRecord,
    name: EnvName,
    pub(super) base: base::Base,
    pub(super) request: &'a Request,
    /// Whether TO is still in its stage, and the result is published in its place.
    is_staged: bool,
}

impl<'a> Run<'a> {
    /// Merges into a complete environment that is not published yet.
    pub(super) fn into_staged(
        pool: &'a Pool,
        node: &'a Node,
        to: Environment,
        request: &'a Request,
    ) -> Result<Self> {
        let run = Self::new(pool, node, to, request)?;
        Ok(Self {
            is_staged: true,
            ..run
        })
    }

    /// Merges into an environment.
    pub(super) fn new(
        pool: &'a Pool,
        node: &'a Node,
        to: Environment,
        request: &'a Request,
    ) -> Result<Self> {
        node.refuse_lost()?;
        let from = node.environment(&request.from.env)?;
        for env in [&from, &to] {
            pool.refuse_work(&env.node, &env.name, Duration::ZERO)?;
            env.require_sound()?;
            env.refuse_image(
                "whose files are not merged",
                format!("netbe create {}", node.name),
            )?;
        }
        let target = Operand {
            node: node.name.clone(),
            env: request.name.clone(),
        };
        let name = staged::free_name(pool, Some(node), &target)?;
        let base = base::Base::find(pool, &from, &to)?;
        Ok(Self {
            pool,
            node,
            before: to.record_for_change()?,
            from,
            to,
            name,
            base,
            request,
            is_staged: false,
        })
    }

    pub(super) fn id(&self) -> EnvId {
        EnvId::new(&self.node.name, &self.name)
    }

    pub(super) fn merging(&self) -> String {
        format!("merging {} into {}", self.from, self.to)
    }

    fn is_ours(&self) -> bool {
        self.request.conflicts == Conflicts::Ours
    }

    pub(super) fn target(&self) -> Target<'_> {
        Target {
            pool: self.pool,
            node: &self.node.name,
            record: &self.node.record,
            env: &self.name,
            boots_next: self.request.boots_next,
        }
    }

    pub(super) fn sides(&self, from_halves: [PathBuf; 2], to_halves: [PathBuf; 2]) -> Sides<'_> {
        Sides {
            from: &self.from,
            to: &self.to,
            from_halves,
            to_halves,
            since: self.base.since.clone(),
            base: self.base.texts.clone(),
            data: self.node.record.data.mounted().cloned().collect(),
            paths: &self.request.paths,
            conflicts: self.request.conflicts,
        }
    }

    pub(super) fn search<'s>(&'s self, root: &'s Path) -> Search<'s> {
        Search {
            node: self.node,
            from: &self.from,
            root,
            paths: &self.request.paths,
            conflicts: self.request.conflicts,
        }
    }

    /// Returns whether the merge is only into the node's data, which is no part of TO.
    pub(super) fn is_of_data_alone(&self) -> bool {
        self.from.name == self.to.name && !self.is_staged
    }

    pub(super) fn perform(&self, lock: NodeLock, mode: Mode) -> Result<Merged> {
        if self.is_of_data_alone() {
            return self.perform_of_data(&lock);
        }
        let (mut staged, copy, mut notes) = self.snapshots(&lock)?;
        let begun = subvolume::info(&staged.root())?.made;
        // Without the node's lock: much may have to be copied, and packages installed.
        let _name_stays = self.pool.lock_env(&lock, &self.name)?;
        drop(lock);
        let from_halves = [layout::ROOT, layout::BOOT].map(|half| copy.path().join(half));
        let [root, boot] = [
            subvolume::info(&from_halves[0])?,
            subvolume::info(&from_halves[1])?,
        ];
        let until = match root.made <= boot.made {
            true => root,
            false => boot,
        };
        // The copied content of nested subvolumes is not in the trees yet.
        subvolume::sync(copy.path())?;
        let to_halves = [staged.root(), staged.boot()];
        let sides = self.sides(from_halves.clone(), to_halves.clone());
        let mut found = sides.find().with_context(|| self.merging())?;
        let packages = packages::chosen(&self.base, &self.from, &to_halves[0])?;
        let brings_packages = self.request.packages && !packages.is_empty();
        if found.is_empty() && !brings_packages && !self.is_staged {
            let lock = mode.lock_again(self.pool, &self.node.name)?;
            let (data, note) = self.bring_data(copy, &lock)?;
            notes.extend(note);
            return Ok(self.result(None, found, data, packages, notes));
        }
        let places = [false, true].map(|in_boot| sides.place(in_boot));
        let (blocked, without_flags) = apply::apply(
            &found,
            &self.from,
            self.request.conflicts,
            &from_halves,
            &to_halves,
            &places,
        )
        .with_context(|| self.merging())?;
        found.blocked(blocked);
        notes.extend(apply::lost_flags(&without_flags));
        if brings_packages {
            packages::bring(self.pool, self.node, &self.before, staged.dir(), &packages)?;
            notes.extend(snapshot::flatten_within(&staged.root())?);
        }
        let lock = mode.lock_again(self.pool, &self.node.name)?;
        let (data, note) = self.bring_data(copy, &lock)?;
        notes.extend(note);
        staged.look_again(&lock)?;
        let is_decided = self.is_ours() || found.conflicts.is_empty();
        let made = self.publish(staged, &lock, begun, until, is_decided)?;
        let mut merged = self.result(Some(self.id()), found, data, packages, notes);
        merged.notes.extend(made.notes);
        merged.warnings.extend(made.warnings);
        Ok(merged)
    }

    /// Begins the result as a snapshot of TO, and takes one of FROM, by the lock of their node: without it, FROM could be
    /// destroyed, or a program could begin to run in it.
    fn snapshots(&self, lock: &NodeLock) -> Result<(StagedEnvironment, Staged, Vec<String>)> {
        lock.ensure_protects(&self.from.node)?;
        let staged = StagedEnvironment::in_node(self.target(), self.node)?;
        let notes = staged.snapshot(&self.to)?;
        origin_texts::keep(&staged)?;
        let copy = Staged::new(&self.node.dir, self.from.name.as_str())?;
        snapshot::snapshot(&self.from, copy.path())?;
        Ok((staged, copy, notes))
    }

    fn perform_of_data(&self, lock: &NodeLock) -> Result<Merged> {
        let copy = Staged::new(&self.node.dir, self.from.name.as_str())?;
        snapshot::snapshot(&self.from, copy.path())?;
        subvolume::sync(copy.path())?;
        let (data, note) = self.bring_data(copy, lock)?;
        let nothing = (Found::default(), Chosen::default());
        Ok(self.result(None, nothing.0, data, nothing.1, note.into_iter().collect()))
    }

    /// Merges from FROM's copy into the node's data, and deletes the copy durably: otherwise a power cut would bring it back.
    fn bring_data(&self, copy: Staged, lock: &NodeLock) -> Result<(Found, Option<String>)> {
        let node = self.pool.again()?.node(&self.node.name)?;
        let root = copy.path().join(layout::ROOT);
        let search = Search {
            node: &node,
            ..self.search(&root)
        };
        let brought = search.bring(created_at(subvolume::info(&root)?), lock)?;
        drop(copy);
        subvolume::sync(&node.dir)?;
        Ok(brought)
    }

    fn result(
        &self,
        id: Option<EnvId>,
        mut found: Found,
        data: Found,
        packages: Chosen,
        notes: Vec<String>,
    ) -> Merged {
        let in_data = data.taken.len();
        found.extend(data);
        let mut warnings = Vec::new();
        if let Some(first) = found.unread.first() {
            warnings.push(format!(
                "{} paths are too long to be merged, and stay as in {}: {} first",
                found.unread.len(),
                self.to,
                crate::fs::shown_path::shortened(first)
            ));
        }
        Merged {
            id,
            from: self.from.id(),
            to: self.to.id(),
            taken: found.taken,
            in_data,
            conflicts: found.conflicts,
            ours: self.is_ours(),
            of_packages: found.of_packages.len(),
            has_packages: self.request.packages,
            packages,
            notes,
            warnings,
        }
    }
}

impl Found {
    pub(super) fn is_empty(&self) -> bool {
        self.halves.iter().all(Half::is_empty) && self.conflicts.is_empty()
    }

    fn extend(&mut self, other: Self) {
        self.taken.extend(other.taken);
        self.taken.sort_by(|a, b| a.path.cmp(&b.path));
        self.conflicts.extend(other.conflicts);
        self.conflicts.sort_by(|a, b| a.path.cmp(&b.path));
        self.unread.extend(other.unread);
    }

    /// Records the conflicts at blocked paths, which were not taken.
    pub(super) fn blocked(&mut self, blocked: Vec<Conflict>) {
        for conflict in &blocked {
            self.taken
                .retain(|taken| !taken.path.starts_with(&conflict.path));
        }
        self.conflicts.extend(blocked);
        self.conflicts.sort_by(|a, b| a.path.cmp(&b.path));
    }
}

fn created_at(copy: Info) -> ChangePoint {
    ChangePoint {
        transaction: copy.made,
        at: copy.created,
    }
}
