//! Files: rooted in a directory, replaced atomically, copied exactly, mounted.
//!
//! Knows nothing of nodes or formats.

pub mod atomic;
pub mod copy;
pub mod dir_names;
pub mod efi_variable;
pub mod file_flags;
pub mod free_space;
pub mod graft;
pub mod interrupt;
pub mod interruptible_io;
pub mod mounts;
pub mod octal;
pub mod opener;
pub mod own_program;
pub mod parallel;
pub mod partitions;
pub mod path_error;
pub mod rooted;
pub mod same_content;
pub mod server_packages;
pub mod shown_path;
pub mod systemd;
pub mod threads;
pub mod ticking;
