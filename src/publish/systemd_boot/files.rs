//! Files on the EFI system partition, named by their content.
//!
//! A file is whole where it has its name: it is written under another one, and made durable, before it gets that.

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

/// What a name ends with while a file is written.
pub(super) const NEW: &str = ".new";

/// A file of a boot half.
#[derive(Debug)]
pub(super) struct File {
    /// Its path there.
    pub(super) path: String,
    /// Its name on the partition.
    pub(super) name: String,
    /// In bytes.
    pub(super) length: u64,
    source: std::fs::File,
}

/// Checksums, each computed once: snapshots of a file have its number and its times.
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

/// Writes a text in place of a file's.
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
    // Its place in FAT's table, too, before it has its name.
    file.sync_all()?;
    nix::unistd::syncfs(file)?;
    let name = path.rsplit('/').next().unwrap_or(path);
    Ok(tree.rename(&format!("{path}{NEW}"), name)?)
}
