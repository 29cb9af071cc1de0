//! Changing a node's data to the property `data`: paths that become data, that come back, that are taken off the list.
//!
//! Promises that a path is complete and durable before the record names it, that the record changes in one step, and that
//! what is taken off the list stays where it is. Not for the rules on paths (`pool::data`), nor for what environments
//! mount (`staged::data`).

pub mod copied;
pub mod destroy;
pub mod old_place;
pub(super) mod snapshots;
pub(super) mod thrown_away;

use anyhow::{Context, Result};

use crate::boot::data::mounted_below;
use crate::btrfs::subvolume;
use crate::evidence::{Evidence, reports};
use crate::failure::Failure;
use crate::fs::rooted::Tree;
use crate::pool::data::{Asked, Data, DataPath, DataRecord, asked};
use crate::pool::stage::Staged;
use crate::pool::{
    Environment, Node, NodeLock, NodeName, NodeRecord, Pool, data_store, layout, properties,
};
use crate::publish;
use crate::staged::data::install_helper;
use crate::staged::snapshot;

/// What is to change of a node's data.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// The environment that new data is copied from.
    env: Option<Environment>,
    adopt: Vec<DataPath>,
    resume: Vec<DataPath>,
    off: Vec<DataPath>,
}

impl Change {
    /// Returns the changes that make a node's data as its property says; none for a template, which has no data of its own:
    /// its environments contain the data that nodes made from it start with.
    ///
    /// # Errors
    /// A refusal of a path that its active environment cannot give.
    pub(super) fn of(pool: &Pool, node: &Node) -> Result<Self> {
        let mut change = Self::default();
        if node.is_template() {
            return Ok(change);
        }
        let all = paths_asked(pool, node);
        let known = &node.record.data;
        for Asked { path, usual } in &all {
            match known.get(path) {
                Some(data) if data.off => change.resume.push(path.clone()),
                Some(_) => {}
                // An earlier record may not name the path.
                None if data_store::was_used(node, path)? => change.resume.push(path.clone()),
                None => {
                    let env = match &change.env {
                        Some(env) => env.clone(),
                        None => source(node)?,
                    };
                    match obstacle(&env, path)? {
                        None => change.adopt.push(path.clone()),
                        Some(_) if *usual => {}
                        Some(why) => return Err(refused(node, &env, &why)),
                    }
                    change.env = Some(env);
                }
            }
        }
        if !change.adopt.is_empty() || !change.resume.is_empty() {
            refuse_without_helper(node)?;
        }
        let stays = |path: &DataPath| all.iter().any(|asked| asked.path == *path);
        change.off = known
            .mounted()
            .filter(|path| !stays(path))
            .cloned()
            .collect();
        Ok(change)
    }

    pub(super) fn is_none(&self) -> bool {
        self.adopt.is_empty() && self.resume.is_empty() && self.off.is_empty()
    }

    /// Returns the steps as sentences, for a dry run.
    pub(super) fn sentences(&self, node: &Node) -> Vec<String> {
        let name = &node.name;
        let from = self
            .env
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        let adopt = self
            .adopt
            .iter()
            .map(|path| format!("copy {path} of {from} to data of {name}, sharing its blocks"));
        let resume = self.resume.iter();
        let resume = resume.map(|path| format!("take {path} of {name} back as it was kept"));
        let off = self
            .off
            .iter()
            .map(|path| format!("keep the data of {path} of {name} unused"));
        adopt.chain(resume).chain(off).collect()
    }

    /// Returns the record as it names the data afterwards, for what environments are to mount.
    pub(super) fn listed(&self, node: &Node) -> DataRecord {
        let mut record = self.listed_there(node);
        record
            .paths
            .extend(self.adopt.iter().cloned().map(Data::new));
        record.paths.sort_by(|a, b| a.path.cmp(&b.path));
        record
    }

    /// Returns the record as it names what is there already.
    fn listed_there(&self, node: &Node) -> DataRecord {
        let mut record = node.record.data.clone();
        for data in &mut record.paths {
            data.off =
                (data.off && !self.resume.contains(&data.path)) || self.off.contains(&data.path);
        }
        let is_new = |path: &&DataPath| node.record.data.get(path).is_none();
        let found = self.resume.iter().filter(is_new).cloned().map(Data::new);
        record.paths.extend(found);
        record
    }

