//! What firmware, kernel and initramfs read: text and bytes in, text out.
//!
//! [`plan`] says what a boot half must say so that it boots an environment, [`verify`] why a pair of
//! halves would not, [`summary`] what is in it, [`fstab`] and [`identity`] edit what the node reads after
//! that. Nothing here writes a file or prints: the callers do, beneath an environment. Not for what the
//! network is offered.

mod arch;
mod cmdline;
mod fetched;
mod files;
pub mod fstab;
pub mod identity;
mod initramfs;
mod ip;
pub mod kernel;
mod line;
mod nfs;
pub mod own;
mod plan;
mod pxelinux;
pub mod report;
mod rpi;
mod summary;
mod verify;
mod want;

pub use arch::Arch;
pub use fetched::{Fetched, fetched};
pub use files::{BootFiles, Overlay, Watched};
pub use ip::Ip;
pub use plan::{plan, recognise};
pub use summary::{Summary, summary};
pub use verify::verify;
pub use want::{Loader, NfsVersion, Plan, PxeBinaries, RootPlace, Want};

#[cfg(test)]
mod tests;
