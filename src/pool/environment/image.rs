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

    /// Shows the files of its root half in place of it, as they are now, if that is a disk image; as long as the result
    /// lives.
    ///
    /// # Errors
    /// Where the image cannot be read.
    pub fn show_files(&self) -> Result<Option<Opened>> {
        self.is_image()
            .then(|| Opened::over(&self.root(), Access::Read))
            .transpose()
    }

    /// Refuses one that is a disk image, for a reason that is said of it; the hint is a command.
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
    /// Returns what reads and writes its disk images for its upgrades.
    pub fn image_driver(&self, pool: &Pool) -> Driver {
        Driver::named(self.property(pool, "image.driver").as_deref())
    }
}
