//! What firmware, kernel and initramfs read: text and bytes in, text out.
//!
//! [`plan`] says what a boot half must say so that it boots an environment, [`verify`] why a pair of
//! halves would not, [`summary`] what is in it, [`fstab`] and [`identity`] edit what the node reads after
//! that. Nothing here writes a file or prints: the callers do, beneath an environment. Not for what the
//! network is offered.

mod arch;
mod cmdline;
mod cmdline_tokens;
mod files;
pub mod fstab;
pub mod identity;
mod initramfs;
mod ip;
pub mod kernel;
mod nfs;
pub mod normalize;
mod plan;
mod pxelinux;
pub mod report;
mod rpi;
mod spec;
mod summary;
mod tftp_files;
mod verify;

pub use arch::Arch;
pub use files::{BootFiles, Overlay, Watched};
pub use ip::Ip;
pub use plan::{plan, recognise};
pub use spec::{Loader, NfsVersion, Plan, PxeBinaries, RootPlace, Want};
pub use summary::{Summary, summary, summary_for};
pub use tftp_files::{Fetched, fetched};
pub use verify::verify;

#[cfg(test)]
mod tests;
