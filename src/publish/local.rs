//! What this machine's own loader is offered, of a pool on its own disk: the menu of all environments.
//!
//! And what it boots for once: a line in a file that it forgets by itself. What boots else without a key is the link
//! `active`, which is no part of this. Exports nothing, to nobody.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Published;
use super::block_file::BlockFile;
use crate::boot::env_block;
use crate::boot::grub::{self, Entry, Machine};
use crate::evidence::this_machine;
use crate::failure::Failure;
use crate::fs::atomic::{self, Durable};
use crate::fs::mounts::Access;
use crate::fs::path_error::if_exists;
use crate::pool::pending::Pending;
use crate::pool::record::Local;
use crate::pool::{Environment, Pool, PoolLock};

/// Returns what GRUB's script is told.
pub fn for_grub(local: &Local) -> Machine<'_> {
    Machine {
        filesystem: &local.filesystem,
        pool: &local.path,
        node: &local.node,
        block: local
            .block
            .as_ref()
            .map(|block| (block.filesystem.as_str(), block.file.as_str())),
    }
}

/// Writes the menu again, where it differs; without `lock` nothing is written.
pub(super) fn bring_up_to_date(
    pool: &Pool,
    lock: Option<&PoolLock>,
    local: &Local,
    done: &mut Published,
) -> Result<()> {
    pool.ensure_protected(lock)?;
    if !Path::new(grub::SCRIPT).exists() {
        done.warnings.push(format!(
            "GRUB's menu has no entry of {}: {} is not there, and this machine boots what it was installed as; netbe adopt",
            local.node,
            grub::SCRIPT
        ));
    }
    write(pool, local, &[], lock.is_some(), done)?;
    lead(pool, local, lock.is_some(), done)
}

/// Has GRUB boot what is pending once, or nothing but what is active.
///
/// Since the machine was started anew, GRUB has forgotten it, or has not seen it: then nothing is asked for a second time.
fn lead(pool: &Pool, local: &Local, writes: bool, done: &mut Published) -> Result<()> {
    let Some(block) = &local.block else {
        return Ok(());
    };
    let node = local.node.parse().context("the node of the pool")?;
    let pending = match pool.node(&node) {
        Ok(node) => Pending::read(&node.state),
        // It is being adopted.
        Err(_) => Pending::None,
    };
    let wanted = match &pending {
        Pending::Boot(boot) if boot.is_waiting() => {
            if boot.set_in != this_machine::boot_id() {
                return Ok(());
            }
            Some(boot.env.as_str())
        }
        Pending::Unknown(_) => return Ok(()),
        _ => None,
    };
    let text = match BlockFile::open(block, Access::ReadOnly) {
        Ok(file) => file.read()?,
        // GRUB reads nothing there either.
        Err(_) if wanted.is_none() => return Ok(()),
        Err(e) => return Err(e),
    };
    let now = text.as_deref().and_then(env_block::once);
    if now == wanted && text.is_some() {
        return Ok(());
    }
    done.steps.push(match wanted {
        Some(env) => format!("have GRUB boot {}/{env} once: {block}", local.node),
        None => format!("have GRUB boot nothing for once: {block}"),
    });
    if writes {
        let file = BlockFile::open(block, Access::ReadWrite)?;
        file.write(wanted)
            .with_context(|| format!("writing {block}"))?;
    }
    Ok(())
}

/// Returns whether GRUB has forgotten what was to be booted once; `None` if that cannot be read.
pub fn has_forgotten(local: &Local) -> Option<bool> {
    let file = BlockFile::open(local.block.as_ref()?, Access::ReadOnly);
    let text = file.ok()?.read().ok()??;
    Some(env_block::once(&text).is_none())
}

/// Refuses a boot for once where GRUB cannot forget it by itself.
///
/// # Errors
/// A refusal that says what is missing.
pub fn refuse_once(local: &Local) -> Result<()> {
    match &local.block {
        Some(block) => BlockFile::open(block, Access::ReadOnly).map(drop),
        None => Err(Failure::refused(format!(
            "{} boots by GRUB, which has to forget a boot for once or on trial by itself, and can write to no filesystem here: \
             when it was adopted, no EFI system partition and no partition for /boot (FAT or ext4) was mounted; activate it, \
             and if it does not come up, choose another environment in GRUB's menu",
            local.node
        ))
        .hint("netbe activate --help")
        .into()),
    }
}

/// Removes the file, where nothing reads it any more.
pub fn remove_block(local: &Local) -> Result<()> {
    let Some(block) = &local.block else {
        return Ok(());
    };
    BlockFile::open(block, Access::ReadWrite)
        .and_then(|file| file.remove())
        .with_context(|| format!("removing {block}"))
}

/// Offers a new environment, if the pool is this machine's own; returns a warning where that failed.
pub fn offer_new(pool: &Pool) -> Option<String> {
    let local = pool.local()?;
    let written = write(pool, local, &[], true, &mut Published::default());
    let failed =
        |e: anyhow::Error| format!("the loader's menu does not have it yet: {e:#}; netbe publish");
    written.err().map(failed)
}

/// Takes environments out of the menu, before they are deleted.
pub(super) fn withdraw(pool: &Pool, local: &Local, envs: &[&Environment]) -> Result<()> {
    write(pool, local, envs, true, &mut Published::default())
}

fn write(
    pool: &Pool,
    local: &Local,
    except: &[&Environment],
    writes: bool,
    done: &mut Published,
) -> Result<()> {
    let file = pool.root().join(grub::MENU);
    let text = menu(pool, local, except)?;
    let reading = || format!("reading {}", file.display());
    if if_exists(fs::read(&file)).with_context(reading)?.as_deref() == Some(text.as_bytes()) {
        return Ok(());
    }
    done.steps
        .push(format!("the menu of all environments {}", file.display()));
    if writes {
        atomic::file(&file, text.as_bytes(), Durable::AtOnce)
            .with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(())
}

/// Returns the menu, the newest environment first, without some.
fn menu(pool: &Pool, local: &Local, except: &[&Environment]) -> Result<String> {
    let node = local.node.parse().context("the node of the pool")?;
    let mut envs = match pool.node(&node) {
        Ok(node) => node.environments()?,
        // It is being adopted.
        Err(_) => Vec::new(),
    };
    let stays = |env: &Environment| except.iter().all(|other| other.dir != env.dir);
    envs.retain(|env| env.problems.is_empty() && stays(env));
    envs.sort_by_key(|env| std::cmp::Reverse(env.order()));
    let entries: Vec<Entry> = envs.iter().map(entry).collect();
    Ok(grub::menu(for_grub(local), &entries))
}

fn entry(env: &Environment) -> Entry {
    let kernel = env.kernel().unwrap_or_else(|| "no kernel".to_string());
    Entry {
        name: env.name.to_string(),
        about: format!("{kernel}, {:.0}", env.created()),
    }
}