    /// Makes the subvolumes, and returns the record that names them.
    pub(super) fn apply(&self, lock: &NodeLock, node: &Node) -> Result<DataRecord> {
        if self.is_none() {
            return Ok(node.record.data.clone());
        }
        let mut record = self.listed_there(node);
        if !self.adopt.is_empty() {
            let env = self
                .env
                .as_ref()
                .context("there is nothing to take it from")?;
            let staged = Staged::new(&node.dir, layout::DATA)?;
            // A snapshot, so that all paths are of one instant, whatever the node writes meanwhile.
            snapshot::snapshot(env, staged.path())?;
            let root = staged.path().join(layout::ROOT);
            data_store::fill(&root, staged.path(), &self.adopt)?;
            data_store::publish(lock, &staged, node, &self.adopt)?;
            let taken = subvolume::info(&root)?;
            for path in &self.adopt {
                record.paths.push(Data {
                    from: env.uuid().map(str::to_string),
                    taken: Some(taken.made),
                    taken_at: Some(taken.created),
                    filled: Some(data_store::filled(node, path)?),
                    ..Data::new(path.clone())
                });
            }
        }
        record.paths.sort_by(|a, b| a.path.cmp(&b.path));
        record.known_boot_ids = reports::boot_ids(node);
        Ok(record)
    }

    /// Returns notes about the change, a sentence each.
    pub(super) fn notes(&self, node: &Node) -> Vec<String> {
        let name = &node.name;
        let mut notes = Vec::new();
        if let (Some(env), false) = (&self.env, self.adopt.is_empty()) {
            let paths = list(&self.adopt);
            let evidence = Evidence::recent(node);
            let others = node.environments().unwrap_or_default();
            let may_run = |other: &&Environment| evidence.booted(other) != Some(false);
            let other = others
                .iter()
                .filter(|other| other.name != env.name)
                .find(may_run);
            if let Some(other) = other.filter(|_| evidence.booted(env) != Some(true)) {
                notes.push(format!(
                    "{name} may be running {other}, whose {paths} was not taken"
                ));
            }
            if evidence.booted(env) != Some(false) && node.is_offered() {
                notes.push(format!(
                    "{name} uses its data from its next boot on; files that it writes in {paths} until then stay in {env}, \
                     and netbe status {name} lists them"
                ));
            }
            notes.push(format!(
                "files of {name}'s environments in {paths} stay in them, hidden by the mounted data"
            ));
        }
        if !self.resume.is_empty() {
            let paths = list(&self.resume);
            notes.push(format!(
                "{paths} has its content from when it was taken off the list"
            ));
        }
        if !self.off.is_empty() {
            let (own, paths) = (list(&self.off), list(&self.off).replace(',', ""));
            notes.push(format!(
                "environments of {name} have their own {own} again, from its next boot on; the data is kept until: netbe \
                 destroy --data {name} {paths}"
            ));
        }
        for path in self.adopt.iter().filter(|path| path.holds_containers()) {
            notes.push(format!(
                "{path} is on NFS, where a container store has no overlay: use its driver vfs, or fuse-overlayfs"
            ));
        }
        notes
    }
}

/// Returns whether the data of a node is not as its property says.
pub(super) fn differs(pool: &Pool, node: &Node) -> bool {
    let asked = paths_asked(pool, node);
    let is_asked = |path: &DataPath| asked.iter().any(|asked| asked.path == *path);
    let known: Vec<&DataPath> = node.record.data.mounted().collect();
    let is_new = |asked: &Asked| !asked.usual && !known.contains(&&asked.path);
    !node.is_template() && (asked.iter().any(is_new) || !known.iter().all(|path| is_asked(path)))
}

/// Returns the environment that a node's data is taken from: the one it runs, where that is known, else the active one.
fn source(node: &Node) -> Result<Environment> {
    let evidence = Evidence::now(node);
    let envs = node.environments()?;
    let runs = envs
        .into_iter()
        .find(|env| evidence.booted(env) == Some(true));
    let env = match runs {
        Some(env) => env,
        None => node.active_environment()?,
    };
    if env.unread {
        // The data would not say which environment it is from, and a merge could not tell what is new.
        env.record_for_change()?;
    }
    Ok(env)
}

