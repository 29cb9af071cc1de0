//! The data in a stream for the node whose environment is imported: `import --data`.
//!
//! Promises that the node had no data at these paths, and that the new data is complete before its record names it. Its
//! other environments mount it then, as after `set data=`. Not for reading the stream.

use std::path::PathBuf;

use anyhow::Result;

use super::Imported;
use crate::evidence::reports;
use crate::failure::Failure;
use crate::fs::atomic;
use crate::lifecycle::data::{list, refuse_without_helper};
use crate::lifecycle::{Mode, Outcome, properties as changes};
use crate::pool::data::{Data, DataPath, NONE, asked, normalised};
use crate::pool::record::NodeRecord;
use crate::pool::stage::Staged;
use crate::pool::{Node, NodeLock, NodeName, Pool, data_store, layout, properties};
use crate::publish;
use crate::staged::StagedEnvironment;

/// The data in a stream.
#[derive(Debug, Clone, Default)]
pub(super) struct Offered {
    /// The identifier of the export.
    pub(super) export: String,
    pub(super) paths: Vec<DataPath>,
}

impl Offered {
    /// Takes out and returns the paths that the node has from this export already: an import was interrupted later, and the
    /// node may have written in them since.
    pub(super) fn take_out_received(&mut self, existing: Option<&Node>) -> Vec<DataPath> {
        let is_received = |path: &DataPath| {
            let data = existing.and_then(|node| node.record.data.get(path));
            data.is_some_and(|d| !d.off && d.received.as_deref() == Some(&self.export))
        };
        let (received, lacking) = self.paths.iter().cloned().partition(is_received);
        self.paths = lacking;
        received
    }
}

/// Returns a node's record with data at these paths, and a property that asks for them.
///
/// # Errors
/// A refusal with the reason if the node cannot have it.
pub(super) fn record_with(
    pool: &Pool,
    name: &NodeName,
    existing: Option<&Node>,
    mut record: NodeRecord,
    offered: &Offered,
) -> Result<NodeRecord> {
    let paths = &offered.paths;
    if paths.is_empty() {
        return Ok(record);
    }
    let refused = |why: String, hint: String| {
        let why = format!("{why}; without --data the environment alone is imported");
        Err(Failure::refused(why).hint(hint).into())
    };
    let property = |key| properties::effective(key, Some(&record), pool.record()).map(|v| v.value);
    if record.template {
        let why = format!("{name} is a template, which has no data of its own");
        return refused(why, format!("netbe list {name}"));
    }
    if property("root").is_some_and(|root| root != "nfs") {
        let why = format!(
            "{name} cannot have data of its own: no machine mounts its root from this server"
        );
        return refused(why, format!("netbe get root {name}"));
    }
    for path in paths {
        match record.data.get(path) {
            Some(data) if data.off => {
                let why = format!("{name} has data of {path} that was taken off the list");
                return refused(why, format!("netbe destroy --data {name} {path}"));
            }
            Some(_) => {
                let why = format!("{name} has data of its own at {path} already");
                return refused(why, format!("netbe get data {name}"));
            }
            None => {}
        }
        if let Some(node) = existing
            && data_store::was_used(node, path)?
        {
            let why = format!("{name} has data of {path} that its record does not name");
            return refused(why, format!("netbe check {name}"));
        }
    }
    let value = property("data").filter(|v| v != NONE).unwrap_or_default();
    let known = asked(&value);
    let missing = |path: &&DataPath| !known.iter().any(|asked| asked.path == **path);
    let missing: Vec<&str> = paths.iter().filter(missing).map(DataPath::as_str).collect();
    if !missing.is_empty() {
        let words: Vec<&str> = value
            .split(',')
            .filter(|word| !word.is_empty())
            .chain(missing)
            .collect();
        match normalised(&words.join(",")) {
            Ok(value) => drop(record.properties.insert("data".to_string(), value)),
            Err(why) => {
                let why = format!("{name} cannot have all of this data: {why}");
                return refused(why, format!("netbe get data {name}"));
            }
        }
    }
    if let Some(node) = existing.filter(|node| node.active.is_some()) {
        refuse_without_helper(node)?;
    }
    let received = paths.iter().cloned().map(|path| Data {
        received: Some(offered.export.clone()),
        ..Data::new(path)
    });
    record.data.paths.extend(received);
    record.data.paths.sort_by(|a, b| a.path.cmp(&b.path));
    if let Some(node) = existing {
        record.data.known_boot_ids = reports::boot_ids(node);
    }
    Ok(record)
}

