//! A node as it is on disk, in any state.
//!
//! A damaged node is no error: `problems` has the damage. Not for changes.

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
    /// Its directory in the state directory, with its record and boot evidence.
    pub state: PathBuf,
    /// The key of its environments' records.
    pub key: Key,
    /// Its record; an empty one if `node.json` cannot be read.
    pub record: NodeRecord,
    /// Whether it is the machine that netbe runs on.
    pub is_this_machine: bool,
    /// Whether `node.json` cannot be read: then its MAC addresses are not known.
    pub lost: bool,
    /// Whether that is so because the system failed to read it: it may be as it should be.
    pub unread_record: bool,
    /// The target of the link `active`; it need not exist.
    pub active: Option<EnvName>,
    /// Whether the link could not be read: it may exist.
    pub unread: bool,
    /// Its problems, a sentence each.
    pub problems: Vec<String>,
}

impl Node {
    /// Returns the node of a name; `None` if the directory does not exist.
    pub fn observe(pool: &Pool, name: &NodeName) -> Option<Self> {
        Self {
            name: name.clone(),
            dir: layout::node(pool.root(), name),
            state: layout::node_state(pool.state(), name),
            key: pool.key().clone(),
            is_this_machine: pool
                .local()
                .is_some_and(|local| local.node == name.as_str()),
            record: NodeRecord::new(false),
            lost: true,
            unread_record: false,
            active: None,
            unread: false,
            problems: Vec::new(),
        }
        .again()
    }

    /// Reads it again; `None` if the directory does not exist.
    pub(super) fn again(self) -> Option<Self> {
        let (dir, state) = (&self.dir, &self.state);
        let mut problems = Vec::new();
        match dir.symlink_metadata() {
            Ok(found) if !found.is_dir() => return None,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return None,
            // It may exist, and machines may run from it.
            Err(e) => problems.push(format!("its directory cannot be read: {e}")),
            Ok(_) => {}
        }
        let (record, lost, unread_record) = match read_record(state) {
            Ok(record) => (record, false, false),
            Err(e) => {
                problems.push(format!("node.json cannot be used: {e:#}"));
                let error = e.downcast_ref::<io::Error>();
                (
                    NodeRecord::new(false),
                    true,
                    error.is_some_and(is_system_error),
                )
            }
        };
        let mut unread = false;
        let active = match read_active(dir) {
            Ok(active) => active,
            Err(e) => {
                unread = is_system_error(&e);
                problems.push(e.to_string());
                None
            }
        };
        Some(Self {
            record,
            lost,
            unread_record,
            active,
            unread,
            problems,
            ..self
        })
    }

    /// Returns the path of the record of a node of that name.
    pub fn record_file(pool: &Pool, name: &NodeName) -> PathBuf {
        layout::node_state(pool.state(), name).join(layout::NODE_RECORD)
    }

    /// Returns whether it is a template.
    pub fn is_template(&self) -> bool {
        self.record.template
    }

    /// Returns whether it is published: a machine can ask for it by MAC or serial.
    pub fn is_offered(&self) -> bool {
        !self.record.template
            && ["mac", "serial"].iter().any(|key| {
                self.record
                    .properties
                    .get(*key)
                    .is_some_and(|v| !v.is_empty())
            })
    }

    /// Returns whether several machines boot its environments at once: each MAC address is one.
    pub fn has_several_machines(&self, pool: &Pool) -> bool {
        properties::has_several_machines(Some(&self.record), pool.record())
    }

    /// Returns whether every machine that no other node names boots it.
    pub fn is_for_any(&self) -> bool {
        !self.is_template() && properties::is_for_any(&self.record)
    }

    /// Refuses a node whose active environment cannot be determined: it may be any of them.
    ///
    /// # Errors
    /// A refusal with the reason and the remedy.
    pub fn refuse_unknown_active(&self) -> Result<()> {
        if self.active.is_some() || !self.problems.iter().any(|p| p.contains(layout::ACTIVE)) {
            return Ok(());
        }
        Err(Failure::refused(format!(
            "the next boot of {} is not known: {}",
            self.name,
            self.problems.join("; ")
        ))
        .hint(self.how_to_activate(None))
        .into())
    }

    /// Refuses a node whose `node.json` cannot be read, since its properties are not known.
    ///
    /// # Errors
    /// A refusal with the reason and the remedy.
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

    /// Returns the command that restores a lost record, from the pool's copy or from what else is known of the node.
    pub fn how_to_restore(&self) -> String {
        let file = self.state.join(layout::NODE_RECORD);
        let pool = self.dir.ancestors().nth(2).unwrap_or(&self.dir).display();
        match is_replaceable(&file) {
            // Without --yes it shows the settings and asks.
            Ok(true) => format!("netbe init {pool} --take-over"),
            Ok(false) => "netbe --version".to_string(),
            Err(_) => format!("ls -ld {}", file.display()),
        }
    }

    /// Writes its record, durably, and the copy for a takeover.
    ///
    /// No netbe trusts the copy, so a failure to write it is ignored; `check` reports an old copy.
    pub fn store(&self, lock: &NodeLock, record: &NodeRecord) -> Result<()> {
        lock.ensure_protects(&self.name)?;
        record::write(&self.state.join(layout::NODE_RECORD), record)?;
        let copy = record.without_secrets();
        let _ = record::write_before_sync(&self.dir.join(layout::NODE_RECORD), &copy);
        Ok(())
    }

    /// Returns the node's address if it is known: static, or reserved by DHCP.
    pub fn address(&self, pool: &Pool) -> Option<Ipv4Addr> {
        self.property(pool, "ip")?.parse::<Ip>().ok()?.address()
    }

    /// Returns the effective value of a property: the node's, else the pool's.
    pub fn property(&self, pool: &Pool, key: &str) -> Option<String> {
        properties::effective(key, Some(&self.record), pool.record()).map(|v| v.value)
    }
}

/// Returns whether nothing is lost with the record at a path: there is none, or no netbe can read it.
///
/// # Errors
/// When it cannot be read.
pub fn is_replaceable(file: &Path) -> Result<bool> {
    let text = record::read(file)?;
    Ok(text.is_none_or(|text| NodeRecord::parse(&text).is_err() && !record::is_newer(&text)))
}

/// Returns the problem of a file or link in a node's place; `None` for a directory or nothing.
pub fn not_a_directory(pool: &Pool, name: &NodeName) -> Option<String> {
    let dir = layout::node(pool.root(), name);
    let found = dir.symlink_metadata().ok().filter(|m| !m.is_dir())?;
    let what = match found.file_type() {
        kind if kind.is_symlink() => "a link",
        kind if kind.is_file() => "a file",
        _ => "no directory",
    };
    Some(format!(
        "{} is {what}, which was not made by netbe",
        dir.display()
    ))
}

/// Omits the leftover of an interrupted rename of a node: the old one.
///
/// The new node is published complete, by one rename, and its record names the old one.
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
        None => anyhow::bail!("it does not exist"),
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
                "{} leads to {}, which is not an environment of this node",
                link.display(),
                target.display()
            ))
        })
}
