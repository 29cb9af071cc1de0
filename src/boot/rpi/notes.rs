//! Notes about a `config.txt`: problems that do not prevent a known machine from booting.
//!
//! These are conditions that cannot be evaluated here, and missing files that the firmware does without. Not for problems
//! that prevent a boot.

use super::Loads;
use super::config::Config;
use crate::boot::files::{BootFiles, is_there};

/// The maximum number of notes about missing overlays.
const OVERLAYS: usize = 8;

/// Returns the notes for `node`, a sentence each.
pub(crate) fn notes(
    boot: &dyn BootFiles,
    config: &Config,
    loads: &[Loads],
    node: &str,
) -> Vec<String> {
    let mut notes: Vec<String> = config
        .undecided
        .iter()
        .map(|(condition, name)| match condition.starts_with("0x") {
            true => format!(
                "config.txt sets {name} for the machine [{condition}], and the serial number of this one is not known: \
                 netbe set serial={} {node} if it is that one",
                &condition[2..]
            ),
            false => format!(
                "config.txt sets {name} where [{condition}] holds, which is not known here: what boots then is \
                 neither edited nor verified"
            ),
        })
        .collect();
    notes.extend(
        config
            .missing
            .iter()
            .map(|file| format!("config.txt includes {file}, which is not in the boot folder")),
    );
    notes.extend(missing_overlays(boot, config, loads));
    notes
}

fn missing_overlays(boot: &dyn BootFiles, config: &Config, loads: &[Loads]) -> Vec<String> {
    let mut missing: Vec<String> = Vec::new();
    for load in loads {
        let dir = config.value(load.model, "overlay_prefix");
        let dir = dir.unwrap_or("overlays/");
        let prefixed = format!("{}{dir}", load.prefix);
        let dir = match is_there(boot, &format!("{prefixed}README")) {
            true => prefixed,
            false => dir.to_string(),
        };
        // It maps old names of overlays, and names by model, to files.
        let map = boot.head(&format!("{dir}overlay_map.dtb"), 1 << 20);
        let map = map.ok().flatten().unwrap_or_default();
        for value in config.values(load.model, "dtoverlay") {
            let name = value.split([',', ':']).next().unwrap_or_default().trim();
            let path = format!("{dir}{name}.dtbo");
            let is_mapped = || map.split(|b| *b == 0).any(|word| word == name.as_bytes());
            if name.is_empty()
                || missing.len() >= OVERLAYS
                || missing.contains(&path)
                || is_there(boot, &path)
                || is_mapped()
            {
                continue;
            }
            missing.push(path);
        }
    }
    let notes = missing.into_iter().map(|path| {
        format!(
            "config.txt asks for the overlay {path}, which is not in the boot folder: the firmware goes on without it"
        )
    });
    notes.collect()
}
