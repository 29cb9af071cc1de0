//! Publishing a pool on this machine's own disk to its loader: the menu of all environments.
//!
//! And the environment to boot for once, which the loader erases by itself. By default it boots through the link `active`,
//! which is no part of this module. Exports nothing.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Published;
use super::once::{self, Once};
use super::run::Publishing;
use super::systemd_boot::{self, Asked};
use crate::boot::grub::{self, Entry, Machine};
use crate::btrfs::subvolume;
use crate::evidence::this_machine;
use crate::failure::Failure;
use crate::fs::atomic::{self, Durable};
use crate::fs::path_error::if_exists;
use crate::pool::pending::Pending;
use crate::pool::record::Local;
use crate::pool::{Environment, Pool, PoolLock};

/// How long a new environment waits for the lock of the pool: it is made already, and can be added to the menu later.
const PATIENCE: Duration = Duration::from_secs(60);

/// Returns the input of GRUB's script.
pub fn for_grub(local: &Local) -> Machine<'_> {
    Machine {
        filesystem: &local.filesystem,
        pool: &local.path,
        node: &local.node,
        block: local.block.as_ref().map(|block| grub::Block {
            filesystem: &block.filesystem,
            file: &block.file,
            is_block_list: block.is_reserved(),
        }),
    }
}

/// Brings the loader's menu up to date.
pub(super) fn bring_up_to_date(run: &mut Publishing<'_>, local: &Local) -> Result<()> {
    if local.esp.is_none() && !Path::new(grub::SCRIPT).exists() {
        run.warn(systemd_boot::missing_entry_warning(local));
    }
    let asked = Asked::default();
    offer(run.pool, local, asked, run.writes, &mut run.done)?;
    lead(run.pool, local, run.writes, &mut run.done)
}

/// Puts an environment's files where the loader can read them, before the environment becomes active.
///
/// # Errors
/// A refusal if there is no space for them.
pub fn prepare(pool: &Pool, lock: &PoolLock, local: &Local, env: &Environment) -> Result<()> {
    pool.ensure_protected(Some(lock))?;
    let asked = Asked {
        next: Some(&env.name),
        ..Asked::default()
    };
    offer(pool, local, asked, true, &mut Published::default())
}

fn offer(
    pool: &Pool,
    local: &Local,
    asked: Asked<'_>,
    writes: bool,
    done: &mut Published,
) -> Result<()> {
    match &local.esp {
        Some(esp) => systemd_boot::bring_up_to_date(pool, (local, esp), asked, writes, done),
        None => write(pool, local, asked.except, writes, done),
    }
}

/// Returns whether the loader's own configuration includes netbe's menu.
pub fn is_in_menu(local: &Local) -> Result<bool> {
    match &local.esp {
        Some(esp) => systemd_boot::is_in_menu(esp),
        None => Ok(Path::new(grub::SCRIPT).exists()),
    }
}

/// Writes the first entries for the loader; systemd-boot reads them without a change of its configuration.
pub fn begin(pool: &Pool, lock: &PoolLock, local: &Local) -> Result<()> {
    pool.ensure_protected(Some(lock))?;
    let asked = Asked {
        begins: true,
        ..Asked::default()
    };
    let mut done = Published::default();
    offer(pool, local, asked, true, &mut done)?;
    lead(pool, local, true, &mut done)
}

