//! An environment whose root half is a disk image.

use anyhow::Result;

use super::Environment;
use crate::failure::Failure;
use crate::images::{Access, Driver, Opened};
use crate::pool::Pool;
use crate::pool::node::Node;

impl Environment {
    /// Returns whether its root half is a disk image.
    pub fn is_image(&self) -> bool {
        self.record.as_ref().is_some_and(|r| r.image.is_some())
    }

    /// Shows the files of its root half, if that is a disk image, in place of the image until the result is dropped; as of
    /// now.
    ///
    /// # Errors
    /// If the image cannot be read.
    pub fn show_files(&self) -> Result<Option<Opened>> {
        self.is_image()
            .then(|| Opened::over(&self.root(), Access::Read))
            .transpose()
    }

    /// Refuses an environment that is a disk image; `why` is a clause about the image, and the hint a command.
    pub fn refuse_image(&self, why: &str, hint: impl Into<String>) -> Result<()> {
        if !self.is_image() {
            return Ok(());
        }
        Err(Failure::refused(format!("{self} is a disk image, {why}"))
            .hint(hint)
            .into())
    }
}

impl Node {
    /// Returns the driver that upgrades of its node use for disk images.
    pub fn image_driver(&self, pool: &Pool) -> Driver {
        Driver::named(self.property(pool, "image.driver").as_deref())
    }
}
