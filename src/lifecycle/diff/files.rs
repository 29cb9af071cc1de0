//! Which files of two environments differ.
//!
//! Two environments that were one once are compared by what either has written since; of others everything is looked
//! at. What is a machine's or an environment's own by nature is marked.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::boot::fstab::OWN_OPTION;
use crate::boot::identity::{HOSTNAME, HOSTS};
use crate::boot::{normalize, report};
use crate::btrfs::compare::{self, Aspect, Change, How};
use crate::btrfs::subvolume::{self, Info, Uuid};
use crate::fs::rooted::Tree;
use crate::pool::{Environment, Pool};

/// The file of the root half that says what is mounted.
pub(super) const FSTAB: &str = "etc/fstab";

/// How the files differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// What differs, as sorted as the paths the node sees.
    pub changes: Vec<Changed>,
    /// What could not be read for want of permission, by the paths the node sees.
    pub unread: Vec<PathBuf>,
}

/// One file that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Its path as the node sees it.
    pub path: PathBuf,
    /// Whether it is in the boot half.
    pub in_boot: bool,
    /// How it differs.
    pub change: Change,
    /// Whether that is so by nature: it says which machine, or which environment, this is.
    pub identity: bool,
}

/// Compares all files of two environments.
pub(super) fn between(pool: &Pool, from: &Environment, to: &Environment) -> Result<Files> {
    let mut files = Files::default();
    // What waits in memory is in no tree yet.
    subvolume::sync(pool.root())?;
    let mut known = Known::default();
    let halves = [
        (from.root(), to.root(), false, PathBuf::from("/")),
        (
            from.boot(),
            to.boot(),
            true,
            Path::new("/").join(to.boot_mount()),
        ),
    ];
    for (before, after, in_boot, place) in halves {
        let how = known.how(pool, &before, &after)?;
        let what = || format!("comparing the files of {from} and {to}");
        let compared = match compare::between(&before, &after, how) {
            // Root, but not over this filesystem: in a container.
            Err(e) if e.kind() == ErrorKind::PermissionDenied => {
                compare::between(&before, &after, How::Files)
            }
            compared => compared,
        };
        let compared = compared.with_context(what)?;
        let judge = Judge::new(from, to, &before, &after, in_boot)?;
        for change in compared.changes {
            files.changes.push(Changed {
                path: place.join(&change.path),
                in_boot,
                identity: judge.is_identity(&change),
                change,
            });
        }
        let unread = compared.unread.iter();
        files.unread.extend(unread.map(|path| place.join(path)));
    }
    files.changes.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// What the kernel says of the pool's subvolumes, read when it is needed.
#[derive(Debug, Default)]
struct Known(Option<HashMap<Uuid, Info>>);

impl Known {
    /// Returns how much of two subvolumes has to be looked at.
    fn how(&mut self, pool: &Pool, before: &Path, after: &Path) -> Result<How> {
        if !is_privileged() {
            return Ok(How::Files);
        }
        // What is wrong with them is said by who looks into them.
        let (Ok(before), Ok(after)) = (subvolume::info(before), subvolume::info(after)) else {
            return Ok(How::Files);
        };
        let (one, other) = (self.line(pool, before)?, self.line(pool, after)?);
        // The first that both come from; each was one with it until the transaction beside it.
        let shared = one.iter().find_map(|(uuid, until)| {
            let (_, also) = other.iter().find(|(u, _)| u == uuid)?;
            Some(*until.min(also))
        });
        Ok(shared.map_or(How::All, How::Since))
    }

    /// Returns what a subvolume comes from, itself first, and until which transaction they were one.
    fn line(&mut self, pool: &Pool, info: Info) -> Result<Vec<(Uuid, u64)>> {
        let mut line = vec![(info.uuid, u64::MAX)];
        let mut at = Some(info);
        let mut until = u64::MAX;
        while let Some(info) = at {
            let Some(parent) = info.parent_uuid else {
                break;
            };
            // No sound filesystem has a circle.
            if line.iter().any(|(uuid, _)| *uuid == parent) {
                break;
            }
            until = until.min(info.made);
            line.push((parent, until));
            at = self.all(pool)?.get(&parent).copied();
        }
        Ok(line)
    }

    fn all(&mut self, pool: &Pool) -> Result<&HashMap<Uuid, Info>> {
        if self.0.is_none() {
            let mut all = HashMap::new();
            for node in pool.nodes()? {
                for env in node.environments().unwrap_or_default() {
                    // One that is damaged, or gone meanwhile, only makes more to look at.
                    for info in [env.root(), env.boot()]
                        .iter()
                        .flat_map(|h| subvolume::info(h))
                    {
                        all.insert(info.uuid, info);
                    }
                }
            }
            self.0 = Some(all);
        }
        Ok(self.0.get_or_insert_with(HashMap::new))
    }
}

/// Returns whether this process may search the trees.
fn is_privileged() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Tells identity from difference.
struct Judge {
    trees: [Tree; 2],
    in_boot: bool,
    /// Whether they are of two nodes.
    two_nodes: bool,
    /// Files of the boot half that hold nothing but what is told elsewhere, and their environment's own.
    same_texts: Vec<String>,
}

impl Judge {
    fn new(
        from: &Environment,
        to: &Environment,
        before: &Path,
        after: &Path,
        in_boot: bool,
    ) -> Result<Self> {
        let trees = [Tree::open(before)?, Tree::open(after)?];
        let mut same_texts = Vec::new();
        if in_boot {
            // What cannot be read is a difference, and told as one.
            let texts = |tree| {
                let mut all = normalize::settings(tree).unwrap_or_default();
                all.extend(normalize::cmdlines(tree).unwrap_or_default());
                all
            };
            let (old, new) = (texts(&trees[0]), texts(&trees[1]));
            let rest = |all: &[(String, normalize::Separated)], file: &str| -> Vec<String> {
                let these = all.iter().filter(|(name, _)| name == file);
                these.map(|(_, parted)| parted.rest.clone()).collect()
            };
            let files = new.iter().map(|(file, _)| file.clone());
            same_texts = files.filter(|f| rest(&old, f) == rest(&new, f)).collect();
        }
        Ok(Self {
            trees,
            in_boot,
            two_nodes: from.node != to.node,
            same_texts,
        })
    }

    fn is_identity(&self, change: &Change) -> bool {
        let Some(path) = change.path.to_str() else {
            return false;
        };
        let only_content = change.aspects == [Aspect::Content];
        if self.in_boot {
            return (self.two_nodes && normalize::is_identity_in_boot(path))
                || (only_content && self.same_texts.iter().any(|text| text == path));
        }
        match path {
            FSTAB => {
                only_content
                    && self.same(FSTAB, |old, new| {
                        // Without netbe's line one of them is not what it made.
                        let is_made = |text: &str| text.contains(OWN_OPTION);
                        is_made(old)
                            && is_made(new)
                            && normalize::split_fstab(old).rest == normalize::split_fstab(new).rest
                    })
            }
            HOSTS => self.two_nodes && only_content && self.same_hosts(),
            report::FILE => true,
            _ => self.two_nodes && normalize::is_identity(path),
        }
    }

    fn same(&self, path: &str, same: impl Fn(&str, &str) -> bool) -> bool {
        let read = |tree: &Tree| tree.read_text(path).ok().flatten();
        match (read(&self.trees[0]), read(&self.trees[1])) {
            (Some(old), Some(new)) => same(&old, &new),
            _ => false,
        }
    }

    fn same_hosts(&self) -> bool {
        let name = |tree: &Tree| tree.read_text(HOSTNAME).ok().flatten().unwrap_or_default();
        let (old, new) = (name(&self.trees[0]), name(&self.trees[1]));
        self.same(HOSTS, |before, after| {
            normalize::same_hosts(before, &old, after, &new)
        })
    }
}
