//! Which halves of an environment are read-only subvolumes.

use std::path::PathBuf;

use super::Environment;
use crate::btrfs::subvolume;
use crate::fs::opener;
use crate::pool::layout;

impl Environment {
    /// Returns the halves that are read-only subvolumes, by name and path.
    pub fn read_only_halves(&self) -> impl Iterator<Item = (&'static str, PathBuf)> {
        let halves = [(layout::ROOT, self.root()), (layout::BOOT, self.boot())];
        let known = self.read_only.into_iter();
        let halves = halves.into_iter().zip(known);
        let read_only = halves.filter(|((_, path), known)| {
            known.unwrap_or_else(|| {
                let top = opener::directory(path);
                top.and_then(|top| subvolume::is_read_only(&top))
                    .unwrap_or(false)
            })
        });
        read_only.map(|(half, _)| half)
    }
}
