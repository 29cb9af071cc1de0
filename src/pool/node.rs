//! A node as the disk has it, whatever state that is in.
//!
//! Observing never fails for what is damaged: it says so in `problems`. Not for changing anything.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::code::Key;
use super::lock::NodeLock;
use super::name::{EnvName, NodeName};
use super::record::{self, NodeRecord};
use super::{Pool, layout, properties};
use crate::boot::Ip;
use crate::failure::Failure;
use crate::fs::path_error::{at_path, is_system_error};

/// One node.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// Its directory on the pool.
    pub dir: PathBuf,
    /// Its directory on the server's own disk, with its record and what is known of its boots.
    pub state: PathBuf,
    /// The key of its environments' records.
    pub key: Key,
    /// Its record; an empty one where `node.json` cannot be read.
    pub record: NodeRecord,
    /// Whether `node.json` cannot be read: which machines ask for the node is not known then.
    pub lost: bool,
    /// The environment it boots next, where the link says one; it need not exist.
    pub active: Option<EnvName>,
    /// Whether the disk did not give what it boots next: none that is known is not none that there is.
    pub unread: bool,
    /// What is wrong with it, a sentence each.
    pub problems: Vec<String>,
}

impl Node {
    /// Returns what stands under a node's name; `None` where there is no directory.
    pub fn observe(pool: &Pool, name: &NodeName) -> Option<Self> {
        Self {
            name: name.clone(),
            dir: layout::node(pool.root(), name),
            state: layout::node_state(pool.state(), name),
            key: pool.key().clone(),
            record: NodeRecord::new(false),
            lost: true,
            active: None,
            unread: false,
            problems: Vec::new(),
        }
        .again()
    }

    /// Returns what stands under its name by now; `None` where there is no directory.
    pub(super) fn again(self) -> Option<Self> {
        let Self {
            name,
            dir,
            state,
            key,
            ..
        } = self;
        let mut problems = Vec::new();
        match dir.symlink_metadata() {
            Ok(found) if !found.is_dir() => return None,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return None,
            // Perhaps it is there, and machines run from it.
            Err(e) => problems.push(format!("its directory cannot be looked at: {e}")),
            Ok(_) => {}
        }
        let (record, lost) = match read_record(&state) {
            Ok(record) => (record, false),
            Err(e) => {
                problems.push(format!("node.json cannot be used: {e:#}"));
                (NodeRecord::new(false), true)
            }
        };
        let mut unread = false;
        let active = match read_active(&dir) {
            Ok(active) => active,
            Err(e) => {
                unread = is_system_error(&e);
                problems.push(e.to_string());
                None
            }
        };
        Some(Self {
            name,
            dir,
            state,
            key,
            record,
            lost,
            active,
            unread,
            problems,
        })
    }

    /// Returns where the record of a node of that name stands.
    pub fn record_file(pool: &Pool, name: &NodeName) -> PathBuf {
        layout::node_state(pool.state(), name).join(layout::NODE_RECORD)
    }

    /// Returns whether no machine boots this node.
    pub fn is_template(&self) -> bool {
        self.record.template
    }

    /// Returns whether the network is offered this node: a machine can ask for it by MAC or serial.
    pub fn is_offered(&self) -> bool {
        !self.record.template
            && ["mac", "serial"].iter().any(|key| {
                self.record
                    .properties
                    .get(*key)
                    .is_some_and(|v| !v.is_empty())
            })
    }

    /// Refuses a node of which it cannot be told what it boots next: then it may be any.
    ///
    /// # Errors
    /// A refusal that says why, with the remedy.
    pub fn refuse_unknown_active(&self) -> Result<()> {
        if self.active.is_some() || !self.problems.iter().any(|p| p.contains(layout::ACTIVE)) {
            return Ok(());
        }
        Err(Failure::refused(format!(
            "what {} boots next is not known: {}",
            self.name,
            self.problems.join("; ")
        ))
        .hint(format!(
            "say which it is first: netbe activate {}/ENV",
            self.name
        ))
        .into())
    }

