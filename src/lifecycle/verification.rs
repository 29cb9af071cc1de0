//! Would it boot? What is checked before a machine is led to an environment.
//!
//! Kernel, initramfs and modules belong together; boot files and fstab name this environment; the command
//! line fits. Reads only. Not for whether the network offers it.

use anyhow::Result;

use super::dressing::Wanted;
use crate::pool::{Environment, Node, Pool};

/// Returns the reasons why an environment would not boot on its node, a sentence each; none when it is
/// sound.
pub fn reasons(pool: &Pool, node: &Node, env: &Environment) -> Result<Vec<String>> {
    if !env.problems.is_empty() {
        return Ok(env.problems.clone());
    }
    let record = env.record_for_change()?;
    let wanted = Wanted::new(pool, &node.name, &node.record, &env.name, &record)?;
    wanted.reasons_against(&env.root(), &env.boot())
}
