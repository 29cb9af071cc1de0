//! Whether a root half is files or a disk image, by the property `root` of its node.
//!
//! New environments follow the property; existing ones stay as they are. Works on halves of an unpublished stage.

use std::path::Path;

use anyhow::{Context, Result};

use crate::images::{self, Access, Opened};
use crate::pool::record::{EnvRecord, NodeRecord};
use crate::pool::{Pool, properties};

/// Returns the UUID of the filesystem that the root half of a new environment of a node is an image of; `None` for files.
///
/// A copy of an image is an image with the same UUID.
pub(super) fn wanted(
    pool: &Pool,
    record: &NodeRecord,
    before: &EnvRecord,
) -> Result<Option<String>> {
    let root = properties::effective("root", Some(record), pool.record());
    // A template is files, since all kinds of environments are made from it; so is the server's half of a deployed root.
    if record.template || before.disk.is_some() || root.is_none_or(|root| root.value != "iscsi") {
        return Ok(None);
    }
    match &before.image {
        Some(uuid) => Ok(Some(uuid.clone())),
        None => {
            let path = "/proc/sys/kernel/random/uuid";
            let uuid = std::fs::read_to_string(path).context(path)?;
            Ok(Some(uuid.trim().to_string()))
        }
    }
}

/// Returns the record of a copy of an environment, made for a node.
pub(super) fn becomes(pool: &Pool, record: &NodeRecord, before: &EnvRecord) -> Result<EnvRecord> {
    Ok(EnvRecord {
        image: wanted(pool, record, before)?,
        ..before.clone()
    })
}

/// A root half, opened for reading and editing as files, and the form that it is to get.
#[derive(Debug)]
pub(super) struct RootImage {
    opened: Option<Opened>,
    /// The UUID of an image to make.
    to_fill: Option<String>,
}

impl RootImage {
    /// Shows the files of a root half, which was made with `before`, and is to be an image with the UUID `wanted`.
    pub(super) fn open(root: &Path, before: &EnvRecord, wanted: Option<&String>) -> Result<Self> {
        let mut this = Self {
            opened: None,
            to_fill: None,
        };
        match (&before.image, wanted) {
            (None, wanted) => this.to_fill = wanted.cloned(),
            (Some(_), None) => images::spread(root)
                .with_context(|| format!("making files of the disk image in {}", root.display()))?,
            (Some(_), Some(_)) => this.opened = Some(Opened::over(root, Access::Change)?),
        }
        Ok(this)
    }

    /// Converts the root half into its final form.
    pub(super) fn close(self, root: &Path) -> Result<()> {
        if let Some(opened) = self.opened {
            opened.close()?;
        }
        match &self.to_fill {
            Some(uuid) => images::fill(root, uuid)
                .with_context(|| format!("making a disk image in {}", root.display())),
            None => Ok(()),
        }
    }
}
