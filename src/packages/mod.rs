//! What a distribution is: recognising it, its full upgrade, its package list and how two differ.
//!
//! Text in, values out, but for [`installed`] and what [`Downloads`] reads of an environment's own databases and
//! indexes, in place. Nothing here runs anything.

mod apk;
mod apt;
pub mod cache;
mod changes;
mod distribution;
mod dnf;
mod downloads;
mod full_upgrade;
mod inventory;
mod kept_back;
pub mod left_out;
mod package;
mod pacman;
mod repo_index;
mod rpm;
mod rpm_md;
mod step;
mod version;
mod zypper;

pub use apt::{Archive, sha256};
pub use changes::{Changes, changes};
pub use distribution::{Distribution, Family, recognise};
pub use downloads::{Downloads, Known};
pub use inventory::installed;
pub use kept_back::kept_back;
pub use package::{Inventory, Package, Unread};
pub use step::Step;
pub use version::Order;
