//! Results of reading large files, kept in memory for as long as this process runs.
//!
//! The environments of a node, and those of one template, have their kernels and initramfs in common until one is upgraded;
//! to unpack one takes a tenth of a second. Promises that a result is that of the same bytes. Errors are not remembered.

use std::io;
use std::sync::{Mutex, PoisonError};

use super::files::BootFiles;
use crate::btrfs::content::Content;
use crate::fs::interrupt;

/// How many results are remembered: an initramfs' names take up to half a megabyte.
const MOST: usize = 32;

/// Files by their names, which a result may contain, and what they hold.
type Key = Vec<(String, Content)>;

/// The results of one way to look at files.
#[derive(Debug)]
pub(crate) struct Known<T>(Mutex<Vec<(Key, T)>>);

impl<T: Clone> Known<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Returns what is known of files with this content, or looks.
    pub(crate) fn find(
        &self,
        files: &dyn BootFiles,
        paths: &[String],
        look: impl FnOnce() -> io::Result<T>,
    ) -> io::Result<T> {
        let Some(key) = key(files, paths) else {
            return look();
        };
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, found)) = known().iter().find(|(of, _)| *of == key) {
            return Ok(found.clone());
        }
        let found = look()?;
        // A file that changed meanwhile is not remembered, nor the result of a look that was interrupted.
        if interrupt::requested().is_none() && self::key(files, paths).as_ref() == Some(&key) {
            let mut known = known();
            if known.len() == MOST {
                known.remove(0);
            }
            known.push((key, found.clone()));
        }
        Ok(found)
    }
}

fn key(files: &dyn BootFiles, paths: &[String]) -> Option<Key> {
    paths
        .iter()
        .map(|path| Some((path.clone(), files.content(path)?)))
        .collect()
}
