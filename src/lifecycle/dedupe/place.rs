//! The halves that are compared.

use std::path::PathBuf;

/// One half of an environment.
#[derive(Debug)]
pub(super) struct Place {
    /// The index of its environment.
    pub env: usize,
    /// Its top directory.
    pub path: PathBuf,
}
