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
    if !mode.dry_run
        && let Some(env) = running(pool)?
    {
        done.warnings = existing::write(pool, &env.node, &env.name, mode)?;
    }
    let lock = mode.locks(pool, || pool.lock(mode.wait))?;
    let more = publish::everything(pool, lock.as_ref())?;
    done.steps.extend(more.steps);
    done.warnings.extend(more.warnings);
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
    let made = create::create(pool, &request, mode)?;
    let pruned = prune::prune(pool, &[node.name], prune::Request::default(), mode)?;
    match pruned.failures.into_iter().next() {
        Some(failure) => Err(failure),
        None => Ok(Some(made)),
    }
}