/// Refuses a node whose active environment could not mount data.
pub(in crate::lifecycle) fn refuse_without_helper(node: &Node) -> Result<()> {
    let env = node.active_environment()?;
    let root = Tree::open(&env.root())?;
    let Some(install) = install_helper(&root) else {
        return Ok(());
    };
    Err(Failure::refused(format!(
        "{env} has no mount.nfs, which mounts the data of {}",
        node.name
    ))
    .hint(format!("netbe upgrade {} -a -- {install}", node.name))
    .into())
}

fn paths_asked(pool: &Pool, node: &Node) -> Vec<Asked> {
    match node.property(pool, "data") {
        Some(value) if publish::has_nfs_root(pool, node) => asked(&value),
        _ => Vec::new(),
    }
}

/// Returns the note about a node without data of its own.
pub(super) fn without(pool: &Pool, node: &Node) -> Option<String> {
    let is_set = node.property(pool, "data").is_some();
    let is_one = !node.is_template() && publish::has_nfs_root(pool, node);
    (is_one && !is_set).then(|| {
        format!(
            "{0} keeps its data in its environments, so a rollback takes it back too; to keep /home, /srv, … apart: netbe \
             set data=default {0}",
            node.name
        )
    })
}

/// Returns the value of the property that a new node takes over with a template's environment.
pub(super) fn inherited(pool: &Pool, source: &Environment) -> Option<String> {
    let template = pool.node(&source.node).ok().filter(Node::is_template)?;
    template.record.properties.get("data").cloned()
}

/// Returns the sentence of the step that makes the data of a new node.
pub(super) fn sentence(data: &DataRecord, source: &Environment, node: &NodeName) -> String {
    let paths: Vec<DataPath> = data.mounted().cloned().collect();
    format!(
        "copy {} of {source} to data of {node}, sharing its blocks",
        list(&paths)
    )
}

/// Returns the record of the data of a new node whose first environment is made from `source`; its subvolumes are made
/// with the node.
///
/// # Errors
/// A refusal of a path that the source cannot give.
pub(super) fn of_new_node(
    pool: &Pool,
    new: &NodeRecord,
    source: &Environment,
) -> Result<DataRecord> {
    let mut record = DataRecord::default();
    let property = |key| properties::effective(key, Some(new), pool.record()).map(|v| v.value);
    let is_local = property("root").is_some_and(|root| root != "nfs");
    let value = property("data").filter(|_| !is_local && !new.template);
    for Asked { path, usual } in asked(&value.unwrap_or_default()) {
        match obstacle(source, &path)? {
            None => record.paths.push(Data::new(path)),
            Some(_) if usual => {}
            Some(why) => {
                return Err(Failure::refused(format!("{source} cannot give data: {why}")).into());
            }
        }
    }
    Ok(record)
}

/// Returns why an environment cannot give the content of a path, a sentence.
fn obstacle(env: &Environment, path: &DataPath) -> Result<Option<String>> {
    let root = Tree::open(&env.root())?;
    if let Some(why) = data_store::obstacle(&root, path)? {
        return Ok(Some(why));
    }
    let fstab = root.read_text("etc/fstab")?.unwrap_or_default();
    Ok(mounted_below(&fstab, path.as_str()).map(|entry| {
        format!(
            "its etc/fstab mounts {} at {}, which is another filesystem",
            entry.spec, entry.file
        )
    }))
}

fn refused(node: &Node, env: &Environment, why: &str) -> anyhow::Error {
    Failure::refused(format!("{env} cannot give data to {}: {why}", node.name))
        .hint_to(
            format!("change that on {}, or leave the path out", node.name),
            format!("netbe get data {}", node.name),
        )
        .into()
}

/// Returns paths as a list.
pub(crate) fn list(paths: &[DataPath]) -> String {
    let paths: Vec<&str> = paths.iter().map(DataPath::as_str).collect();
    paths.join(", ")
}
