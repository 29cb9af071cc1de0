//! `merge` and `activate --merge`: what each side changed is in the result, or named.

// Tests say with a panic what went wrong; clippy knows only functions marked as tests.
#![allow(clippy::unwrap_used)]

mod activate;
mod again;
mod choice;
mod files;
mod random;
#[path = "../support/mod.rs"]
mod support;
mod texts;

use std::fs;
use std::path::{Path, PathBuf};

use support::Pool;

/// Returns the path of a file of the root half.
fn at(pool: &Pool, environment: &str, path: &str) -> PathBuf {
    pool.half(environment, "root").join(path)
}

/// Writes a file of the root half, as its node may at any time.
fn write(pool: &Pool, environment: &str, path: &str, text: &str) {
    let path = at(pool, environment, path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Returns a file's text; "-" if there is none.
fn read(pool: &Pool, environment: &str, path: &str) -> String {
    let path = at(pool, environment, path);
    match path.symlink_metadata() {
        Ok(_) => fs::read_to_string(path).unwrap(),
        Err(_) => "-".to_string(),
    }
}

/// Returns the names in a directory of the root half, sorted.
fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
