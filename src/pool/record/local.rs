//! A pool on the disk that this machine boots from, which is its only node.

use serde::{Deserialize, Serialize};

/// Where such a pool is, in terms that its loader and its kernel understand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Local {
    /// The UUID of the filesystem.
    pub filesystem: String,
    /// The pool, as a path from the top level of the filesystem: `netbe`.
    pub path: String,
    /// The machine's node.
    pub node: String,
    /// Where the loader itself can write; `None` where it can nowhere, and so cannot forget a boot for once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<Block>,
    /// The EFI system partition, where the loader is systemd-boot; `None` where it is GRUB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub esp: Option<Esp>,
}

/// The EFI system partition that systemd-boot reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Esp {
    /// The UUID of its filesystem, as blkid(8) has it.
    pub filesystem: String,
    /// The type of that: `vfat`.
    pub kind: String,
}

/// GRUB's environment block for boots for once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The UUID of its filesystem, as blkid(8) and GRUB have it.
    pub filesystem: String,
    /// The type of that: `vfat`.
    pub kind: String,
    /// The file, as a path from its top: `EFI/netbe/grubenv`.
    pub file: String,
}

impl std::fmt::Display for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} on UUID={}", self.file, self.filesystem)
    }
}