/// Sets the environment that the loader boots once to the pending one, or to none.
///
/// After a reboot since it was set, it is not set again: the loader has used it, or another loader was started.
fn lead(pool: &Pool, local: &Local, writes: bool, done: &mut Published) -> Result<()> {
    let Some(once) = Once::of(local) else {
        return Ok(());
    };
    let node = local.node.parse().context("the node of the pool")?;
    let pending = match pool.node(&node) {
        Ok(node) => Pending::read(&node.state),
        // The machine is being adopted: the node does not exist yet.
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
    let now = match once.read() {
        Ok(now) => now,
        // If netbe cannot read the place, neither can the loader.
        Err(_) if wanted.is_none() => return Ok(()),
        Err(e) => return Err(e),
    };
    if now.env.as_deref() == wanted && now.is_made {
        return Ok(());
    }
    done.steps.push(match wanted {
        Some(env) => format!("have the loader boot {}/{env} once: {once}", local.node),
        None => format!("have the loader boot nothing for once: {once}"),
    });
    match writes {
        true => once.write(wanted),
        false => Ok(()),
    }
}

/// Erases the loader's boot for once. Called before the record of it is removed: otherwise the loader could boot an
/// environment that is destroyed by then.
pub fn forget_once(pool: &Pool, lock: &PoolLock, local: &Local) -> Result<()> {
    pool.ensure_protected(Some(lock))?;
    let Some(once) = Once::of(local) else {
        return Ok(());
    };
    let Ok(now) = once.read() else {
        // If netbe cannot read the place, neither can the loader.
        return Ok(());
    };
    once.settle()?;
    match now.env {
        Some(_) => once.write(None),
        None => Ok(()),
    }
}

/// Returns whether the loader has erased its boot for once; `None` if that cannot be read.
pub fn has_forgotten(local: &Local) -> Option<bool> {
    let now = Once::of(local)?.read().ok()?;
    now.is_made.then_some(now.env.is_none())
}

/// Refuses a boot for once if the loader cannot erase it by itself.
///
/// # Errors
/// A refusal that says what is missing.
pub fn refuse_once(local: &Local) -> Result<()> {
    match Once::of(local) {
        Some(once) => once.refuse(),
        None => Err(Failure::refused(format!(
            "{} boots by GRUB, which has to forget a boot for once or on trial by itself, and can write to no filesystem here: \
             when it was adopted, no EFI system partition and no partition for /boot (FAT or ext4) was mounted, and GRUB, from \
             2.14 on, writes to btrfs on one plain partition alone; activate it, and if it does not come up, choose another \
             environment in GRUB's menu",
            local.node
        ))
        .hint("netbe activate --help")
        .into()),
    }
}

/// Removes all of netbe's files on the loader's partition.
pub fn remove(pool: &Pool, lock: &PoolLock, local: &Local) -> Result<()> {
    pool.ensure_protected(Some(lock))?;
    match (&local.esp, &local.block) {
        (Some(esp), _) => systemd_boot::remove(esp),
        (None, Some(block)) => {
            once::remove_block(block).with_context(|| format!("removing {block}"))
        }
        (None, None) => Ok(()),
    }
}

/// Adds a new environment to the loader's menu, if the pool is this machine's own; returns a warning if that failed.
///
/// Takes the pool's lock, since another command may be writing the menu: the caller holds the lock of the node at most.
pub fn offer_new(pool: &Pool) -> Option<String> {
    let local = pool.local()?;
    let offered = || -> Result<()> {
        let _shared = pool.lock(PATIENCE)?;
        offer(
            pool,
            local,
            Asked::default(),
            true,
            &mut Published::default(),
        )
    };
    let failed =
        |e: anyhow::Error| format!("the loader's menu does not have it yet: {e:#}; netbe publish");
    offered().err().map(failed)
}

/// Takes environments out of the menu, before they are deleted.
pub(super) fn withdraw(
    pool: &Pool,
    lock: &PoolLock,
    local: &Local,
    envs: &[&Environment],
) -> Result<()> {
    pool.ensure_protected(Some(lock))?;
    let asked = Asked {
        except: envs,
        ..Asked::default()
    };
    offer(pool, local, asked, true, &mut Published::default())
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
    done.steps.push(format!(
        "write the menu of all environments {}",
        file.display()
    ));
    if writes {
        let writing = || format!("writing {}", file.display());
        atomic::file(&file, text.as_bytes(), Durable::AtOnce).with_context(writing)?;
        // A loader does not replay the filesystem's log tree, and fsync alone may write only there.
        subvolume::sync(pool.root()).with_context(writing)?;
    }
    Ok(())
}

/// Returns the menu, the newest environment first, without those in `except`.
fn menu(pool: &Pool, local: &Local, except: &[&Environment]) -> Result<String> {
    let node = local.node.parse().context("the node of the pool")?;
    let mut envs = match pool.node(&node) {
        Ok(node) => node.environments()?,
        // The machine is being adopted: the node does not exist yet.
        Err(_) => Vec::new(),
    };
    let stays = |env: &Environment| except.iter().all(|other| other.dir != env.dir);
    // Also environments whose trial failed or whose record is lost: the user may choose them.
    envs.retain(|env| env.whole && stays(env));
    envs.sort_by_key(|env| std::cmp::Reverse(env.order()));
    let entries: Vec<Entry> = envs.iter().map(entry).collect();
    Ok(grub::menu(for_grub(local), &entries))
}

fn entry(env: &Environment) -> Entry {
    let kernel = env.kernel().unwrap_or_else(|| "no kernel".to_string());
    let failed = match env.record.as_ref().is_some_and(|r| r.unproven.is_some()) {
        true => ", its trial failed",
        false => "",
    };
    Entry {
        name: env.name.to_string(),
        about: format!("{kernel}, {:.0}{failed}", env.created()),
    }
}
