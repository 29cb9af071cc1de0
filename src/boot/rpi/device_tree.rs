//! Whether a boot half has a model's device tree.

use super::config::Config;
use super::{Model, under};
use crate::boot::files::{BootFiles, is_there};

/// Returns the names of a model's device trees: Raspberry Pi's kernel, then upstream's.
pub(super) fn tree_names(model: Model) -> [&'static str; 2] {
    match model.family() {
        Model::Pi4 => ["bcm2711-rpi-*.dtb", "bcm2711-rpi-*.dtb"],
        Model::Pi5 => ["bcm2712-rpi-*.dtb", "bcm2712*.dtb"],
        _ => ["bcm2710-rpi-*.dtb", "bcm2837-rpi-*.dtb"],
    }
}

pub(super) fn has_tree(
    boot: &dyn BootFiles,
    config: &Config,
    names: &[String],
    model: Model,
    prefix: &str,
) -> bool {
    match config.value(model, "device_tree") {
        // An empty value turns device trees off.
        Some("") => return true,
        Some(named) => return is_there(boot, &under(prefix, named)),
        None => {}
    }
    let (dir, stem) = prefix.rsplit_once('/').unwrap_or(("", prefix));
    let in_dir = match dir {
        "" => names.to_vec(),
        dir => boot.names(dir).unwrap_or_default(),
    };
    tree_names(model).iter().any(|pattern| {
        let (start, end) = pattern.split_once('*').unwrap_or((pattern, ""));
        let start = format!("{stem}{start}");
        in_dir
            .iter()
            .any(|n| n.starts_with(&start) && n.ends_with(end))
    })
}
