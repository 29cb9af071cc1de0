//! What firmware, kernel and initramfs read.

mod arch;
mod cmdline;
mod files;
pub mod fstab;
mod initramfs;
mod ip;
mod line;
mod nfs;
mod want;

pub use arch::{Arch, elf_arch};
pub use files::BootFiles;
pub use initramfs::{Mounter, Mounting, mounting};
pub use ip::Ip;
pub use nfs::usual_version;
pub use want::{Loader, NfsVersion, Plan, PxeBinaries, RootPlace, Want};
