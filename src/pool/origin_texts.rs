//! `origin-texts.json`: the origin's texts, as of when an environment was made from it, of files that are merged by content.
//!
//! Transactions show which files were changed, but not which accounts, nor whether an fstab was changed in more than netbe's
//! own line. For that a merge needs the common state, which a running origin no longer has. Not part of the halves: a node can
//! neither read nor write it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::layout;
use super::record_file;
use crate::fs::atomic::{self, Durable};
use crate::fs::path_error::if_exists;

/// The longest text that is kept, in bytes; all together are as long as a record may be.
pub const TEXT_MAX: usize = 256 << 10;

/// Texts of both halves, by path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Texts {
    /// Of the root half: the files of accounts as they are, `etc/hosts`, and `etc/fstab` without netbe's line.
    #[serde(default)]
    pub root: BTreeMap<String, String>,
    /// Of the boot half: command lines and settings of the loader, without names of environments.
    #[serde(default)]
    pub boot: BTreeMap<String, String>,
}

impl Texts {
    /// Adds a text, unless it is too long.
    pub fn add(texts: &mut BTreeMap<String, String>, path: impl Into<String>, text: String) {
        if text.len() <= TEXT_MAX {
            texts.insert(path.into(), text);
        }
    }

    /// Reads the texts in an environment's directory; `None` if there are none, or they cannot be read.
    pub fn read(dir: &Path) -> Option<Self> {
        let text = record_file::read(&dir.join(layout::ORIGIN_TEXTS)).ok()??;
        serde_json::from_str(&text).ok()
    }

    /// Writes them into the directory of a stage.
    pub fn store(&self, dir: &Path) -> Result<()> {
        let file = dir.join(layout::ORIGIN_TEXTS);
        let text = serde_json::to_vec(self)?;
        Ok(atomic::private(&file, &text, Durable::WithNextSync)?)
    }
}

/// Copies the texts, if there are any, of an environment that is being renamed to its stage.
pub fn carry(from: &Path, to: &Path) -> io::Result<()> {
    let file = |dir: &Path| dir.join(layout::ORIGIN_TEXTS);
    if_exists(std::fs::hard_link(file(from), file(to))).map(drop)
}
