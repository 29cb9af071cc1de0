//! Mounting an environment on the server: `mount` and `umount`.
//!
//! Root, with the boot half at its mount point, `nosuid,nodev`. An environment that is active or may be running is
//! mounted read-only. A mount lasts until `umount` or a reboot.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::mount::{MntFlags, umount2};
use nix::sys::stat::Mode as FileMode;

use super::plan::Plan;
use super::{Mode, Outcome, in_use};
use crate::evidence::Evidence;
use crate::failure::Failure;
use crate::fs::mounts::{self, Access};
use crate::fs::rooted::Tree;
use crate::fs::{atomic, opener};
use crate::pool::pending::Pending;
use crate::pool::{Environment, Operand, Pool};

/// The default directory of mount points.
const HOME: &str = "/run/netbe/mnt";

/// A mounted environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mounted {
    /// The mount point.
    pub dir: PathBuf,
    /// The reason why it is read-only, if it is.
    pub read_only: Option<String>,
}

/// Mounts an environment; if it is mounted already and no directory is named, returns that mount point.
pub fn mount_env(
    pool: &Pool,
    operand: &Operand,
    dir: Option<&Path>,
    mode: Mode,
) -> Result<Outcome<Mounted>> {
    let env = pool.resolve(operand)?;
    env.refuse_image("which no mount shows", format!("netbe shell {env}"))?;
    let root = env.root();
    if let Some(there) = in_use::mounts_of(&root)?.first()
        && dir.is_none_or(|d| d == there.at)
    {
        return Ok(Outcome::Done(Mounted {
            dir: there.at.clone(),
            read_only: None,
        }));
    }
    let at = match dir {
        Some(dir) => dir
            .canonicalize()
            .with_context(|| format!("finding {}", dir.display()))?,
        None => Path::new(HOME).join(format!("{}-{}", env.node, env.name)),
    };
    let lock = mode.lock(pool, &env.node)?;
    let read_only = running(pool, &env)?;
    let access = match read_only {
        Some(_) => Access::ReadOnly,
        None => Access::ReadWrite,
    };
    let mut plan = Plan::new();
    plan.step(
        format!("mount {} at {}", root.display(), at.display()),
        |_| {
            if dir.is_none() {
                atomic::directories(&at)?;
            }
            bind_root(&env, &at, access)
        },
    );
    let (boot, boot_mount) = (env.boot(), env.boot_mount());
    plan.step(
        format!("mount {} at {}{boot_mount}", boot.display(), at.display()),
        |_| {
            if let Err(e) = bind_boot(&env, &at, access) {
                umount2(&at, MntFlags::MNT_DETACH).context("undoing the mount")?;
                return Err(e);
            }
            Ok(())
        },
    );
    let done = plan.carry_out(lock)?;
    Ok(done.map(|_lock| Mounted { dir: at, read_only }))
}

/// Unmounts an environment by its name or mount point; returns the directories.
pub fn umount_env(pool: &Pool, what: &str, mode: Mode) -> Result<Outcome<Vec<PathBuf>>> {
    let mounts = match what.parse::<Operand>() {
        Ok(operand) if operand.env.is_some() => in_use::mounts_of(&pool.resolve(&operand)?.dir)?,
        operand => match (below(pool, Path::new(what)), operand) {
            (Ok(mounts), _) if !mounts.is_empty() => mounts,
            // A directory of that name may be there as well.
            (_, Ok(operand)) => in_use::mounts_of(&pool.resolve(&operand)?.dir)?,
            (mounts, Err(_)) => mounts?,
        },
    };
    let dirs: Vec<PathBuf> = mounts.iter().rev().map(|m| m.at.clone()).collect();
    if dirs.is_empty() {
        return Err(Failure::not_found(format!("{what} is not mounted")).into());
    }
    let mut plan = Plan::new();
    for dir in &dirs {
        plan.step(format!("unmount {}", dir.display()), |()| unmount(dir));
    }
    let done = plan.carry_out(mode.unless_dry(|| Ok(()))?)?;
    Ok(done.map(|()| dirs))
}

/// Returns what of the pool's environments is mounted at a directory or below it.
fn below(pool: &Pool, dir: &Path) -> Result<Vec<in_use::Mount>> {
    let dir = dir
        .canonicalize()
        .with_context(|| format!("finding {}", dir.display()))?;
    let mut mounts = in_use::mounts_of(&pool.root().join("nodes"))?;
    mounts.retain(|m| m.at.starts_with(&dir));
    Ok(mounts)
}

fn unmount(dir: &Path) -> Result<()> {
    umount2(dir, MntFlags::empty()).map_err(|e| match e {
        nix::Error::EBUSY => Failure::failed(format!("{} is in use", dir.display()))
            .hint(format!("fuser -vm {}", dir.display()))
            .into(),
        other => anyhow::Error::from(other).context(format!("unmounting {}", dir.display())),
    })?;
    if dir.parent() == Some(Path::new(HOME)) {
        // It is always an empty directory of netbe's: a failure does no harm.
        let _ = fs::remove_dir(dir);
    }
    Ok(())
}

/// Returns why an environment must not be written; `None` if it may be.
fn running(pool: &Pool, env: &Environment) -> Result<Option<String>> {
    let node = pool.node(&env.node)?;
    Ok(match Evidence::now(&node).booted(env) {
        Some(true) => Some(format!("{} runs it", node.name)),
        None => Some(format!("{} may be running it", node.name)),
        Some(false) if env.active && !env.template => {
            Some(format!("it is the active environment of {}", node.name))
        }
        Some(false) if Pending::read(&node.state).protects(&env.name) => {
            Some(format!("it is the pending boot of {}", node.name))
        }
        Some(false) => None,
    })
}

fn bind_root(env: &Environment, at: &Path, access: Access) -> Result<()> {
    let place = opener::directory(at)?;
    mounts::bind(&env.root(), &place, access)
        .with_context(|| format!("mounting {env} at {}", at.display()))
}

fn bind_boot(env: &Environment, at: &Path, access: Access) -> Result<()> {
    // Beneath the mount, so that a link at /boot cannot lead out of the environment.
    let place = Tree::open(at)?
        .open_at(
            env.boot_mount(),
            OFlag::O_PATH | OFlag::O_DIRECTORY,
            FileMode::empty(),
        )
        .with_context(|| format!("finding {} inside {env}", env.boot_mount()))?;
    mounts::bind(&env.boot(), &place, access)
        .with_context(|| format!("mounting the boot half of {env}"))
}
