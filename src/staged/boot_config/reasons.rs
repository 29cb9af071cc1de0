//! Reasons why halves would not boot with the wanted configuration.
//!
//! Promises to write nothing, and that an unreadable file is never taken for a missing one. Not for the configuration.

use std::io;
use std::path::Path;

use anyhow::{Context, Result};

use super::super::data;
use super::super::local_disks::FSTAB;
use super::Wanted;
use super::edits::Edits;
use crate::boot::{self, BootFiles, Overlay, Remembered, Watched};
use crate::fs::rooted::Tree;

impl Wanted {
    /// Returns the reasons why these halves would not boot as wanted, a sentence each; an unreadable file is one too.
    pub fn reasons_against(&self, root: &Path, boot: &Path) -> Result<Vec<String>> {
        let (root, boot) = (Tree::open(root)?, Tree::open(boot)?);
        let (mut reasons, unread) = self.verify(&root, &boot)?;
        // An unreadable file, instead of a reason that something is missing.
        reasons.extend(unread.map(|e| e.to_string()));
        Ok(reasons)
    }

    /// Returns the reasons why halves that were just written would not boot as wanted, a sentence each, for their record.
    ///
    /// # Errors
    /// If they cannot be read: no environment is made, and no reason recorded, without a verification.
    pub fn reasons_to_record(&self, root: &Path, boot: &Path) -> Result<Vec<String>> {
        let (root, boot) = (Tree::open(root)?, Tree::open(boot)?);
        self.read_by(self.verify(&root, &boot)?)
    }

    /// Returns the reasons why these halves would not boot once the wanted configuration is written, a sentence each;
    /// nothing is written.
    ///
    /// # Errors
    /// If it cannot be written, or the halves cannot be read.
    pub fn reasons_once_written(&self, root: &Path, boot: &Path) -> Result<Vec<String>> {
        let (root, boot) = (Tree::open(root)?, Tree::open(boot)?);
        let edits = Edits::new(self, &root, &boot)?;
        let (boot_files, root_files) = edits.files(self, &root)?;
        let (root, boot) = (
            Overlay {
                files: &root,
                written: &root_files,
            },
            Overlay {
                files: &boot,
                written: &boot_files,
            },
        );
        self.read_by(self.verify(&root, &boot)?)
    }

    fn read_by(&self, (reasons, unread): (Vec<String>, Option<io::Error>)) -> Result<Vec<String>> {
        match unread {
            None => Ok(reasons),
            Some(e) => Err(e).with_context(|| format!("verifying that {} would boot", self.name)),
        }
    }

    /// Returns the reasons, and what could not be read.
    fn verify<F: BootFiles>(&self, root: &F, boot: &F) -> Result<(Vec<String>, Option<io::Error>)> {
        let (root_seen, boot_seen) = (Watched::new(root), Watched::new(boot));
        // The same files are read for each model that the node may be.
        let (root, boot) = (Remembered::new(&root_seen), Remembered::new(&boot_seen));
        let mut reasons = boot::verify(
            &boot,
            &root,
            &self.for_boot(Vec::new()),
            &self.boot_mount,
            &self.boot_spec,
        )?;
        if let Some(machine) = self.machine {
            machine.explain(&self.hostname, &mut reasons);
        }
        reasons.extend(data::reasons(&root, &self.data, &self.name));
        let ended = boot_seen.ended().and_then(|()| root_seen.ended());
        Ok((reasons, ended.err()))
    }

    /// Returns whether missing mounts of the data are the only reason against booting these halves, and can be written.
    pub fn lacks_data_alone(&self, root: &Path, boot: &Path) -> Result<bool> {
        let without = Self {
            data: Vec::new(),
            ..self.clone()
        };
        let tree = Tree::open(root)?;
        let text = tree.read_text(FSTAB)?.unwrap_or_default();
        let is_of_data =
            |reason: &String| crate::boot::data::reasons_against(&text, &[]).contains(reason);
        let others = without.reasons_against(root, boot)?;
        Ok(others.iter().all(is_of_data) && data::obstacles(&tree, &self.data)?.is_empty())
    }
}
