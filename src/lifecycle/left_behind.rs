//! Finds what a node wrote in the environment it runs and its next environment does not have.
//!
//! A new environment has the files of the time when it was made; what the node writes until it reboots stays in the one it
//! runs. It is found by transactions, in time proportional to what was written. Files that are equal in both do not count,
//! nor do the data of the node, caches, logs, temporary files and what every boot writes. Changes nothing. Not for copying the files.

pub mod places;
mod words;

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result};
use serde::Serialize;

use self::places::{is_passing, place_of};
use super::Held;
use super::diff::files::Judge;
use super::parting::{self, Known, point_of};
use super::plan::Plan;
use super::unread::refuse_unread;
use crate::btrfs::compare::{self, Change, How, Kind, OfFirst, Point};
use crate::btrfs::subvolume;
use crate::evidence::Evidence;
use crate::pool::{EnvId, Environment, Node, Pool};

/// Files that a node wrote in one environment, and another does not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftBehind {
    /// The environment it was written in.
    pub wrote_in: EnvId,
    /// The environment that does not have it.
    pub missing_in: EnvId,
    /// The time since which they were written.
    pub since: Since,
    /// The number of files and links that were written or removed, and of directories that were changed.
    pub files: u64,
    /// Their size, in bytes.
    pub bytes: u64,
    /// Whether there may be more, beyond the maximum that is read.
    pub more: bool,
    /// The places, the largest first.
    pub places: Vec<Place>,
}

/// The time since which changes count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Since {
    /// Since the other environment was made from this one.
    OtherMade,
    /// Since the node's names first led to this environment.
    FirstLed,
    /// Since both were one and the same; without a common ancestor, since this environment was made.
    Made,
    /// Since this environment was merged into the other one.
    Merged,
}

/// A directory, or a file, with what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Its path, as the node sees it; bytes that are no text are replaced, since the node chose the name.
    pub path: String,
    /// The number of files.
    pub files: u64,
    /// Their size, in bytes.
    pub bytes: u64,
}

/// Whether dirty data is written first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// Now: it is written first.
    Now,
    /// The filesystem's last commit, at most half a minute ago.
    LastCommit,
}

/// Adds what a node would leave behind to a plan that activates another environment.
///
/// A failure to determine it is a warning: the plan is carried out.
pub(super) fn plan(plan: &mut Plan<'_, Held<'_>>, pool: &Pool, node: &Node, next: &Environment) {
    for sentence in of_images(node, next) {
        plan.steps(Vec::new(), move |held| {
            held.warnings.push(sentence);
            Ok(())
        });
    }
    match by_booting(pool, node, next, AsOf::Now) {
        Ok(found) => {
            for one in found {
                let step = format!(
                    "leave {} in {} that {} wrote there {}: {}",
                    one.amount(),
                    one.wrote_in,
                    node.name,
                    one.since_when(),
                    one.named()
                );
                plan.step(step, move |held| {
                    held.warnings.push(one.sentence());
                    Ok(())
                });
            }
        }
        Err(e) => plan.steps(Vec::new(), move |held| {
            held.warnings.push(not_known(&e));
            Ok(())
        }),
    }
}

/// Returns the warnings about what a node would leave behind by booting an environment next.
pub(super) fn warnings(pool: &Pool, node: &Node, next: &Environment) -> Vec<String> {
    let mut warnings = of_images(node, next);
    match by_booting(pool, node, next, AsOf::Now) {
        Ok(found) => warnings.extend(found.iter().map(LeftBehind::sentence)),
        Err(e) => warnings.push(not_known(&e)),
    }
    warnings
}

/// Returns a sentence for each disk image that a node runs, or may be running, and would leave behind.
fn of_images(node: &Node, next: &Environment) -> Vec<String> {
    let evidence = Evidence::recent(node);
    let Ok(envs) = node.environments() else {
        return Vec::new();
    };
    let runs = |env: &&Environment| env.name != next.name && evidence.booted(env) != Some(false);
    let name = &node.name;
    envs.iter()
        .filter(|env| env.is_image() && !node.is_template())
        .filter(runs)
        .map(|env| {
            format!(
                "{env} is a disk image: what {name} writes there after {next} was made stays behind, and is not looked for"
            )
        })
        .collect()
}

fn not_known(error: &Error) -> String {
    format!("what is left behind is not known: {error:#}")
}

/// Returns what a node would leave behind by booting an environment next, in each other environment that it runs or may
/// be running.
///
/// # Errors
/// If a tree cannot be read, or must not be, as by the root user of a container.
pub fn by_booting(
    pool: &Pool,
    node: &Node,
    next: &Environment,
    as_of: AsOf,
) -> Result<Vec<LeftBehind>> {
    if node.is_template() {
        return Ok(Vec::new());
    }
    let evidence = Evidence::recent(node);
    let envs = node.environments()?;
    let runs = |env: &&Environment| env.name != next.name && evidence.booted(env) != Some(false);
    let mut found = Vec::new();
    let mut known = Known::new(pool);
    for env in envs.iter().filter(runs) {
        found.extend(between(&mut known, node, [env, next], as_of)?);
    }
    Ok(found)
}

fn is_missing(error: &Error) -> bool {
    let mut causes = error.chain().filter_map(|e| e.downcast_ref::<io::Error>());
    causes.any(|e| e.kind() == io::ErrorKind::NotFound)
}

fn is_gone(env: &Environment) -> bool {
    [env.root(), env.boot()]
        .iter()
        .any(|half| half.symlink_metadata().is_err())
}

