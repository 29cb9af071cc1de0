//! Whether a boot half has a model's complete device tree.

use super::config::Config;
use super::{Model, under};
use crate::boot::files::BootFiles;
use crate::boot::kernel;

/// Returns the names of a model's device trees: Raspberry Pi's kernel, then upstream's.
pub(super) fn tree_names(model: Model) -> [&'static str; 2] {
    match model.family() {
        Model::Pi4 => ["bcm2711-rpi-*.dtb", "bcm2711-rpi-*.dtb"],
        Model::Pi1 => ["bcm2708-rpi-*.dtb", "bcm2835-rpi-*.dtb"],
        Model::Pi2 => ["bcm2709-rpi-*.dtb", "bcm2836-rpi-*.dtb"],
        Model::Pi5 => ["bcm2712-rpi-*.dtb", "bcm2712*.dtb"],
        _ => ["bcm2710-rpi-*.dtb", "bcm2837-rpi-*.dtb"],
    }
}

/// Returns the fault of a model's device tree.
pub(super) fn fault(
    boot: &dyn BootFiles,
    config: &Config,
    names: &[String],
    model: Model,
    prefix: &str,
) -> Option<String> {
    match config.value(model, "device_tree") {
        // An empty value turns device trees off.
        Some("") => return None,
        Some(named) => return fault_of(boot, &under(prefix, named), model),
        None => {}
    }
    let (dir, stem) = prefix.rsplit_once('/').unwrap_or(("", prefix));
    let in_dir = match dir {
        "" => names.to_vec(),
        dir => boot.names(dir).unwrap_or_default(),
    };
    let dir = &prefix[..prefix.len() - stem.len()];
    let is_one = |name: &&String| {
        tree_names(model).iter().any(|pattern| {
            let (start, end) = pattern.split_once('*').unwrap_or((pattern, ""));
            let below = name.strip_prefix(stem);
            below.is_some_and(|name| name.starts_with(start) && name.ends_with(end))
        })
    };
    let trees: Vec<String> = in_dir
        .iter()
        .filter(is_one)
        .map(|name| format!("{dir}{name}"))
        .collect();
    // The model's own, or else any of its family: which of them a machine loads is not known here.
    let own = trees
        .iter()
        .filter(|path| model.tree().is_some_and(|own| path.ends_with(own)));
    let faults = |path: &String| fault_of(boot, path, model);
    let first = trees.first().map(faults);
    match own.map(faults).next() {
        Some(fault) => fault,
        None if trees.iter().any(|path| faults(path).is_none()) => None,
        None => first.unwrap_or_else(|| {
            Some(format!(
                "a device tree for a {model} ({}) is not in the boot folder",
                tree_names(model)[0]
            ))
        }),
    }
}

fn fault_of(boot: &dyn BootFiles, path: &str, model: Model) -> Option<String> {
    let why = kernel::fault(boot, path)?;
    Some(format!("{path}, the device tree of a {model}, {why}"))
}
