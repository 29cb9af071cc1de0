//! Running the commands of an upgrade, with the pool's package cache.
//!
//! Not for a single command, nor for the result.

use anyhow::Result;

use super::downloads::Packages;
use super::{LOG, Run, changed, program};
use crate::fs::interrupt;
use crate::pool::Pool;
use crate::sandbox::{Bound, Sandbox, unlimited};
use crate::staged::StagedEnvironment;

/// The notes of a run, a sentence each.
pub(super) struct Ran {
    /// Other notes.
    pub(super) notes: Vec<String>,
    /// Notes from the package manager's output.
    pub(super) package_notes: Vec<String>,
}

impl Run<'_> {
    /// Runs all commands.
    pub(super) fn run_commands(
        &self,
        pool: &Pool,
        staged: &StagedEnvironment,
        data: &[Bound],
    ) -> Result<Ran> {
        let log = program::new_log(&staged.dir().join(LOG))?;
        let (root, boot) = (staged.root(), staged.boot());
        let mut packages = Packages::begin(pool, self.node, self.request.beside_others)?;
        let dir = packages.dir().to_path_buf();
        let sandbox = Sandbox {
            root: &root,
            boot: &boot,
            boot_mount: &self.before.boot_mount,
            hostname: self.node.name.as_str(),
            // A result that becomes an environment passes `Staged::publish`, which makes all of it durable
            // before it has a name; any other result is thrown away.
            durable: self.durable,
            network: &self.network,
            packages: Some(&dir),
            data,
        };
        let mut notes: Vec<String> = unlimited()
            .iter()
            .map(|what| {
                format!(
                    "what it ran had no limit on {what}: this machine has no control group for it"
                )
            })
            .collect();
        let mut without_cache = |result: Result<()>| match result {
            Err(error) if interrupt::requested().is_none() => notes.push(format!(
                "packages may have been downloaded although the pool has them: {error:#}"
            )),
            _ => {}
        };
        let echo = self.request.echo;
        let mut package_notes = Vec::new();
        let mut ended = Ok(());
        for (number, step) in self.steps.iter().enumerate() {
            if let Some(downloads) = &self.downloads
                && number + 1 == self.steps.len()
            {
                without_cache(packages.make_ready(&sandbox, downloads, &log, echo));
                interrupt::check()?;
            }
            let from = log.metadata()?.len();
            match program::step(&sandbox, step, &log, echo) {
                Ok(status) => package_notes.extend(changed::notes_of(step, status, &log, from)),
                Err(failed) => {
                    ended = Err(failed);
                    break;
                }
            }
        }
        interrupt::check()?;
        // Also after a failure, so that nothing has to be downloaded again.
        without_cache(packages.harvest());
        ended.map(|()| Ran {
            notes,
            package_notes,
        })
    }
}
