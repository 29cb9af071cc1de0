//! Distributions: detection, full upgrade, installed packages, and differences between package lists.
//!
//! Text in, values out, except that [`installed`] and [`Downloads`] read an environment's databases and indexes. Runs
//! nothing.

mod apk;
mod apt;
pub mod cache;
mod changes;
pub mod chosen;
mod distribution;
mod dnf;
mod downloads;
mod full_upgrade;
mod inventory;
mod kept_back;
pub mod left_out;
pub mod loaders;
pub mod owned;
mod owners;
mod package;
mod pacman;
mod repo_index;
mod rpm;
mod rpm_md;
mod step;
mod version;
mod zypper;

pub use apt::{Archive, LISTS_DIRECTORY, sha256, with_lists};
pub use changes::{Changes, changes};
pub use chosen::Chosen;
pub use distribution::{Distribution, Family, recognise};
pub use downloads::{Downloads, Source};
pub use inventory::installed;
pub use kept_back::kept_back;
pub use package::{Inventory, Package, Unread};
pub use step::Step;
pub use version::Order;
