//! Boot files: what firmware, loaders, kernels and initramfs read. Text and bytes in, text out.
//!
//! [`plan`] returns what to write to a boot half so that it boots an environment, [`verify`] why a pair of halves
//! would not boot, [`summary`] a summary; [`fstab`] and [`identity`] edit files that the node reads later. Callers write
//! the files. Publishing is not handled here.

mod arch;
mod card;
mod card_files;
pub mod cloud_init;
mod cmdline;
mod cmdline_tokens;
pub mod data;
mod disk_drivers;
mod disk_root;
mod efi_programs;
pub mod env_block;
mod files;
pub mod fstab;
pub mod grub;
pub mod identity;
mod initramfs;
mod ip;
pub mod iscsi_root;
pub mod kernel;
mod known;
pub mod loader_spec;
mod local_root;
mod machines;
mod model;
mod nfs;
pub mod normalize;
mod plan;
mod pxelinux;
pub mod read_only;
mod remembered;
pub mod report;
pub mod root_network;
mod rpi;
mod spec;
mod summary;
mod tftp_files;
mod uefi;
mod verify;

pub use arch::Arch;
pub use card::CardKind;
pub use card_files::CardFiles;
pub(crate) use card_files::ON_CARD;
pub use disk_drivers::is_name as is_module_name;
pub use disk_root::{DIRECTORY as DISK_DIRECTORY, DiskRoot};
pub use efi_programs::{
    EFI_AARCH64, EFI_X86_64, EfiProgram, EfiPrograms, lacks_ipxe, served_instead,
};
pub use files::{BootFiles, Overlay, Watched};
pub use ip::Ip;
pub use local_root::{GRUB_PREFIX, OwnRoot};
pub use model::Model;
pub use plan::{nfs_version, plan, recognise};
pub use remembered::Remembered;
pub use spec::{Loader, NfsVersion, Plan, Program, RootPlace, Want};
pub use summary::{Summary, summary, summary_for};
pub use tftp_files::{Fetched, fetched};
pub use uefi::{IPXE_SCRIPT, served_as};
pub use verify::{damage, verify, which_models};

#[cfg(test)]
mod tests;
