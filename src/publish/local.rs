//! What this machine's own loader is offered, of a pool on its own disk: the menu of all environments.
//!
//! What boots without a key is the link `active`, which is no part of this. Exports nothing, to nobody.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Published;
use crate::boot::grub::{self, Entry, Machine};
use crate::fs::atomic::{self, Durable};
use crate::fs::path_error::if_exists;
use crate::pool::record::Local;
use crate::pool::{Environment, Pool, PoolLock};

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
    write(pool, local, &[], lock.is_some(), done)
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
    let machine = Machine {
        filesystem: &local.filesystem,
        pool: &local.path,
        node: &local.node,
    };
    Ok(grub::menu(machine, &entries))
}

fn entry(env: &Environment) -> Entry {
    let kernel = env.kernel().unwrap_or_else(|| "no kernel".to_string());
    Entry {
        name: env.name.to_string(),
        about: format!("{kernel}, {:.0}", env.created()),
    }
}
