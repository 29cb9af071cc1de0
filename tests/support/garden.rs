//! Random changes of a tree: files, directories, links of every kind, owners, modes, attributes.

// What cannot be done to a tree says with a panic why.
#![allow(clippy::unwrap_used)]

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use super::{Numbers, noise};

/// A tree that things are done to.
#[derive(Debug)]
pub struct Garden<'a> {
    /// Its top.
    pub top: &'a Path,
    /// Says what is done.
    pub numbers: &'a mut Numbers,
}

impl Garden<'_> {
    fn all(&self, directories: bool) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut waiting = vec![self.top.to_path_buf()];
        while let Some(directory) = waiting.pop() {
            for entry in fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                let is_directory = path.symlink_metadata().unwrap().is_dir();
                if is_directory {
                    waiting.push(path.clone());
                }
                if is_directory == directories {
                    found.push(path);
                }
            }
        }
        if directories {
            found.push(self.top.to_path_buf());
        }
        found.sort();
        found
    }

    fn any(&mut self, directories: bool) -> Option<PathBuf> {
        let all = self.all(directories);
        (!all.is_empty()).then(|| all[self.numbers.below(all.len())].clone())
    }

    fn fresh(&mut self) -> PathBuf {
        let directory = self.any(true).unwrap();
        let mut name = format!("n{}", self.numbers.below(12)).into_bytes();
        if self.numbers.below(8) == 0 {
            name.extend(b"\xff\n");
        }
        directory.join(OsString::from_vec(name))
    }

    /// Does one thing; what cannot be done is not.
    pub fn step(&mut self) {
        let size = [0, 100, 3000, 5000, 70_000][self.numbers.below(5)];
        let seed = self.numbers.below(4) as u64;
        let fresh = self.fresh();
        let Some(file) = self.any(false) else {
            let _ = fs::write(&fresh, noise(size, seed));
            return;
        };
        let is_plain = file.symlink_metadata().is_ok_and(|m| m.is_file());
        let directory = self.any(true).unwrap();
        match self.numbers.below(17) {
            // A pipe would wait for a reader.
            0 | 1 if fresh.symlink_metadata().is_err() => {
                fs::write(&fresh, noise(size, seed)).unwrap();
            }
            2 => drop(fs::create_dir(&fresh)),
            3 => drop(symlink(format!("to{seed}"), &fresh)),
            4 if is_plain => {
                let open = File::options().write(true).open(&file).unwrap();
                let at = self.numbers.below(50_000) as u64;
                open.write_all_at(&noise(100, seed), at).unwrap();
            }
            5 if is_plain => {
                let open = File::options().write(true).open(&file).unwrap();
                open.set_len(self.numbers.below(80_000) as u64).unwrap();
            }
            6 => drop(fs::remove_file(&file)),
            7 if directory != self.top => drop(fs::remove_dir_all(&directory)),
            8 | 9 => drop(fs::rename(&file, &fresh)),
            10 if directory != self.top => drop(fs::rename(&directory, &fresh)),
            11 => drop(fs::hard_link(&file, &fresh)),
            12 if is_plain => {
                let mode = [0o644, 0o600, 0o4755][self.numbers.below(3)];
                fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            }
            13 => drop(chown(&directory, Some(self.numbers.below(3) as u32), None)),
            14 if is_plain => xattr::set(&file, "user.x", &[seed as u8]).unwrap(),
            // The same content once more.
            15 if is_plain => {
                let content = fs::read(&file).unwrap();
                fs::write(&file, content).unwrap();
            }
            16 => {
                let fifo = nix::sys::stat::Mode::S_IRUSR;
                let _ = nix::unistd::mkfifo(&fresh, fifo);
            }
            _ => {}
        }
    }
}
