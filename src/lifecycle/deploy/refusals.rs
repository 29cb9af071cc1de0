//! Environments that cannot have their root on a disk, and disks that cannot hold a root.
//!
//! Reads only. Not for environments that would not boot: those fail verification.

use std::time::Duration;

use anyhow::Result;

use super::Request;
use super::disk::{Filesystem, Found, Target};
use crate::btrfs::subvolume::identity;
use crate::failure::Failure;
use crate::fs::shown_path::quoted;
use crate::pool::pending::Pending;
use crate::pool::record::EnvRecord;
use crate::pool::{Environment, Node, Pool, deployed, properties};

/// Refuses an environment that cannot have its root on a disk.
pub(super) fn of_environment(pool: &Pool, node: &Node, env: &Environment) -> Result<()> {
    node.refuse_lost()?;
    env.require_sound()?;
    let name = &node.name;
    let refused = |why: String, hint: String| Err(Failure::refused(why).hint(hint).into());
    if node.is_template() {
        return Err(
            Failure::refused(format!("{name} is a template, which no machine boots")).into(),
        );
    }
    if properties::is_read_only(Some(&node.record), pool.record()) {
        return refused(
            format!(
                "{name} has access=ro: its machines keep what they write in memory, and not on a disk"
            ),
            format!("netbe set access=rw {name}"),
        );
    }
    if node
        .property(pool, "root")
        .is_some_and(|root| root != "nfs")
    {
        return refused(
            format!("the property root of {name} names a root already"),
            format!("netbe set root= {name}"),
        );
    }
    if node.record.data.mounted().next().is_some() {
        return refused(
            format!("{name} has data on this server, which a root on its disk would not mount"),
            format!("netbe set data= {name}"),
        );
    }
    if Pending::read(&node.state)
        .boot()
        .is_some_and(|boot| boot.env == env.name)
    {
        return refused(
            format!("{env} is a pending boot"),
            format!("netbe activate --cancel {name}"),
        );
    }
    Ok(())
}

/// Refuses what has become another environment of this name, or was deployed, since it was read.
///
/// # Errors
/// Also if its record cannot be read now.
pub(super) fn of_another(env: &Environment, now: &Environment) -> Result<()> {
    if now.unread {
        now.record_for_change()?;
    }
    let why = match (now.uuid() == env.uuid(), now.disk() == env.disk()) {
        (true, true) => return Ok(()),
        (true, false) => format!("{env} was deployed meanwhile"),
        (false, _) => format!("{env} is another one by now"),
    };
    Err(Failure::refused(why)
        .hint(format!("netbe status {}", env.node))
        .into())
}

/// Refuses an environment that boots from this disk already: a new copy would not have the node's changes there.
pub(super) fn of_place(env: &Environment, record: &EnvRecord, found: &Found) -> Result<()> {
    let Some(disk) = record
        .disk
        .as_ref()
        .filter(|disk| disk.device == found.root)
    else {
        return Ok(());
    };
    let is_there = |name: &str| found.has.iter().any(|has| has == name);
    // A root that is a whole filesystem has no name.
    if !disk.name().is_none_or(is_there) {
        return Ok(());
    }
    Err(
        Failure::refused(format!("{env} has its root on that disk already"))
            .hint_to(
                "to have another one there, with what is on this server",
                format!("netbe create {} --from {env}", env.node),
            )
            .into(),
    )
}

/// Refuses a disk that is in use, or is not empty without `--yes`; returns the filesystem to format it with.
pub(super) fn of_disk(pool: &Pool, request: &Request, found: &Found) -> Result<Option<Filesystem>> {
    let target = &request.target;
    if found.uuid == identity::mounted_filesystem(pool.root())?.to_string() {
        let why = format!("{} is the disk of the pool", found.device);
        return Err(Failure::refused(why).into());
    }
    if matches!(target, Target::Here(_)) && found.mounted.as_deref() == Some("/") {
        let why = format!("{} has the root of this server", found.device);
        return Err(Failure::refused(why).into());
    }
    if found.filesystem == "btrfs" && request.filesystem != Some(Filesystem::Ext4) {
        if let (Some(place), Target::Here(path)) = (&found.mounted, target)
            && !path.is_dir()
        {
            let why = format!("{} is mounted at {place}: unmount it first", found.device);
            return Err(Failure::refused(why).into());
        }
        if found.root.is_empty() {
            anyhow::bail!("{} has no UUID", found.device);
        }
        return Ok(None);
    }
    if let Some(place) = &found.mounted {
        return Err(Failure::refused(format!(
            "{} is mounted at {place}, and formatting it would destroy what is in use",
            found.device
        ))
        .into());
    }
    of_used(pool, &found.device, &found.holds)?;
    let holds = !found.held.is_empty() || !found.filesystem.is_empty();
    if holds && !request.format {
        let refusal = Failure::refused(format!(
            "{target} is not empty ({}); formatting destroys its content, and needs --yes",
            found.held
        ));
        return Err(match target {
            Target::Here(path) => refusal.hint(format!("lsblk -f {}", quoted(path))),
            // The disk's name on another machine is not trusted in a command for this one.
            Target::There { .. } => refusal,
        }
        .into());
    }
    Ok(Some(request.filesystem.unwrap_or(Filesystem::Btrfs)))
}

/// Refuses to format a disk that has the root of an environment; `holds` are its filesystems and partitions.
pub(super) fn of_used(pool: &Pool, device: &str, holds: &[String]) -> Result<()> {
    for node in pool.nodes()? {
        for env in node.environments()? {
            if env.disk().is_some_and(|disk| holds.contains(&disk.device)) {
                return Err(Failure::refused(format!(
                    "{env} has its root on {device}, and formatting would destroy it"
                ))
                .hint(format!("netbe destroy -n {env}"))
                .into());
            }
        }
    }
    Ok(())
}

/// Refuses an environment with its root on a disk, or that is being put there; `why` is a clause about the disk.
pub fn of_deployed(env: &Environment, why: &str) -> Result<()> {
    deployed::refuse_work(env, Duration::ZERO)?;
    let disk = env.disk();
    let Some(disk) = disk else {
        return Ok(());
    };
    Err(
        Failure::refused(format!("{env} has its root on {}, {why}", disk.device))
            .hint_to(
                "a copy has its root on this server",
                format!("netbe clone {env} {env}-copy"),
            )
            .into(),
    )
}
