//! The content of a new node's stage: the directory of its first environment, and the link to it.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::fs::atomic;
use crate::pool::stage::Staged;
use crate::pool::{EnvName, NodeName, layout};

/// Makes the directory of an environment in a staged node.
pub(in crate::staged) fn directory_in(stage: &Staged, env: &EnvName) -> Result<PathBuf> {
    let dir = stage.path().join(layout::ENVS).join(env.as_str());
    atomic::directories(&dir)?;
    Ok(dir)
}

/// Makes the link `active` of a staged node.
pub(in crate::staged) fn point_to(stage: &Staged, node: &NodeName, env: &EnvName) -> Result<()> {
    let link = stage.path().join(layout::ACTIVE);
    std::os::unix::fs::symlink(layout::active_target(env), link)
        .with_context(|| format!("activating {node}/{env}"))
}
