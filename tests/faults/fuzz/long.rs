//! Long things: what is read must not take the square of its length, or more.

use std::time::Duration;

use super::{boot, packages, trees};
use crate::report::figures;

/// How long any of them may take in a build that is not optimised, other things running beside it.
const LIMIT: Duration = Duration::from_secs(60);

/// Reads them all.
pub(super) fn judge() {
    let mut found = boot::long();
    found.extend(packages::long());
    found.extend(trees::long());
    let slowest = found
        .iter()
        .max_by_key(|(_, took)| *took)
        .expect("there are some");
    figures(&format!(
        "fuzz: {} long things, slowest {:?} ({})",
        found.len(),
        slowest.1,
        slowest.0
    ));
    let over: Vec<_> = found.iter().filter(|(_, took)| *took > LIMIT).collect();
    assert!(over.is_empty(), "{over:#?}");
}
