//! What a killed netbe left in a [`Tree`] beside a file that it was about to replace.
//!
//! A replacement is made under a hidden name beside the file, and renamed. Promises that no link and no mount is followed,
//! and that the search ends whatever a node has put into its tree. Not for removing them.

use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use rustix::fs::{Dir, FileType};

use super::{NAMES_MAX, Tree};
use crate::fs::interrupt;
use crate::fs::path_error::{at_path, with_path};

/// Returns the hidden name of the replacement of a file, in the same directory.
pub fn replacement(name: &str) -> String {
    format!(".{name}.netbe-new")
}

fn is_replacement(name: &str) -> bool {
    let inner = name.strip_prefix('.');
    inner
        .and_then(|name| name.strip_suffix(".netbe-new"))
        .is_some_and(|name| !name.is_empty())
}

impl Tree {
    /// Returns the paths of replacements that did not take their place, in a directory and those below it, `depth` levels in
    /// all; none if it does not exist.
    ///
    /// They may be those of a running command. More than [`NAMES_MAX`] names are an error.
    pub fn half_replaced(&self, directory: &str, depth: usize) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        let mut count = 0;
        let mut directories = vec![(directory.to_string(), depth)];
        while let Some((directory, depth)) = directories.pop() {
            let place = Path::new(match directory.as_str() {
                "" => ".",
                directory => directory,
            });
            let failed = |e| with_path(e, &self.path.join(place));
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
            let failed_reading = |e: rustix::io::Errno| at_path(&e.into(), &self.path.join(place));
            let dir = match self.open_path_without_links(place, flags) {
                Ok(opened) => Dir::new(opened).map_err(failed_reading)?,
                // No directory, a link, a mount, or removed meanwhile.
                Err(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP | Errno::EXDEV) => continue,
                Err(e) => return Err(failed(e)),
            };
            for entry in dir {
                interrupt::check_io()?;
                count += 1;
                if count > NAMES_MAX {
                    return Err(self.too_many_names(""));
                }
                let entry = entry.map_err(failed_reading)?;
                // netbe writes no name that is not UTF-8.
                let Ok(name) = entry.file_name().to_str() else {
                    continue;
                };
                let path = match directory.as_str() {
                    "" => name.to_string(),
                    directory => format!("{directory}/{name}"),
                };
                match entry.file_type() {
                    FileType::Directory | FileType::RegularFile | FileType::Symlink
                        if is_replacement(name) =>
                    {
                        found.push(path);
                    }
                    FileType::Directory if depth > 1 && name != "." && name != ".." => {
                        directories.push((path, depth - 1));
                    }
                    _ => {}
                }
            }
        }
        found.sort();
        Ok(found)
    }

    pub(super) fn too_many_names(&self, path: &str) -> io::Error {
        let path = self.path.join(path);
        let path = path.display();
        io::Error::other(format!("{path} holds more than {NAMES_MAX} names"))
    }
}
