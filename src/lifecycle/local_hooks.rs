//! The commands that the package managers of this machine call, by the hooks that `adopt` writes: before they change
//! packages, and after they have changed a kernel.

use anyhow::Result;

use super::create::{self, Created};
use super::local::running;
use super::properties::existing;
use super::{Mode, Outcome, prune};
use crate::pool::Pool;
use crate::publish::{self, Published};

/// Rewrites the loader's entries, and has the running environment boot its newest kernel.
///
/// Kernel packages call it when they are installed or removed in the running system.
pub fn publish(pool: &Pool, mode: Mode) -> Result<Published> {
    let mut done = Published::default();
    if let Some(env) = running(pool)? {
        match existing::write(pool, &env.node, &env.name, mode)? {
            Outcome::Planned(steps) => {
                // Only once the files are written is it known what the loader has of them.
                let entry = format!("write the loader's entry of {env}, if they change it");
                done.steps
                    .extend(steps.into_iter().flat_map(|step| [step, entry.clone()]));
            }
            Outcome::Done(written) => {
                done.steps = written.steps;
                done.warnings = written.warnings;
            }
        }
    }
    let lock = mode.locks(pool, || pool.lock(mode.wait))?;
    let more = publish::everything(pool, lock.as_ref())?;
    done.steps.extend(more.steps);
    done.warnings.extend(more.warnings);
    done.left.extend(more.left);
    Ok(done)
}

/// Copies the running environment before a package manager changes it, if `packages.before` is on; and prunes.
///
/// Does nothing if the machine does not run an environment of the pool.
pub fn before_packages(pool: &Pool, mode: Mode) -> Result<Option<Outcome<Created>>> {
    let Some(env) = running(pool)? else {
        return Ok(None);
    };
    let node = pool.node(&env.node)?;
    if node.property(pool, "packages.before").as_deref() != Some("on") {
        return Ok(None);
    }
    let request = create::Request {
        target: node.name.clone().into(),
        from: Some(env.id().into()),
        properties: Vec::new(),
        description: "before packages were changed".to_string(),
        activate: false,
        how: None,
        merge: false,
        packages: false,
    };
    let mut made = create::create(pool, &request, mode)?;
    let prune = prune::Request {
        with_new: mode.dry_run,
        ..prune::Request::default()
    };
    let pruned = prune::prune(pool, &[node.name], prune, mode)?;
    if let Some(failure) = pruned.failures.into_iter().next() {
        return Err(failure);
    }
    if let Outcome::Planned(steps) = &mut made {
        steps.extend(pruned.planned);
    }
    Ok(Some(made))
}
