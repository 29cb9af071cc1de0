//! What the nodes of a pool that was taken over boot next, verified as everything that becomes a next boot.
//!
//! Only warns: names led to it before, and machines may run it. Not for refusing a pool.

use anyhow::Result;

use crate::pool::Pool;
use crate::staged::Verified;

/// Returns warnings of what nodes boot next and would not boot, a sentence each.
pub(super) fn warnings(pool: &Pool) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    for node in pool.nodes()?.iter().filter(|node| !node.lost) {
        let Ok(Some(env)) = node.active_if_any() else {
            continue;
        };
        if let Err(e) = Verified::new(pool, node, &env, false) {
            let name = &node.name;
            warnings.push(format!(
                "{name} boots {env} next: {e:#}; netbe check {name}"
            ));
        }
    }
    Ok(warnings)
}
