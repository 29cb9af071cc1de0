//! Bringing a system in as an environment: `import`.
//!
//! Unpacked into a stage, found to be a system with a kernel, made to name itself, published by one
//! rename. A node that does not exist becomes a template, and the environment its active one. Its identity
//! is what it brings; what is made from it for another node gets one of its own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;

use super::bring_in::{self, Halves, Progress, Source};
use super::dressing::{self, Wanted};
use super::{Mode, Outcome, creation};
use crate::pool::record::{self, EnvRecord, NodeRecord};
use crate::pool::stage::{self, Staged};
use crate::pool::{EnvName, Node, Operand, Pool, layout};
use crate::storage::{btrfs, interrupt};

/// What is asked for.
#[derive(Debug)]
pub struct Request {
    /// The environment to make; without a name it gets one made of the time.
    pub target: Operand,
    /// What to bring in.
    pub source: Source,
    /// Where the boot half is, if not in the source.
    pub boot: Option<PathBuf>,
    /// What to say of it.
    pub description: String,
}

/// What was brought in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Its name, `NODE/ENV`.
    pub name: String,
    /// Whether its node is a new template.
    pub template: bool,
    /// The kernel it brings, where its version is known.
    pub kernel: Option<String>,
    /// What else a person should know, a sentence each.
    pub notes: Vec<String>,
    /// What is not as it should be, a sentence each.
    pub warnings: Vec<String>,
}

/// Brings a system in.
pub fn import(
    pool: &Pool,
    request: &Request,
    progress: &mut dyn Progress,
    mode: Mode,
) -> Result<Outcome<Imported>> {
    let _lock = mode.lock(pool, &request.target.node)?;
    let existing = match pool.node(&request.target.node) {
        Ok(node) => {
            node.refuse_lost()?;
            Some(node)
        }
        Err(e) if creation::is_not_found(&e) => None,
        Err(e) => return Err(e),
    };
    let env = creation::free_name(existing.as_ref(), &request.target)?;
    let name = format!("{}/{env}", request.target.node);
    if mode.dry_run {
        let mut steps = Vec::new();
        if existing.is_none() {
            steps.push(format!("make template {}", request.target.node));
        }
        steps.push(format!("unpack the source as {name}"));
        steps.push(format!("write the boot files and fstab of {name}"));
        return Ok(Outcome::Planned(steps));
    }
    let made = match &existing {
        Some(node) => into_node(pool, request, node, &env, progress)?,
        None => as_template(pool, request, &env, progress)?,
    };
    Ok(Outcome::Done(Imported {
        name,
        template: existing.is_none(),
        ..made
    }))
}

fn into_node(
    pool: &Pool,
    request: &Request,
    node: &Node,
    env: &EnvName,
    progress: &mut dyn Progress,
) -> Result<Imported> {
    let stage = Staged::new(&node.dir, env.as_str())?;
    let made = fill(pool, request, &node.record, env, stage.path(), progress)?;
    stage.publish(&layout::env(pool.root(), &node.name, env))?;
    Ok(made)
}

fn as_template(
    pool: &Pool,
    request: &Request,
    env: &EnvName,
    progress: &mut dyn Progress,
) -> Result<Imported> {
    let node = &request.target.node;
    let record = NodeRecord::new(true);
    let (stage, made) = creation::staged_node(pool, node, &record, env, |dir| {
        fill(pool, request, &record, env, dir, progress)
    })?;
    stage.publish(&layout::node(pool.root(), node))?;
    Ok(made)
}

/// Makes the halves and the record in a directory of a stage.
fn fill(
    pool: &Pool,
    request: &Request,
    node: &NodeRecord,
    env: &EnvName,
    dir: &Path,
    progress: &mut dyn Progress,
) -> Result<Imported> {
    let (root, boot, scratch) = (
        dir.join(layout::ROOT),
        dir.join(layout::BOOT),
        dir.join("scratch"),
    );
    btrfs::create(&root)?;
    btrfs::create(&boot)?;
    std::fs::create_dir(&scratch).with_context(|| format!("making {}", scratch.display()))?;
    let halves = Halves {
        root: &root,
        boot: &boot,
        scratch: &scratch,
    };
    let brought = bring_in::bring_in(&request.source, request.boot.as_deref(), &halves, progress)?;
    interrupt::check()?;
    stage::remove(&scratch)?;
    let uuid = btrfs::info(&root)?.uuid.to_string();
    let mut record = EnvRecord::new(uuid, Timestamp::now(), brought.boot_mount);
    record.description.clone_from(&request.description);
    progress.phase("Writing boot files");
    let wanted = Wanted::new(pool, &request.target.node, node, env, &record)?;
    let mut notes = brought.notes;
    notes.extend(dressing::dress(&wanted, &root, &boot, &mut record)?);
    let warnings = wanted
        .reasons_against(&root, &boot)?
        .into_iter()
        .map(|r| format!("it would not boot as it is: {r}"))
        .collect();
    record::write_before_sync(&dir.join("env.json"), &record)?;
    progress.phase("Making it durable");
    Ok(Imported {
        name: String::new(),
        template: false,
        kernel: record.kernel.map(|k| k.version),
        notes,
        warnings,
    })
}
