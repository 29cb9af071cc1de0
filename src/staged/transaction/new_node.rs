//! The content of a new node's stage: the directory of its first environment, and the link to it.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use super::{Complete, StagedEnvironment};
use crate::fs::atomic;
use crate::pool::stage::Staged;
use crate::pool::{EnvName, NodeName, layout};

/// Makes the directory of an environment in a staged node.
pub(in crate::staged) fn directory_in(stage: &Staged, env: &EnvName) -> Result<PathBuf> {
    let dir = stage.path().join(layout::ENVS).join(env.as_str());
    atomic::directories(&dir)?;
    Ok(dir)
}

/// A complete environment that passed verification, or is a template's: its node may be published with it active.
#[derive(Debug)]
pub struct Bootable {
    dir: PathBuf,
    env: EnvName,
}

impl Complete {
    /// Returns it as one that may be active.
    ///
    /// # Errors
    /// If it did not pass verification.
    pub(in crate::staged) fn bootable(&self, of: &StagedEnvironment) -> Result<Bootable> {
        ensure!(
            self.verified && self.dir == of.dir,
            "{} was not verified",
            of.target().id()
        );
        Ok(Bootable {
            dir: self.dir.clone(),
            env: of.env.clone(),
        })
    }
}

/// Makes the link `active` of a staged node.
pub(in crate::staged) fn point_to(
    stage: &Staged,
    node: &NodeName,
    active: &Bootable,
) -> Result<()> {
    let Bootable { dir, env } = active;
    ensure!(
        dir.starts_with(stage.path()),
        "{env} is not in the stage of {node}"
    );
    let link = stage.path().join(layout::ACTIVE);
    std::os::unix::fs::symlink(layout::active_target(env), link)
        .with_context(|| format!("activating {node}/{env}"))
}
