//! Subvolumes inside an environment's halves, which a plain snapshot leaves out.

use super::{Finding, remedy};
use crate::btrfs::subvolume;
use crate::fs::shown_path::{quoted, shortened};
use crate::pool::{Environment, Node};

/// How many nested subvolumes of a half get a finding each.
const NESTED: usize = 20;

/// Finds the nested subvolumes of an environment.
pub(super) fn of_environment(node: &Node, env: &Environment) -> Vec<Finding> {
    let mut found = Vec::new();
    let flat = || {
        let envs = node.environments().unwrap_or_default();
        remedy::copy_of(env, &envs, "flat")
    };
    for (half, path) in [("root", env.root()), ("boot", env.boot())] {
        let Ok(nested) = subvolume::nested(&path) else {
            continue;
        };
        found.extend(nested.iter().take(NESTED).map(|inner| {
            Finding::new(
                env,
                format!(
                    "its {half} half holds the nested subvolume {}, which a plain snapshot leaves out, and a clone has as a \
                     directory",
                    shortened(&inner.path)
                ),
                format!("netbe clone {env} {}", flat()),
            )
        }));
        if nested.len() > NESTED {
            found.push(Finding::new(
                env,
                format!(
                    "its {half} half holds {} more nested subvolumes",
                    nested.len() - NESTED
                ),
                format!("btrfs subvolume list -o {}", quoted(&path)),
            ));
        }
    }
    found
}
