//! How an environment comes to be, and what may be booted.
//!
//! Everything that makes an environment goes through [`StagedEnvironment`]; everything that has a node boot one goes
//! through [`Verified`]. Not for where the halves come from.

pub mod boot_config;
pub mod boot_links;
pub mod first_boot;
pub mod identity;
mod local_disks;
mod node;
pub(super) mod report_unit;
pub mod snapshot;
mod transaction;
mod verified;

pub use node::StagedNode;
pub use transaction::{Complete, Content, Identity, Made, StagedEnvironment, Target};
pub use verified::{Verified, is_stale, reasons};