/// Returns what was written in one environment by its node, and is not in another; nothing of one that is destroyed or
/// renamed while it is read.
///
/// # Errors
/// If a tree cannot be read.
pub(super) fn between(
    known: &mut Known<'_>,
    node: &Node,
    both: [&Environment; 2],
    as_of: AsOf,
) -> Result<Option<LeftBehind>> {
    match between_known(known, node, both, as_of) {
        // Renamed or destroyed since it was listed: reading takes no lock.
        Err(_) if both.iter().any(|env| is_gone(env)) => Ok(None),
        // A common ancestor was read, and was destroyed meanwhile.
        Err(e) if as_of == AsOf::LastCommit && is_missing(&e) => Ok(None),
        left => left,
    }
}

fn between_known(
    known: &mut Known<'_>,
    node: &Node,
    [wrote_in, missing_in]: [&Environment; 2],
    as_of: AsOf,
) -> Result<Option<LeftBehind>> {
    if as_of == AsOf::Now {
        subvolume::sync(&wrote_in.root())?;
    }
    let what = || format!("looking what {} wrote in {wrote_in}", wrote_in.node);
    // The data of the node is the same in both.
    let data = &node.record.data;
    let mut since = Since::OtherMade;
    let mut changes = Vec::new();
    let mut more = false;
    let halves = [
        (wrote_in.root(), missing_in.root(), "/", false),
        (
            wrote_in.boot(),
            missing_in.boot(),
            wrote_in.boot_mount(),
            true,
        ),
    ];
    let are_files = ![wrote_in, missing_in].iter().any(|env| env.is_image());
    for (old, new, place, in_boot) in halves {
        // The files of disk images are not compared: `plan` and `warnings` report that.
        if !in_boot && !are_files {
            continue;
        }
        let (how, of_half) =
            since_when(known, [wrote_in, missing_in], &old, &new).with_context(what)?;
        if !in_boot {
            since = of_half;
        }
        let compared = compare::between(&old, &new, how).with_context(what)?;
        refuse_unread(&compared.unread).with_context(what)?;
        more |= compared.more;
        let judge = Judge::new(wrote_in, missing_in, &old, &new, in_boot).with_context(what)?;
        let is_data = |path: &Path| !in_boot && data.is_mounted(path);
        let counts = |change: &&Change| {
            let is_own = !judge.is_identity(change) && !is_data(&change.path);
            is_own && (in_boot || !is_passing(&change.path))
        };
        let place = Path::new("/").join(place);
        let counted = compared.changes.iter().filter(counts).filter_map(sized);
        changes.extend(counted.map(|(path, size)| (place.join(path), size)));
    }
    Ok(summed(wrote_in, missing_in, since, &changes, more))
}

/// Returns from which transaction on changes in the first environment count.
fn since_when(
    known: &mut Known<'_>,
    [wrote_in, missing_in]: [&Environment; 2],
    old: &Path,
    new: &Path,
) -> Result<(How, Since)> {
    let (old, new) = (subvolume::info(old)?, subvolume::info(new)?);
    let parted = known.parted(old, new)?;
    if let Some(of_first) = parting::since_merge(wrote_in, missing_in, parted) {
        let bounded = OfFirst {
            is_bounded: true,
            ..of_first
        };
        return Ok((How::SinceInFirst(bounded), Since::Merged));
    }
    let led = wrote_in.record.as_ref().and_then(|r| r.first_led);
    let led = led.map(|transaction| Point {
        transaction,
        at: None,
    });
    let is_later = |led: Point| parted.is_none_or(|p| led.transaction > p.transaction);
    let (after, since) = match (parted, led) {
        (Some(parted), _) if new.parent_uuid == Some(old.uuid) => (parted, Since::OtherMade),
        (_, Some(led)) if is_later(led) => (led, Since::FirstLed),
        (Some(parted), _) => (parted, Since::Made),
        (None, _) => (point_of(old), Since::Made),
    };
    let of_first = OfFirst {
        after,
        parted,
        second_alone: None,
        is_bounded: true,
    };
    Ok((How::SinceInFirst(of_first), since))
}

/// Returns the path of a change that counts, with the file's size in bytes: a directory that was made or removed does not
/// count, only the files in it.
fn sized(change: &Change) -> Option<(&Path, u64)> {
    let node = change.before.as_ref().or(change.after.as_ref())?;
    let size = change.before.as_ref().map_or(0, |node| node.size);
    let counts = node.kind != Kind::Directory || !change.aspects.is_empty();
    counts.then_some((change.path.as_path(), size))
}

pub(super) fn summed(
    wrote_in: &Environment,
    missing_in: &Environment,
    since: Since,
    changes: &[(PathBuf, u64)],
    more: bool,
) -> Option<LeftBehind> {
    let mut places: Vec<Place> = Vec::new();
    for (path, size) in changes {
        let path = place_of(path).to_string_lossy().into_owned();
        match places.iter_mut().find(|place| place.path == path) {
            Some(place) => {
                place.files += 1;
                place.bytes += size;
            }
            None => places.push(Place {
                path,
                files: 1,
                bytes: *size,
            }),
        }
    }
    places.sort_by(|a, b| (b.bytes, b.files, &a.path).cmp(&(a.bytes, a.files, &b.path)));
    (more || !changes.is_empty()).then(|| LeftBehind {
        wrote_in: wrote_in.id(),
        missing_in: missing_in.id(),
        since,
        files: changes.len() as u64,
        bytes: changes.iter().map(|(_, size)| size).sum(),
        more,
        places,
    })
}
