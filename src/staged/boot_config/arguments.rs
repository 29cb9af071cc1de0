//! Wanted arguments on the kernel command line besides those of the properties.
//!
//! Not for writing them.

use std::path::Path;

use anyhow::Result;

use super::Wanted;
use crate::boot;
use crate::fs::rooted::Tree;
use crate::pool::record::EnvRecord;

impl Wanted {
    /// Wants the arguments that the running system was started with, if no menu has others.
    #[must_use]
    pub fn started_with(mut self, cmdline: Option<String>) -> Self {
        self.started_with = cmdline;
        self
    }

    /// Wants one more argument on the kernel command line, unless there is one with its key.
    pub fn with_argument(
        mut self,
        key: &str,
        value: &str,
        boot: &Path,
        root: &Path,
    ) -> Result<Self> {
        let (boot, root) = (Tree::open(boot)?, Tree::open(root)?);
        let line = boot::summary_for(&boot, &root, self.serial.as_deref())
            .cmdline
            .unwrap_or_default();
        let added = self.add.iter().map(String::as_str);
        // What netbe had added goes, with what another attempt left: it would not be there afterwards.
        let own = line
            .split_whitespace()
            .filter(|token| !self.remove.iter().any(|removed| removed == token));
        let mut keys = own.chain(added).filter_map(|token| token.split('=').next());
        if !keys.any(|k| k == key) {
            self.add.push(format!("{key}={value}"));
        }
        Ok(self)
    }

    /// Returns the record to be stored before the boot files of an existing environment are written: it lists the arguments that
    /// are to be added besides those that were; `None` if it lists them already.
    ///
    /// Without it, netbe killed between two files would leave arguments in some that count as the environment's own: they would
    /// never be removed, and come into its copies.
    pub fn announced(&self, record: &EnvRecord) -> Option<EnvRecord> {
        let mut announced = record.clone();
        let is_new = |argument: &&String| !record.added.contains(argument);
        announced
            .added
            .extend(self.add.iter().filter(is_new).cloned());
        (announced.added.len() > record.added.len()).then_some(announced)
    }

    /// Wants an environment's own arguments with this key to stay, if they did not come from the property `cmdline`.
    #[must_use]
    pub fn keeping(mut self, key: &str) -> Self {
        let starts = format!("{key}=");
        let removed = self.remove.iter().find(|token| token.starts_with(&starts));
        if let Some(removed) = removed.filter(|_| !self.add.iter().any(|t| t.starts_with(&starts)))
        {
            self.add.push(removed.clone());
        }
        self
    }
}
