//! The boot settings of two environments: command line, loader configuration, fstab; as texts.
//!
//! Each text without the environment's identity, which is separate.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::files::FSTAB;
use crate::boot::normalize::{self, Separated};
use crate::fs::rooted::Tree;
use crate::pool::Environment;

/// A text of both, or of one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The file, by the path the node sees.
    pub path: PathBuf,
    /// The part of the file.
    pub part: Part,
    /// The text in the first; `None` if it is missing.
    pub before: Option<Separated>,
    /// The text in the second.
    pub after: Option<Separated>,
}

/// The part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The kernel command line, one argument on each line.
    Cmdline,
    /// All but the command line.
    File,
}

impl Text {
    /// Returns whether it differs in more than the identity.
    pub fn differs(&self) -> bool {
        let rest = |side: &Option<Separated>| side.as_ref().map(|p| p.rest.clone());
        rest(&self.before) != rest(&self.after)
    }

    /// Returns the identities, if they differ.
    pub fn identity(&self) -> Option<(&[String], &[String])> {
        let specific =
            |side| -> &[String] { Option::as_ref(side).map_or(&[], |p: &Separated| &p.specific) };
        let (before, after) = (specific(&self.before), specific(&self.after));
        (before != after).then_some((before, after))
    }
}

/// Compares the boot settings of two environments.
pub(super) fn between(from: &Environment, to: &Environment) -> Result<Vec<Text>> {
    let (before, after) = (texts(from)?, texts(to)?);
    let keys: BTreeSet<_> = before
        .iter()
        .chain(&after)
        .map(|t| (t.part, &t.path))
        .collect();
    let find = |all: &[One], part: Part, path: &Path| -> Option<One> {
        let found = all.iter().find(|t| t.part == part && t.path == path);
        found.cloned()
    };
    let mut found = Vec::new();
    for (part, path) in keys {
        let (before, after) = (find(&before, part, path), find(&after, part, path));
        found.push(Text {
            path: path.clone(),
            part,
            before: before.map(|t| t.text),
            after: after.map(|t| t.text),
        });
    }
    Ok(found)
}

#[derive(Debug, Clone)]
struct One {
    path: PathBuf,
    part: Part,
    text: Separated,
}

fn texts(env: &Environment) -> Result<Vec<One>> {
    let what = || format!("reading the boot settings of {env}");
    let place = Path::new("/").join(env.boot_mount());
    let boot = Tree::open(&env.boot()).with_context(what)?;
    let one = |part: Part| {
        let place = place.clone();
        move |(file, text): (String, Separated)| One {
            path: place.join(file),
            part,
            text,
        }
    };
    let mut all: Vec<One> = normalize::cmdlines(&boot)
        .with_context(what)?
        .into_iter()
        .map(one(Part::Cmdline))
        .collect();
    let settings = normalize::settings(&boot).with_context(what)?;
    all.extend(settings.into_iter().map(one(Part::File)));
    let root = Tree::open(&env.root()).with_context(what)?;
    if let Some(text) = root.read_text(FSTAB).with_context(what)? {
        all.push(One {
            path: Path::new("/").join(FSTAB),
            part: Part::File,
            text: normalize::split_fstab(&text),
        });
    }
    Ok(all)
}
