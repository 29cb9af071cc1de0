//! Putting an environment on a machine's own medium: `deploy`.
//!
//! The root on the node's own disk, while kernel and initramfs come over the network; or with `--boot` the boot half on a card or
//! stick, while the root is mounted over NFS. Not for what the network offers.

mod boot_half;
mod card_record;
mod card_refusals;
mod changed;
mod child;
pub mod disk;
mod lead;
mod refusals;
mod room;
mod root;
mod script;
mod target;
mod work;

pub use boot_half::{CardRequest, boot_half};
pub use card_record::forget;
pub use refusals::of_deployed as refuse_on_disk;
pub use root::deploy;
pub use work::Request;
