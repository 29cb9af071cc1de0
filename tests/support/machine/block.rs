//! GRUB's environment block, which it can write: in a file of its boot partition, or in the sector that GRUB 2.14 has in
//! the reserved header of btrfs.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use super::{Machine, grub_finds};

/// Where that sector is, on the disk.
const SECTOR: u64 = 256 << 10;
/// The file in the boot partition, in the machine's root.
const FILE: &str = "boot/efi/grub/netbe.env";

impl Machine {
    /// As [`Self::new`], with modules of a GRUB that writes to btrfs.
    pub fn with_new_grub() -> Self {
        let machine = Self::new();
        machine.has_grub("2.14");
        machine
    }

    /// Has the modules of its GRUB say this version.
    pub fn has_grub(&self, version: &str) {
        let modules = self.root.join("boot/grub/i386-pc");
        fs::create_dir_all(&modules).unwrap();
        let text = format!("#!/bin/bash\ngrub_version=\"{version}\"\n");
        fs::write(modules.join("modinfo.sh"), text).unwrap();
    }

    /// Returns the block as GRUB finds it on the disks: a file that is not there is empty.
    pub fn grub_block(&self) -> Vec<u8> {
        match &self.partition {
            Some(_) => grub_finds(&self.partition(), "/grub/netbe.env").unwrap_or_default(),
            None => self.sectors(1),
        }
    }

    /// Returns the block as the running kernel has it.
    pub fn block(&self) -> Vec<u8> {
        match &self.partition {
            Some(_) => fs::read(self.root.join(FILE)).unwrap_or_default(),
            None => self.sectors(1),
        }
    }

    /// Writes it as GRUB does.
    pub fn set_block(&self, bytes: &[u8]) {
        match &self.partition {
            Some(_) => fs::write(self.root.join(FILE), bytes).unwrap(),
            None => {
                let disk = File::options().write(true).open(self.image()).unwrap();
                disk.write_all_at(bytes, SECTOR).unwrap();
            }
        }
    }

    /// Returns what the disk has from that sector on.
    pub fn sectors(&self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count * 512];
        let disk = File::open(self.image()).unwrap();
        disk.read_exact_at(&mut bytes, SECTOR).unwrap();
        bytes
    }
}
