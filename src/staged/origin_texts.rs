//! Reads the texts of an environment that are merged by content.
//!
//! Not for merging them. A file that cannot be read, or is no text, is left out: then a difference in it is a conflict.

use anyhow::Result;

use super::StagedEnvironment;
use crate::boot::identity::{self, HOSTNAME, HOSTS};
use crate::boot::normalize;
use crate::fs::rooted::Tree;
use crate::merge::accounts;
use crate::pool::origin_texts::Texts;

/// The file with the mounts of a root half.
const FSTAB: &str = "etc/fstab";

/// The placeholder for the host name in `etc/hosts`: a character that is in no host name.
const NAME: &str = "@";

/// Records the texts in the halves of a stage, before anything is changed in them.
pub fn keep(staged: &StagedEnvironment) -> Result<()> {
    let trees = (Tree::open(&staged.root())?, Tree::open(&staged.boot())?);
    read(&trees.0, &trees.1).store(staged.dir())
}

/// Returns the texts of both halves.
pub fn read(root: &Tree, boot: &Tree) -> Texts {
    let mut texts = Texts::default();
    // A link is not followed: its target may be no file of the system.
    let read = |path: &str| {
        let is_file = root
            .symlink_metadata(path)
            .is_ok_and(|m| m.is_some_and(|m| m.is_file()));
        is_file.then(|| root.read_text(path).ok().flatten())?
    };
    for name in accounts::FILES {
        let path = format!("etc/{name}");
        if let Some(text) = read(&path) {
            Texts::add(&mut texts.root, path, text);
        }
    }
    if let Some(text) = read(FSTAB) {
        Texts::add(&mut texts.root, FSTAB, normalize::split_fstab(&text).rest);
    }
    if let Some(text) = read(HOSTS) {
        let old = read(HOSTNAME).unwrap_or_default();
        let nameless = identity::hosts(Some(&text), Some(old.trim()), NAME);
        Texts::add(&mut texts.root, HOSTS, nameless.unwrap_or(text));
    }
    let lines = normalize::cmdlines(boot).unwrap_or_default();
    let settings = normalize::settings(boot).unwrap_or_default();
    for (path, separated) in lines.into_iter().chain(settings) {
        // A menu is split into its command line and the rest.
        let text = match texts.boot.remove(&path) {
            Some(before) => before + &separated.rest,
            None => separated.rest,
        };
        Texts::add(&mut texts.boot, path, text);
    }
    texts
}
