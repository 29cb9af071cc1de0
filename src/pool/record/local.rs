//! A pool on the disk that this machine boots from, which is its only node.

use serde::{Deserialize, Serialize};

/// The place of such a pool, in terms that its loader and its kernel understand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Local {
    /// The UUID of the filesystem.
    pub filesystem: String,
    /// The pool, as a path from the top level of the filesystem: `netbe`.
    pub path: String,
    /// The machine's node.
    pub node: String,
    /// The place that the loader itself can write; `None` if there is none, so that it cannot erase a boot for once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<Block>,
    /// The EFI system partition, if the loader is systemd-boot; `None` if it is GRUB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub esp: Option<Esp>,
}

/// The EFI system partition that systemd-boot reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Esp {
    /// The UUID of its filesystem, in the form of blkid(8).
    pub filesystem: String,
    /// The type of the filesystem: `vfat`.
    pub kind: String,
}

/// GRUB's environment block for boots for once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The UUID of its filesystem, in the form of blkid(8) and GRUB.
    pub filesystem: String,
    /// The type of the filesystem: `vfat`; `btrfs` for the sector in its reserved header.
    pub kind: String,
    /// The file, as a path from its top: `EFI/netbe/grubenv`; the list of blocks `512+1` on btrfs.
    pub file: String,
    /// Whether that sector was empty before netbe wrote it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub made: bool,
}

impl Block {
    /// Returns whether it is the sector in the reserved header of the filesystem, and no file.
    pub fn is_reserved(&self) -> bool {
        self.kind == "btrfs"
    }
}

impl std::fmt::Display for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.is_reserved() {
            true => write!(
                f,
                "the sector at 256 KiB of the btrfs UUID={}, in its reserved header",
                self.filesystem
            ),
            false => write!(f, "{} on UUID={}", self.file, self.filesystem),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_written_as_it_was_read() {
        let file = r#"{"filesystem":"AB-CD","kind":"vfat","file":"EFI/netbe/grubenv"}"#;
        let sector = r#"{"filesystem":"1-2","kind":"btrfs","file":"512+1","made":true}"#;
        for (text, is_reserved) in [(file, false), (sector, true)] {
            let block: Block = serde_json::from_str(text).unwrap();
            assert_eq!(
                (block.is_reserved(), block.made),
                (is_reserved, is_reserved)
            );
            assert_eq!(serde_json::to_string(&block).unwrap(), text);
        }
    }
}
