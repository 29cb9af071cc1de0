//! Making environments, and verifying that they would boot.
//!
//! Every command that makes an environment uses [`StagedEnvironment`]; every command that has a node boot one uses
//! [`Verified`]. Not for the sources of the halves.

pub mod boot_config;
pub mod boot_links;
pub(crate) mod data;
pub mod first_boot;
mod half_replaced;
mod host_keys;
pub mod identity;
mod iscsi_daemon;
mod kept_identity;
mod local_disks;
mod machine;
mod memberships;
mod network_settings;
mod node;
mod obstacles;
pub mod origin_texts;
pub(crate) mod own_disk;
mod pc_programs;
mod read_only_root;
pub(crate) mod report_unit;
mod root_image;
mod root_network;
pub mod snapshot;
mod transaction;
mod verified;

use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;

use crate::failure::Failure;
use crate::pool::{EnvName, Node, Operand, Pool, layout};

pub use half_replaced::{half_replaced, remove_half_replaced};
pub use identity::Identity;
pub use kept_identity::environment_of_identity;
pub use machine::{KnownBy, Machine, damage_for_some, machine};
pub use node::StagedNode;
pub use transaction::{Bootable, Complete, Content, Made, StagedEnvironment, Target};
pub use verified::{
    Early, Verified, is_stale, lacks_data_alone, read_only_halves, reasons, refuse_unbootable,
};

/// Returns the name of the new environment.
///
/// # Errors
/// A refusal if the name is taken; `Locked` if an environment of that name is being made.
pub fn free_name(pool: &Pool, node: Option<&Node>, target: &Operand) -> Result<EnvName> {
    let is_being_made = |name: &EnvName| pool.refuse_work(&target.node, name, Duration::ZERO);
    let taken = |name: &EnvName| {
        node.is_some_and(|n| {
            n.dir
                .join(layout::ENVS)
                .join(name.as_str())
                .symlink_metadata()
                .is_ok()
        })
    };
    match &target.env {
        Some(name) if taken(name) => Err(Failure::refused(format!(
            "{}/{name} already exists",
            target.node
        ))
        .hint(format!("netbe list {}", target.node))
        .into()),
        Some(name) => {
            is_being_made(name)?;
            Ok(name.clone())
        }
        None => Ok(EnvName::made_at(Timestamp::now(), |name| {
            taken(name) || is_being_made(name).is_err()
        })),
    }
}

/// Returns the first notes, and one with the number of the others, which are about the same kind of thing.
fn first_notes(mut notes: Vec<String>, limit: usize, kind: &str) -> Vec<String> {
    let more = notes.len().saturating_sub(limit);
    notes.truncate(limit);
    if more > 0 {
        notes.push(format!("{more} more {kind} likewise"));
    }
    notes
}
