//! An open disk image or disk, and its filesystems.

use std::fs::File;
use std::path::Path;

use anyhow::Result;

use super::Driver;
use super::filesystem::{Reading, View};
use crate::formats::disk_image::{Access, Partition, fat_names};

/// A disk image, or a disk.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) file: File,
    reading: Reading,
    pub(super) size: u64,
}

impl Disk {
    /// Returns the disk of an image that netbe has written.
    pub(super) fn own(file: File, driver: Driver) -> Result<Self> {
        Self::new(file, Access::Own, driver)
    }

    /// Returns the disk of a user's image or block device.
    pub(super) fn foreign(file: File, driver: Driver) -> Result<Self> {
        Self::new(file, Access::Foreign, driver)
    }

    fn new(mut file: File, access: Access, driver: Driver) -> Result<Self> {
        let size = std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0))?;
        let reading = Reading { access, driver };
        Ok(Self {
            file,
            reading,
            size,
        })
    }

    /// Returns the names at the top of a FAT partition.
    pub(super) fn fat_names(&self, partition: &Partition) -> Result<Vec<String>> {
        fat_names(&self.file, partition.start, partition.size)
    }

    /// Opens one of its filesystems. `options` are mount options, if the kernel reads it.
    pub(super) fn view(
        &self,
        partition: &Partition,
        options: &str,
        scratch: &Path,
    ) -> Result<View<'_>> {
        View::open(&self.file, self.reading, partition, options, scratch)
    }
}
