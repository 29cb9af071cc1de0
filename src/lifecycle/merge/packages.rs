//! The packages that a node added to FROM or removed from it: named, and on request brought into the copy of TO.

use std::path::Path;

use anyhow::{Context, Result};

use super::base::Base;
use crate::failure::Failure;
use crate::fs::rooted::Tree;
use crate::lifecycle::data::thrown_away::ThrownAway;
use crate::lifecycle::upgrade::program;
use crate::packages::{Chosen, Distribution, Step, chosen, installed};
use crate::pool::layout::UPGRADE_LOG;
use crate::pool::record::EnvRecord;
use crate::pool::{Environment, Node, Pool, layout};
use crate::sandbox::{Network, Sandbox, emulation};

/// Returns the packages that FROM added and removed; none if a package database cannot be read.
pub(super) fn chosen(base: &Base, from: &Environment, to: &Path) -> Result<Chosen> {
    let (from, to) = (Tree::open(&from.root())?, Tree::open(to)?);
    let (Ok(of_from), Ok(of_to)) = (installed(&from), installed(&to)) else {
        return Ok(Chosen::default());
    };
    let automatic = chosen::automatic(&from);
    Ok(chosen::chosen(
        base.packages.as_ref(),
        &of_from,
        &of_to,
        &automatic,
    ))
}

/// Returns the commands that bring packages into a system.
pub(super) fn steps(to: &Environment, packages: &Chosen) -> Result<Vec<Step>> {
    commands(&Tree::open(&to.root())?, packages)
}

fn commands(root: &Tree, packages: &Chosen) -> Result<Vec<Step>> {
    let distribution = Distribution::read(root)?;
    let unknown = || {
        Failure::refused(format!(
            "netbe does not know how to install packages of {}",
            distribution.name
        ))
    };
    Ok(distribution.bring(packages).ok_or_else(unknown)?)
}

/// Refuses to bring packages into a system whose package manager cannot run here; returns the network that it gets.
pub(super) fn refuse(
    pool: &Pool,
    node: &Node,
    root: &Tree,
    packages: &Chosen,
) -> Result<(Network, Vec<Step>)> {
    emulation::check(root)?;
    let network = program::network(pool, node)?;
    network.check()?;
    Ok((network, commands(root, packages)?))
}

/// Installs and removes packages in a stage, with the output in its log.
pub(super) fn bring(
    pool: &Pool,
    node: &Node,
    record: &EnvRecord,
    stage: &Path,
    packages: &Chosen,
) -> Result<()> {
    let (root, boot) = (stage.join(layout::ROOT), stage.join(layout::BOOT));
    // Again: before the stage was made, there may have been no package to bring.
    let (network, steps) = refuse(pool, node, &Tree::open(&root)?, packages)?;
    let log = program::new_log(&stage.join(UPGRADE_LOG))?;
    // The directory for the package managers' downloads.
    let cache = tempfile::tempdir_in(stage).context("making a directory for packages")?;
    let data = ThrownAway::new(node)?;
    let sandbox = Sandbox {
        root: &root,
        boot: &boot,
        boot_mount: &record.boot_mount,
        hostname: node.name.as_str(),
        durable: program::durable(pool, node),
        network: &network,
        packages: Some(cache.path()),
        data: data.bounds(),
    };
    for step in steps {
        program::step(&sandbox, &step, &log, false).with_context(|| {
            format!(
                "bringing the packages along ({}); nothing was kept",
                packages.added.join(" ")
            )
        })?;
    }
    Ok(())
}
