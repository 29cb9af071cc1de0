//! The differences of two environments: `diff`.
//!
//! Takes no lock, changes nothing, and runs nothing of either. Not for the output format.

pub mod boot;
pub mod files;

use anyhow::{Context, Error, Result};
use serde::Serialize;

use crate::failure::Failure;
use crate::fs::rooted::Tree;
use crate::packages::{self, Changes, Inventory};
use crate::pool::{Environment, Operand, Origin, Pool};

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Packages.
    pub packages: bool,
    /// Files.
    pub files: bool,
    /// Boot settings.
    pub boot: bool,
}

/// The differences.
#[derive(Debug)]
pub struct Difference {
    /// The first; it need not exist any more.
    pub from: Origin,
    /// The second.
    pub to: Origin,
    /// The differences of packages; `None` if not requested, or unknown.
    pub packages: Option<Changes>,
    /// The source of these.
    pub known_by: KnownBy,
    /// The differences of files; likewise.
    pub files: Option<files::Files>,
    /// The differences of boot settings; likewise.
    pub boot: Option<Vec<boot::Text>>,
    /// The failures.
    pub failures: Vec<Error>,
}

/// The source of the differences of packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum KnownBy {
    /// Both package databases.
    Databases,
    /// The record of the second's upgrade, since the first does not exist any more.
    Report,
}

/// Compares two environments; one alone with its origin.
///
/// # Errors
/// `NotFound` if one does not exist, or the origin is unknown or does not exist.
pub fn between(
    pool: &Pool,
    first: &Operand,
    second: Option<&Operand>,
    wanted: Wanted,
) -> Result<Difference> {
    let first = pool.resolve(first)?;
    if let Some(second) = second {
        return Ok(compare(pool, &first, &pool.resolve(second)?, wanted));
    }
    let to = first;
    let Some(origin) = to.record.as_ref().and_then(|r| r.origin.clone()) else {
        let why = match &to.record {
            Some(_) => format!("{to} has no origin"),
            None => format!(
                "the origin of {to} is not known: {}",
                to.problems.join("; ")
            ),
        };
        return Err(name_another(&why, &to));
    };
    if let Some(from) = origin_of(pool, &origin)? {
        return Ok(compare(pool, &from, &to, wanted));
    }
    match to.record.as_ref().and_then(|r| r.upgrade.clone()) {
        Some(packages) if wanted.packages => Ok(Difference {
            from: origin,
            to: identity(&to),
            packages: Some(packages),
            known_by: KnownBy::Report,
            files: None,
            boot: None,
            failures: Vec::new(),
        }),
        _ => {
            let why = format!("{origin}, the origin of {to}, does not exist any more");
            Err(name_another(&why, &to))
        }
    }
}

fn name_another(why: &str, env: &Environment) -> anyhow::Error {
    Failure::not_found(format!("{why}: name the environment to compare it with"))
        .hint(format!("netbe list {}", env.node))
        .into()
}

/// Returns the environment of an origin, which may have been renamed.
pub(super) fn origin_of(pool: &Pool, origin: &Origin) -> Result<Option<Environment>> {
    let is = |env: &Environment| env.uuid() == Some(&origin.uuid);
    // Usually it still has that name; all environments are read only if not.
    if let (Ok(node), Ok(name)) = (origin.node.parse(), origin.name.parse())
        && let Ok(env) = pool.environment(&node, &name)
        && is(&env)
    {
        return Ok(Some(env));
    }
    for node in pool.nodes()? {
        // A node that cannot be read does not stop the search.
        let found = node.environments().unwrap_or_default().into_iter().find(is);
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Compares each part; a failure of one does not stop the others.
fn compare(pool: &Pool, from: &Environment, to: &Environment, wanted: Wanted) -> Difference {
    let mut failures = Vec::new();
    let _files = [from, to].map(|env| env.show_files().map_err(|e| failures.push(e)).ok());
    let mut attempts = Failures(&mut failures);
    let packages = attempts.attempt(wanted.packages, || {
        Ok(packages::changes(&inventory(from)?, &inventory(to)?))
    });
    let boot = attempts.attempt(wanted.boot, || boot::between(from, to));
    let files = attempts.attempt(wanted.files, || files::between(pool, from, to));
    Difference {
        from: identity(from),
        to: identity(to),
        packages,
        known_by: KnownBy::Databases,
        files,
        boot,
        failures,
    }
}

/// Collects failures.
struct Failures<'a>(&'a mut Vec<Error>);

impl Failures<'_> {
    fn attempt<T>(&mut self, wanted: bool, find: impl FnOnce() -> Result<T>) -> Option<T> {
        if !wanted {
            return None;
        }
        find().map_err(|e| self.0.push(e)).ok()
    }
}

fn inventory(env: &Environment) -> Result<Inventory> {
    let what = || format!("reading the packages of {env}");
    let root = Tree::open(&env.root()).with_context(what)?;
    packages::installed(&root).with_context(what)
}

fn identity(env: &Environment) -> Origin {
    Origin {
        node: env.node.to_string(),
        name: env.name.to_string(),
        uuid: env.uuid().unwrap_or_default().to_string(),
    }
}
