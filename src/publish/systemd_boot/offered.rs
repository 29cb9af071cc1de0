//! The environments to offer to systemd-boot, those offered now, and those that fit on the partition.
//!
//! Reads only.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::FILES;
use super::files::{Digests, File, NEW};
use crate::boot::loader_spec::{self as spec, ENTRIES, LOADER_CONF, OwnBoot};
use crate::failure::Failure;
use crate::fs::free_space::Sizes;
use crate::fs::rooted::Tree;
use crate::pool::Environment;
use crate::pool::record::Local;
use crate::terminal::bytes;

/// The space that is left free on the partition for the machine's own kernels, in bytes.
const LEFT: u64 = 8 << 20;

/// An environment, as it is offered to the loader.
pub(super) struct Offered {
    env: String,
    pub(super) id: String,
    pub(super) entry: String,
    pub(super) files: Vec<File>,
    /// Whether it is required.
    pub(super) is_needed: bool,
}

/// netbe's files on the partition.
pub(super) struct There {
    /// Names and lengths in bytes.
    pub(super) files: BTreeMap<String, u64>,
    pub(super) entries: BTreeMap<String, String>,
    pub(super) conf: Option<String>,
    /// The free space, in bytes.
    pub(super) free: u64,
}

/// Returns an environment as it is offered; `None` if it has no kernel to boot.
pub(super) fn offer(
    local: &Local,
    env: &Environment,
    is_needed: bool,
    digests: &mut Digests,
) -> Result<Option<Offered>> {
    let boot = Tree::open(&env.boot())?;
    let Some(boots) = OwnBoot::of(&boot).with_context(|| format!("reading what {env} boots"))?
    else {
        return Ok(None);
    };
    let mut files = Vec::new();
    for path in boots.files() {
        files.push(
            digests
                .file(&boot, path)
                .with_context(|| format!("{env}: {path}"))?,
        );
    }
    let number = env.record.as_ref().and_then(|record| record.number);
    let kernel = env.kernel().unwrap_or_else(|| "no kernel".to_string());
    let title = format!(
        "{}: {} ({kernel}, {:.0})",
        local.node,
        env.name,
        env.created()
    );
    let place = |path: &str| {
        let file = files.iter().find(|file| file.path == path);
        format!("{FILES}/{}", file.map_or(path, |file| file.name.as_str()))
    };
    Ok(Some(Offered {
        env: env.to_string(),
        id: spec::id(&local.node, env.name.as_str()),
        entry: spec::entry(&title, number.unwrap_or(0), &boots, place),
        files,
        is_needed,
    }))
}

impl There {
    pub(super) fn look(tree: &Tree) -> Result<Self> {
        let mut files = BTreeMap::new();
        for name in tree.names(FILES)? {
            let found = tree.symlink_metadata(&format!("{FILES}/{name}"))?;
            files.insert(name, found.map_or(0, |found| found.len()));
        }
        let mut entries = BTreeMap::new();
        for id in tree
            .names(ENTRIES)?
            .into_iter()
            // The leftover of a killed netbe is never wanted.
            .filter(|id| spec::is_own(id.trim_end_matches(NEW)))
        {
            let text = tree.read_text(&format!("{ENTRIES}/{id}"))?;
            entries.insert(id, text.unwrap_or_default());
        }
        let top = tree.open_at("", OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?;
        Ok(Self {
            files,
            entries,
            conf: tree.read_text(LOADER_CONF)?,
            free: Sizes::of(&top)?.free,
        })
    }

    pub(super) fn has_our_default(&self) -> bool {
        self.conf.as_deref().and_then(spec::own_default).is_some()
    }

    pub(super) fn has(&self, file: &File) -> bool {
        self.files.get(&file.name) == Some(&file.length)
    }

    /// Returns the environments that fit: the required ones, and as many of the others as there is space for.
    ///
    /// # Errors
    /// A refusal if the required ones do not fit.
    pub(super) fn fitting(&self, offered: Vec<Offered>) -> Result<Vec<Offered>> {
        let room = self.free + self.files.values().sum::<u64>();
        let mut taken: BTreeMap<String, u64> = BTreeMap::new();
        let mut chosen = Vec::new();
        for one in offered {
            let mut with = taken.clone();
            with.extend(
                one.files
                    .iter()
                    .map(|file| (file.name.clone(), file.length)),
            );
            let needs: u64 = with.values().sum();
            let is_new = with.len() > taken.len();
            if is_new && needs + LEFT > room && !one.is_needed {
                continue;
            }
            if needs > room {
                return Err(Failure::refused(format!(
                    "the EFI system partition has no room for the kernel of {}: with those that have to stay it takes {}, and \
                     {} are free for them",
                    one.env,
                    bytes(needs),
                    bytes(room)
                ))
                .hint("bootctl list")
                .into());
            }
            taken = with;
            chosen.push(one);
        }
        Ok(chosen)
    }
}
