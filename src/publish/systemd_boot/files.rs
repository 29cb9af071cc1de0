//! Files on the EFI system partition, named by their content.
//!
//! A file under its final name is complete: it is written under a temporary name and made durable before it is renamed.

use std::collections::HashMap;
use std::io::{self, Seek, Write};
use std::os::unix::fs::MetadataExt;

use anyhow::{Context, Result};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use sha2::{Digest, Sha256};

use crate::fs::interrupt;
use crate::fs::rooted::Tree;
use crate::hex;

/// The suffix of a temporary name.
pub(super) const NEW: &str = ".new";

/// A file of a boot half.
#[derive(Debug)]
pub(super) struct File {
    /// Its path in the boot half.
    pub(super) path: String,
    /// Its name on the partition.
    pub(super) name: String,
    /// Its length, in bytes.
    pub(super) length: u64,
    source: std::fs::File,
}

/// Checksums, each computed once for all snapshots of a file, which have the same inode number and times.
#[derive(Debug, Default)]
pub(super) struct Digests(HashMap<(u64, u64, i64, i64, i64, i64), String>);

impl Digests {
    /// Returns a file of a boot half.
    pub(super) fn file(&mut self, boot: &Tree, path: &str) -> Result<File> {
        let mut source = boot.open_file(path)?.context("it does not exist")?;
        let found = source.metadata()?;
        let key = (
            found.ino(),
            found.len(),
            found.mtime(),
            found.mtime_nsec(),
            found.ctime(),
            found.ctime_nsec(),
        );
        let digest = match self.0.get(&key) {
            Some(digest) => digest.clone(),
            None => {
                let digest = digest(&mut source)?;
                self.0.insert(key, digest.clone());
                digest
            }
        };
        let base = path.rsplit('/').next().unwrap_or(path);
        Ok(File {
            path: path.to_string(),
            name: format!("{digest}-{base}"),
            length: found.len(),
            source,
        })
    }
}

fn digest(source: &mut std::fs::File) -> Result<String> {
    let mut sum = Sha256::new();
    io::copy(&mut interrupt::Reader::new(source), &mut sum)?;
    let digits = hex::digits(&sum.finalize());
    Ok(digits[..16].to_string())
}

/// Copies a file into a directory of the partition.
pub(super) fn copy(tree: &Tree, file: &File, dir: &str) -> Result<()> {
    let path = format!("{dir}/{}", file.name);
    let mut to = new_file(tree, &path)?;
    let mut source = &file.source;
    source.rewind()?;
    io::copy(&mut interrupt::Reader::new(source), &mut to)?;
    finish(tree, &to, &path)
}

/// Replaces the text of a file.
pub(super) fn replace(tree: &Tree, path: &str, text: &str) -> Result<()> {
    let mut to = new_file(tree, path)?;
    to.write_all(text.as_bytes())?;
    finish(tree, &to, path)
}

fn new_file(tree: &Tree, path: &str) -> Result<std::fs::File> {
    if let Some((dir, _)) = path.rsplit_once('/') {
        tree.make_dirs(dir)?;
    }
    let new = format!("{path}{NEW}");
    tree.remove_file(&new)?;
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL;
    Ok(tree
        .open_at(&new, flags, Mode::from_bits_truncate(0o644))?
        .into())
}

fn finish(tree: &Tree, file: &std::fs::File, path: &str) -> Result<()> {
    // Includes its entry in FAT's table, before the rename.
    file.sync_all()?;
    nix::unistd::syncfs(file)?;
    let name = path.rsplit('/').next().unwrap_or(path);
    Ok(tree.rename(&format!("{path}{NEW}"), name)?)
}