/// Returns the sentence of the step that receives it.
pub(super) fn sentence(node: &NodeName, paths: &[DataPath]) -> Option<String> {
    (!paths.is_empty()).then(|| format!("receive data of {node}: {}", list(paths)))
}

/// The directory in which data is received.
#[derive(Debug)]
pub(super) struct Received {
    dir: PathBuf,
    /// The stage for an existing node; a new node receives data in its own stage.
    staged: Option<Staged>,
    offered: Offered,
}

impl Received {
    /// Makes the directory.
    pub(super) fn new(
        env: &StagedEnvironment,
        existing: Option<&Node>,
        offered: Offered,
    ) -> Result<Self> {
        let staged = existing
            .map(|node| Staged::new(&node.dir, layout::DATA))
            .transpose()?;
        let dir = match &staged {
            Some(staged) => staged.path().to_path_buf(),
            None => env.data_dir()?,
        };
        atomic::directories(&dir)?;
        Ok(Self {
            dir,
            staged,
            offered,
        })
    }

    /// Returns where the subvolume of a path is received; `None` if the node has it from this stream already.
    pub(super) fn place(&self, path: &DataPath) -> Option<PathBuf> {
        let is_lacking = self.offered.paths.contains(path);
        is_lacking.then(|| self.dir.join(path.directory()))
    }

    /// Checks again that the node can have the data, and has the environment mount it.
    pub(super) fn again(
        self,
        pool: &Pool,
        name: &NodeName,
        env: &mut StagedEnvironment,
    ) -> Result<Arrived> {
        let record = match &self.staged {
            None => None,
            Some(_) => {
                let node = pool.node(name)?;
                let known = node.record.clone();
                let record = record_with(&pool.again()?, name, Some(&node), known, &self.offered)?;
                env.set_record(record.clone());
                Some((node, record))
            }
        };
        Ok(Arrived {
            received: self,
            record,
        })
    }
}

/// Data received for a node.
#[derive(Debug)]
pub(super) struct Arrived {
    received: Received,
    /// An existing node, and its record with the data.
    record: Option<(Node, NodeRecord)>,
}

impl Arrived {
    /// Makes it the data of its node; for a new node, that is part of publishing the node.
    pub(super) fn publish(
        self,
        pool: &Pool,
        lock: &NodeLock,
        mode: Mode,
        done: &mut Imported,
    ) -> Result<()> {
        let paths = &self.received.offered.paths;
        if let (Some((node, record)), Some(staged)) = (self.record, &self.received.staged) {
            data_store::publish(lock, staged, &node, paths)?;
            node.store(lock, &record)?;
            data_store::take_into_use(lock, &pool.node(&node.name)?)?;
            let published = publish::everything(pool, Some(&pool.lock(mode.wait)?))?;
            done.warnings.extend(published.warnings);
            done.notes.push(format!(
                "the environments of {} mount {} from the next boot on; their files there stay in them, hidden by the mounted data",
                node.name,
                list(paths)
            ));
        }
        done.data.clone_from(paths);
        Ok(())
    }
}

/// Has the other environments of a node mount the data that it got; `node` has the record with the data.
pub(super) fn mount_in_all(
    pool: &Pool,
    node: &Node,
    done: Outcome<Imported>,
    mode: Mode,
) -> (Outcome<Imported>, Vec<anyhow::Error>) {
    match changes::mount_data_in_all(pool, node, mode) {
        Ok((mounted, failures)) => (done.followed_by(mounted), failures),
        Err(e) => {
            let name = &node.name;
            let what = format!("having the other environments of {name} mount its data");
            (done, vec![e.context(what)])
        }
    }
}
