//! The common state of two environments when they parted, and which changes of FROM since then count.
//!
//! By transactions if both come from one subvolume. Else by an environment, older or of another node, that FROM comes from:
//! where TO differs from that, TO changed. Reads only.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::find::Since;
use crate::btrfs::compare::{How, OfFirst, Point};
use crate::btrfs::subvolume::{self, Info};
use crate::failure::Failure;
use crate::fs::rooted::Tree;
use crate::lifecycle::diff::origin_of;
use crate::lifecycle::parting::{Known, Parting, since_merge};
use crate::packages::{chosen, installed};
use crate::pool::origin_texts::Texts;
use crate::pool::{Environment, Pool, kept_bases, layout};
use crate::staged::origin_texts;

/// The common state of two environments.
#[derive(Debug)]
pub(super) struct Base {
    /// Which changes of FROM count, for each half.
    pub(super) since: [Since; 2],
    /// The texts of the files that are merged by content, if known.
    pub(super) texts: Option<Texts>,
    /// The names of the packages, if they are known.
    pub(super) packages: Option<BTreeSet<String>>,
}

impl Base {
    /// Finds the common state.
    ///
    /// # Errors
    /// A refusal if no common ancestor exists any more.
    pub(super) fn find(pool: &Pool, from: &Environment, to: &Environment) -> Result<Self> {
        let mut known = Known::new(pool);
        let halves = [(from.root(), to.root()), (from.boot(), to.boot())];
        let mut partings = Vec::new();
        for (from, to) in &halves {
            partings.push(known.parting(subvolume::info(from)?, subvolume::info(to)?)?);
        }
        let (Some(of_root), Some(of_boot)) = (partings[0], partings[1]) else {
            return Self::by_environment(pool, &mut known, from, to);
        };
        let mut since = Vec::new();
        for ((_, to_half), parting) in halves.iter().zip([of_root, of_boot]) {
            let of_first = since_merge(from, to, Some(parting.point));
            let of_first = match of_first {
                Some(of_first) => of_first,
                None => {
                    let after = after(parting, from, subvolume::info(to_half)?);
                    of_first_since(after, parting.point)
                }
            };
            since.push(Since::Parting(How::SinceInFirst(of_first)));
        }
        let [root, boot]: [Since; 2] = since
            .try_into()
            .map_err(|_| anyhow::anyhow!("an environment has two halves"))?;
        Ok(Self {
            since: [root, boot],
            texts: texts_of(pool, to, of_root),
            packages: packages_of(pool, from, to, of_root),
        })
    }

    /// Uses an environment that FROM comes from as the common state of both systems.
    fn by_environment(
        pool: &Pool,
        known: &mut Known<'_>,
        from: &Environment,
        to: &Environment,
    ) -> Result<Self> {
        let record = from.record.as_ref();
        let line = record
            .into_iter()
            .flat_map(|r| r.origin.iter().chain(&r.lineage));
        let mut found = None;
        for origin in line {
            let (dir, node) = match origin_of(pool, origin)? {
                Some(env) => (env.dir, env.node.to_string()),
                None => match kept_bases::find(pool, &origin.uuid) {
                    Some(dir) => (dir, origin.node.clone()),
                    None => continue,
                },
            };
            found = Some(dir);
            // A node's own environments contain the node's changes, so only one of another node can be the base.
            if node != from.node.as_str() {
                break;
            }
        }
        let unrelated = || {
            Failure::refused(format!(
                "{from} and {to} have no common origin, and what {from} was made from does not exist any more: \
                 what it changed since is not known"
            ))
            .hint(format!("netbe diff --files {to} {from}"))
        };
        let base = found.ok_or_else(unrelated)?;
        let (base_root, base_boot) = (base.join(layout::ROOT), base.join(layout::BOOT));
        let mut since = |from: &Path, half: PathBuf| -> Result<Since> {
            let parted = known
                .parted(subvolume::info(from)?, subvolume::info(&half)?)?
                .ok_or_else(unrelated)?;
            Ok(Since::Base(
                How::SinceInFirst(of_first_since(parted, parted)),
                half,
            ))
        };
        let root = Tree::open(&base_root)?;
        Ok(Self {
            since: [
                since(&from.root(), base_root.clone())?,
                since(&from.boot(), base_boot.clone())?,
            ],
            texts: Some(origin_texts::read(&root, &Tree::open(&base_boot)?)),
            packages: installed(&root).ok().map(|found| chosen::names(&found)),
        })
    }
}

fn of_first_since(after: Point, parted: Point) -> OfFirst {
    OfFirst {
        after,
        parted: Some(parted),
        second_alone: None,
        is_bounded: false,
    }
}

/// Returns the point after which FROM's changes count.
///
/// If FROM was made from TO, as by an upgrade, a return to TO is meant to undo that: then only changes since FROM was first
/// led to count, which its node could write.
fn after(parting: Parting, from: &Environment, to: Info) -> Point {
    let led = from.record.as_ref().and_then(|record| record.first_led);
    match led {
        Some(led) if parting.ancestor == to.uuid && led > parting.point.transaction => Point {
            transaction: led,
            at: None,
        },
        _ => parting.point,
    }
}

/// Returns the environment of a root subvolume.
fn environment_of(pool: &Pool, root: subvolume::Uuid) -> Option<Environment> {
    let nodes = pool.nodes().ok()?;
    nodes
        .into_iter()
        .flat_map(|node| node.environments().unwrap_or_default())
        .find(|env| is_root_of(env, root))
}

/// Returns the texts of the environment that was made by the snapshot at which they parted.
fn texts_of(pool: &Pool, to: &Environment, parting: Parting) -> Option<Texts> {
    // TO may still be in its stage, without a name.
    match is_root_of(to, parting.snapshot) {
        true => Texts::read(&to.dir),
        false => Texts::read(&environment_of(pool, parting.snapshot)?.dir),
    }
}

/// Returns whether a subvolume is the root half of an environment.
fn is_root_of(env: &Environment, root: subvolume::Uuid) -> bool {
    subvolume::info(&env.root()).is_ok_and(|info| info.uuid == root)
}

/// Returns the names of the packages that both had.
fn packages_of(
    pool: &Pool,
    from: &Environment,
    to: &Environment,
    parting: Parting,
) -> Option<BTreeSet<String>> {
    let names = |env: &Environment| {
        let root = Tree::open(&env.root()).ok()?;
        installed(&root).ok().map(|found| chosen::names(&found))
    };
    // The packages of TO before its upgrade, or when it was made.
    if is_root_of(to, parting.snapshot) {
        let mut found = names(to)?;
        if let Some(changes) = to
            .record
            .as_ref()
            .and_then(|record| record.upgrade.as_ref())
        {
            for (name, _) in &changes.added {
                found.remove(name);
            }
            found.extend(changes.removed.iter().map(|(name, _)| name.clone()));
        }
        return Some(found);
    }
    let ancestor = environment_of(pool, parting.ancestor)?;
    // A node changes the packages of its own.
    (ancestor.node != from.node || ancestor.name == to.name)
        .then(|| names(&ancestor))
        .flatten()
}
