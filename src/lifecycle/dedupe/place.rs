//! Where what is compared lies.

use std::path::PathBuf;

/// One half of an environment.
#[derive(Debug)]
pub(super) struct Place {
    /// Its environment, by number.
    pub env: usize,
    /// Its top.
    pub path: PathBuf,
}