    /// Refuses a node whose `node.json` cannot be read, for what goes by its properties.
    ///
    /// # Errors
    /// A refusal that says why, with the remedy.
    pub fn refuse_lost(&self) -> Result<()> {
        if !self.lost {
            return Ok(());
        }
        Err(
            Failure::refused(format!("{}: {}", self.name, self.problems.join("; ")))
                .hint(self.how_to_restore())
                .into(),
        )
    }

    /// Returns how a record that is lost comes back.
    pub fn how_to_restore(&self) -> String {
        let pool = self.dir.ancestors().nth(2).unwrap_or(&self.dir);
        format!(
            "restore {} from a backup; or see what the pool says of it: netbe init {} --take-over -n",
            self.state.join(layout::NODE_RECORD).display(),
            pool.display()
        )
    }

    /// Writes its record by the lock of the node, durably, and the copy that another server could take over.
    ///
    /// The copy is believed by nobody, so that it cannot be written is no failure; `check` tells of it.
    pub fn store(&self, lock: &NodeLock, record: &NodeRecord) -> Result<()> {
        lock.ensure_protects(&self.name)?;
        record::write(&self.state.join(layout::NODE_RECORD), record)?;
        let copy = record.without_secrets();
        let _ = record::write_before_sync(&self.dir.join(layout::NODE_RECORD), &copy);
        Ok(())
    }

    /// Returns the address a node is known to have: fixed, or reserved for it by DHCP.
    pub fn address(&self, pool: &Pool) -> Option<Ipv4Addr> {
        self.property(pool, "ip")?.parse::<Ip>().ok()?.address()
    }

    /// Returns a property's value with its inheritance: the node's own, the pool's, the default.
    pub fn property(&self, pool: &Pool, key: &str) -> Option<String> {
        properties::effective(key, Some(&self.record), pool.record()).map(|v| v.value)
    }
}

/// Returns what stands in a node's place and is none, to be told of; `None` where a node does, or nothing.
pub fn stranger(pool: &Pool, name: &NodeName) -> Option<String> {
    let dir = layout::node(pool.root(), name);
    let found = dir.symlink_metadata().ok().filter(|m| !m.is_dir())?;
    let what = match found.file_type() {
        kind if kind.is_symlink() => "a link",
        kind if kind.is_file() => "a file",
        _ => "no directory",
    };
    Some(format!(
        "{} is {what}, and nothing of netbe's",
        dir.display()
    ))
}

/// Leaves out what an interrupted rename of a node left: of the old name and the new, the old.
///
/// The new node came whole, by one rename, and says in its record whose place it takes.
pub fn without_replaced<T>(mut found: Vec<T>, node: impl Fn(&T) -> &Node) -> Vec<T> {
    let replaced: Vec<String> = found
        .iter()
        .filter_map(|one| node(one).record.replaces.clone())
        .collect();
    found.retain(|one| !replaced.iter().any(|r| r == node(one).name.as_str()));
    found
}

fn read_record(state: &Path) -> Result<NodeRecord> {
    let file = state.join(layout::NODE_RECORD);
    match record::read(&file)? {
        Some(text) => NodeRecord::parse(&text),
        None => anyhow::bail!("there is none"),
    }
}

pub(super) fn read_active(dir: &Path) -> io::Result<Option<EnvName>> {
    let link = dir.join(layout::ACTIVE);
    let target = match link.read_link() {
        Ok(target) => target,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) if e.kind() == io::ErrorKind::InvalidInput => {
            return Err(io::Error::other(format!(
                "{} is not a link",
                link.display()
            )));
        }
        Err(e) => return Err(at_path(&e, &link)),
    };
    target
        .to_str()
        .and_then(|t| t.strip_prefix("envs/"))
        .and_then(|name| name.parse().ok())
        .map(Some)
        .ok_or_else(|| {
            io::Error::other(format!(
                "{} leads to {}, which is no environment of this node",
                link.display(),
                target.display()
            ))
        })
}
