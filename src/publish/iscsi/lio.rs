//! LIO, the kernel's iSCSI target: its saved configuration, which its unit restores, and its present targets, by rtslib.
//!
//! Machines are distinguished by their names and a secret (CHAP): LIO does not check addresses.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::super::iscsi_names;
use super::super::iscsi_targets::{self as targets, Target};
use super::super::run::Publishing;
use super::saved;
use crate::boot::iscsi_root::LUN;
use crate::fs::dir_names;
use crate::fs::path_error::if_exists;
use crate::pool::Pool;

/// The program that restores its saved configuration; it is in the package of rtslib.
pub(super) const PROGRAM: &str = "targetctl";
/// The unit, on Debian and on Fedora.
pub(super) const UNITS: [&str; 2] = ["rtslib-fb-targetctl.service", "target.service"];
/// The directory of the saved configuration: on Debian from 12 on, and elsewhere.
const DIRECTORIES: [&str; 2] = ["/etc/rtslib-fb-target", "/etc/target"];
/// The directories of packages' units.
const UNIT_DIRECTORIES: [&str; 2] = ["/usr/lib/systemd/system", "/lib/systemd/system"];
/// The kernel's directory of present targets.
const OFFERED: &str = "/sys/kernel/config/target/iscsi";
/// The Python of the distribution, which has its packages.
const PYTHON: &str = "/usr/bin/python3";
const SCRIPT: &str = include_str!("lio.py");

/// Returns the pool's targets in the saved configuration, as a file of targets.
pub(super) fn read(pool: &Pool) -> Result<String> {
    let uuid = &pool.record().uuid;
    let targets = saved::targets(&configuration()?, &iscsi_names::of_pool(uuid))?;
    Ok(targets::print(uuid, &targets, Vec::new()))
}

/// Writes the saved configuration with the targets of a file, if it differs.
pub(super) fn save(run: &mut Publishing<'_>, text: &str) -> Result<()> {
    let own = of_stanzas(targets::stanzas(text).iter());
    let start = iscsi_names::of_pool(&run.pool.record().uuid);
    let Some(new) = saved::with(&configuration()?, &start, &own)? else {
        return Ok(());
    };
    run.write_private(&path(), &new)
}

/// Returns the pool's targets that the kernel offers, and whether each has its disk.
///
/// LIO always counts as running: its module is loaded with the first target.
pub(super) fn known(pool: &Pool) -> Result<Option<BTreeMap<String, bool>>> {
    let start = iscsi_names::of_pool(&pool.record().uuid);
    let offered = Path::new(OFFERED);
    let names = dir_names::names_in(offered).context("reading what LIO offers")?;
    let of_pool = names.into_iter().filter(|name| name.starts_with(&start));
    let has_disk = |name: &str| {
        let lun = offered.join(name).join(format!("tpgt_1/lun/lun_{LUN}"));
        dir_names::names_in(&lun).is_ok_and(|names| {
            let mut links = names.iter().map(|name| lun.join(name));
            links.any(|link| link.is_symlink())
        })
    };
    Ok(Some(
        of_pool
            .map(|name| (name.clone(), has_disk(&name)))
            .collect(),
    ))
}

/// Withdraws targets and offers others.
///
/// # Errors
/// The message of rtslib.
pub(super) fn apply(gone: &[&str], offer: &[&(String, String)]) -> Result<()> {
    let name = |name: &str| json!({"target": name, "disk": saved::disk_name(name)});
    let withdraw: Vec<Value> = gone.iter().map(|gone| name(gone)).collect();
    let offer: Vec<Value> = of_stanzas(offer.iter().copied())
        .iter()
        .map(|(target, size)| {
            let mut one = name(&target.name);
            one["configuration"] = saved::configuration(target, *size);
            one
        })
        .collect();
    let wish = json!({"withdraw": withdraw, "offer": offer}).to_string();
    let mut child = Command::new(PYTHON)
        .args(["-I", "-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("starting {PYTHON}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // If it does not read its input, its own message explains that.
        let _ = stdin.write_all(wish.as_bytes());
    }
    let output = child.wait_with_output().context("waiting for rtslib")?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr);
    let last = message.lines().rfind(|line| !line.trim().is_empty());
    bail!("rtslib: {}", last.unwrap_or("no message").trim())
}

/// Returns the targets of a file whose disk exists, each with the disk's size in bytes.
fn of_stanzas<'t>(stanzas: impl Iterator<Item = &'t (String, String)>) -> Vec<(Target, u64)> {
    let parsed = stanzas.filter_map(|(_, stanza)| targets::parse(stanza));
    parsed
        .filter_map(|target| {
            let found = Path::new(&target.disk).symlink_metadata().ok()?;
            found.is_file().then_some((target, found.len()))
        })
        .collect()
}

fn configuration() -> Result<String> {
    let text = if_exists(std::fs::read_to_string(path()));
    Ok(text
        .context("reading LIO's saved configuration")?
        .unwrap_or_default())
}

/// Returns the file, whose directory Debian's package makes only when its unit first runs.
fn path() -> PathBuf {
    let [debian, elsewhere] = DIRECTORIES;
    let mut units = UNIT_DIRECTORIES
        .iter()
        .map(|dir| Path::new(dir).join(UNITS[0]));
    let is_debian = Path::new(debian).is_dir() || units.any(|unit| unit.exists());
    Path::new(if is_debian { debian } else { elsewhere }).join("saveconfig.json")
}
