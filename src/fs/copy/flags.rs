//! Copies the flags of chattr(1) within one btrfs; files whose flags cannot be set are reported.

use std::ffi::c_int;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use super::{Walk, file_flags, opener};

impl Walk<'_> {
    /// Returns the flags of a source that its copy is to have.
    pub(super) fn flags_of(&self, source: &impl AsFd) -> c_int {
        match self.rules.flags {
            true => file_flags::get(source).unwrap_or(0) & file_flags::KEPT,
            false => 0,
        }
    }

    /// Gives a copy its flags, except those that protect it: see [`Self::protect`].
    pub(super) fn set_flags(&mut self, copy: &File, flags: c_int) {
        if !self.rules.flags {
            return;
        }
        let plain = flags & !file_flags::PROTECTED;
        let now = file_flags::get(copy).unwrap_or(0);
        let wanted = (now & !file_flags::KEPT) | plain;
        if now != wanted
            && (file_flags::set(copy, wanted).is_err()
                || file_flags::get(copy).is_ok_and(|now| now & file_flags::KEPT != plain))
        {
            self.report.without_flags.push(self.path.clone());
        }
        let protection = flags & file_flags::PROTECTED;
        if protection != 0 {
            self.protected.push((self.path.clone(), protection));
        }
    }

    /// Protects the copies of protected files, which cannot be changed afterwards.
    pub(super) fn protect(&mut self) {
        for (path, flags) in std::mem::take(&mut self.protected) {
            if path.as_os_str().is_empty() {
                self.report.top_protection = flags;
            } else if protect(self.top, &path, flags).is_none() {
                self.report.without_flags.push(path);
            }
        }
    }
}

fn protect(top: &File, path: &Path, flags: c_int) -> Option<()> {
    let parent = opener::directory_beneath(top, path.parent().unwrap_or(Path::new(""))).ok()?;
    let name = path.file_name()?;
    let file = match opener::file_at(&parent, name) {
        Ok(Some(file)) => file,
        _ => File::from(opener::directory_at(&parent, name).ok()?),
    };
    file_flags::add(&file, flags).ok()
}
