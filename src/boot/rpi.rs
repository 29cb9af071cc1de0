//! The files that a Raspberry Pi's firmware loads from a boot half.
//!
//! `config.txt` is read for each model that can netboot, and the files it names are checked: firmware, kernel, device
//! tree, initramfs, command line. The rules are those of its documentation. Only the command line is ever edited, and
//! not here.

pub(crate) mod card;
pub(crate) mod config;
mod device_tree;
mod model;
mod notes;

use super::files::{BootFiles, Presence, is_there, presence, text};
use config::Config;
pub(crate) use model::Model;
pub(crate) use notes::notes;

/// The firmware's configuration file.
pub(crate) const CONFIG: &str = "config.txt";

/// What a model loads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Loads {
    pub(crate) model: Model,
    /// The kernel's path in the boot half, whether or not it exists.
    pub(crate) kernel: String,
    /// The initramfs files, whether or not they exist; that of `auto_initramfs` only if it exists.
    pub(crate) initramfs: Vec<String>,
    /// The file with the command line.
    pub(crate) cmdline: String,
    /// Whether the firmware starts the kernel in 64-bit mode; `None` if that depends on the firmware.
    pub(crate) is_wide: Option<bool>,
    /// The prefix of the names of the operating system's files.
    prefix: String,
    /// What this model lacks, a sentence each: firmware, kernel, device tree.
    pub(crate) missing: Vec<String>,
    /// The prefix in `config.txt` that the firmware would ignore.
    pub(crate) ignored_prefix: Option<String>,
}

impl Loads {
    fn loads_as(&self, other: &Self) -> bool {
        self.kernel == other.kernel
            && self.initramfs == other.initramfs
            && self.cmdline == other.cmdline
            && self.missing.is_empty() == other.missing.is_empty()
    }
}

/// Returns whether a boot half is for Raspberry Pi firmware.
pub(crate) fn is_one(names: &[String]) -> bool {
    let has = |name: &str| names.iter().any(|n| n == name);
    let is_firmware = |n: &String| {
        (n.starts_with("start") && n.ends_with(".elf"))
            || n == "bootcode.bin"
            || n.starts_with("bcm27")
            || (n.starts_with("kernel") && n.ends_with(".img"))
    };
    (has(CONFIG) && (has("cmdline.txt") || names.iter().any(is_firmware)))
        || (has("cmdline.txt") && names.iter().any(is_firmware))
}

/// Reads `config.txt` with all it includes, as a machine with this serial number does; without one, all
/// settings are the firmware's own.
pub(crate) fn config(boot: &dyn BootFiles, serial: Option<&str>) -> std::io::Result<Config> {
    // If a number is longer, its last digits count.
    let serial = serial.and_then(|text| text.get(text.len().saturating_sub(8)..));
    config_of(
        boot,
        serial.and_then(|text| u32::from_str_radix(text, 16).ok()),
    )
}

/// Reads it as each machine does whose serial number it has boot settings for, and as any other machine.
pub(crate) fn configs(boot: &dyn BootFiles) -> std::io::Result<Vec<Config>> {
    let any = config_of(boot, None)?;
    let mut configs = vec![any];
    for serial in configs[0].serials.clone() {
        configs.push(config_of(boot, Some(serial))?);
    }
    Ok(configs)
}

fn config_of(boot: &dyn BootFiles, serial: Option<u32>) -> std::io::Result<Config> {
    let content = text(boot, CONFIG)?.unwrap_or_default();
    let read = |name: &str| text(boot, name.trim_start_matches('/')).ok().flatten();
    Ok(Config::parse(&content, serial, &read))
}

/// Returns what the models load that this boot half is for.
///
/// The models that have firmware, kernel and device tree; older models only if no other has all; if no model has all, the
/// one that lacks least.
pub(crate) fn loads(boot: &dyn BootFiles, config: &Config) -> std::io::Result<Vec<Loads>> {
    let names = boot.names("")?;
    let mut all: Vec<Loads> = model::FAMILIES
        .iter()
        .map(|&model| loads_of(boot, config, &names, model))
        .collect();
    for &model in &config.narrow {
        let narrow = loads_of(boot, config, &names, model);
        let family = all.iter().find(|l| l.model == model.family());
        if family.is_none_or(|family| !family.loads_as(&narrow)) {
            all.push(narrow);
        }
    }
    if all.iter().all(|l| !l.missing.is_empty()) {
        let older = model::OLDER.iter();
        all.extend(older.map(|&model| loads_of(boot, config, &names, model)));
    }
    let complete: Vec<Loads> = all
        .iter()
        .filter(|l| l.missing.is_empty())
        .cloned()
        .collect();
    if !complete.is_empty() {
        return Ok(complete);
    }
    Ok(all
        .into_iter()
        .min_by_key(|l| l.missing.len())
        .into_iter()
        .collect())
}

/// Returns what one model loads, or a family.
pub(crate) fn loads_by(
    boot: &dyn BootFiles,
    config: &Config,
    model: Model,
) -> std::io::Result<Loads> {
    Ok(loads_of(boot, config, &boot.names("")?, model))
}

/// Returns the families that a boot half is for, and those that it is not for.
pub(crate) fn families(
    boot: &dyn BootFiles,
    config: &Config,
) -> std::io::Result<(Vec<Model>, Vec<Model>)> {
    let names = boot.names("")?;
    let boots = |model: &Model| loads_of(boot, config, &names, *model).missing.is_empty();
    let (mut whole, others) = model::FAMILIES.into_iter().partition::<Vec<_>, _>(&boots);
    if whole.is_empty() {
        whole.extend(model::OLDER.iter().filter(|model| boots(model)));
    }
    Ok((whole, others))
}

/// Returns the damaged files that the families load, which exist but are empty or incomplete; a sentence each.
pub(crate) fn damage(boot: &dyn BootFiles, config: &Config) -> std::io::Result<Vec<String>> {
    let names = boot.names("")?;
    let families = model::FAMILIES.iter();
    let faults = families.flat_map(|&model| loads_of(boot, config, &names, model).missing);
    // A missing file is no damage: the boot half may not be meant for that family.
    Ok(faults
        .filter(|fault| !fault.ends_with("is not in the boot folder"))
        .collect())
}

fn loads_of(boot: &dyn BootFiles, config: &Config, names: &[String], model: Model) -> Loads {
    let wanted = prefix(config, model);
    let kernel = kernel(boot, config, model, &wanted);
    let tree = device_tree::fault(boot, config, names, model, &wanted);
    // The firmware silently ignores a prefix without kernel or device tree.
    let is_viable = is_there(boot, &kernel) && tree.is_none();
    let is_ignored = !wanted.is_empty() && !is_viable;
    let (prefix, kernel, tree) = if is_ignored {
        let kernel = self::kernel(boot, config, model, "");
        (
            String::new(),
            kernel,
            device_tree::fault(boot, config, names, model, ""),
        )
    } else {
        (wanted.clone(), kernel, tree)
    };
    let mut missing = firmware_missing(boot, config, model);
    if !is_there(boot, &kernel) {
        missing.push(format!(
            "{kernel}, the kernel for a {model}, is not in the boot folder"
        ));
    }
    missing.extend(tree);
    if matches!(model.family(), Model::Pi4 | Model::Pi5)
        && config.is_on(model, "boot_ramdisk")
        && is_there(boot, "boot.img")
    {
        missing.push(format!(
            "config.txt has boot_ramdisk=1: a {model} reads everything else, the command line too, from within boot.img, which netbe \
             does not write to"
        ));
    }
    Loads {
        model,
        initramfs: initramfs(boot, config, model, &prefix, &kernel),
        cmdline: under(
            &prefix,
            config.value(model, "cmdline").unwrap_or("cmdline.txt"),
        ),
        // `upstream_kernel=1` only suggests a prefix.
        ignored_prefix: is_ignored
            .then_some(wanted)
            .filter(|_| config.value(model, "os_prefix").is_some()),
        is_wide: is_wide(config, model, &kernel),
        kernel,
        missing,
        prefix,
    }
}

fn prefix(config: &Config, model: Model) -> String {
    match config.value(model, "os_prefix") {
        Some(prefix) => prefix.to_string(),
        None if config.is_on(model, "upstream_kernel") => "upstream/".to_string(),
        None => String::new(),
    }
}

/// Returns the path of a file of the operating system: a leading slash bypasses the prefix.
fn under(prefix: &str, name: &str) -> String {
    match name.strip_prefix('/') {
        Some(absolute) => absolute.to_string(),
        None => format!("{prefix}{name}"),
    }
}

/// Returns the kernel a model loads.
fn kernel(boot: &dyn BootFiles, config: &Config, model: Model, prefix: &str) -> String {
    if let Some(named) = config.value(model, "kernel").filter(|k| !k.is_empty()) {
        return under(prefix, named);
    }
    let is_wide = match config.value(model, "arm_64bit") {
        Some(value) => value != "0",
        None => model.family() != Model::Pi3,
    };
    let names: &[&str] = match (model.family(), is_wide) {
        (Model::Pi1, _) => &["kernel.img"],
        (Model::Pi2, _) => &["kernel7.img"],
        (Model::Pi5, _) => &["kernel_2712.img", "kernel8.img"],
        (_, true) => &["kernel8.img"],
        (Model::Pi4, false) => &["kernel7l.img"],
        _ => &["kernel7.img"],
    };
    let paths: Vec<String> = names.iter().map(|name| under(prefix, name)).collect();
    let found = paths.iter().find(|path| is_there(boot, path));
    found.unwrap_or(&paths[0]).clone()
}

/// Returns whether the firmware starts a kernel in 64-bit mode: by `config.txt`, else by the kernel's name.
fn is_wide(config: &Config, model: Model, kernel: &str) -> Option<bool> {
    match model.family() {
        Model::Pi5 => return Some(true),
        Model::Pi1 | Model::Pi2 => return Some(false),
        _ => {}
    }
    if let Some(value) = config.value(model, "arm_64bit") {
        return Some(value != "0");
    }
    match kernel.rsplit('/').next()? {
        "kernel8.img" | "kernel_2712.img" => Some(true),
        "kernel7l.img" | "kernel7.img" | "kernel.img" => Some(false),
        _ => None,
    }
}

fn initramfs(
    boot: &dyn BootFiles,
    config: &Config,
    model: Model,
    prefix: &str,
    kernel: &str,
) -> Vec<String> {
    let named = config
        .value(model, "initramfs")
        .or(config.value(model, "ramfsfile"));
    if let Some(files) = named {
        let files = files.split(',').filter(|f| !f.is_empty());
        return files.map(|file| under(prefix, file)).collect();
    }
    if !config.is_on(model, "auto_initramfs") {
        return Vec::new();
    }
    // `kernel8.img` goes with `initramfs8`, `kernel_2712.img` with `initramfs_2712`.
    let (dir, name) = kernel
        .rsplit_once('/')
        .map_or(("", kernel), |(d, n)| (&kernel[..=d.len()], n));
    let Some(kind) = name
        .strip_prefix("kernel")
        .and_then(|n| n.strip_suffix(".img"))
    else {
        return Vec::new();
    };
    let path = format!("{dir}initramfs{kind}");
    match presence(boot, &path) {
        Presence::Missing => Vec::new(),
        _ => vec![path],
    }
}

/// Returns the suffix of kernel versions that Raspberry Pi OS has under this file name.
pub(crate) fn flavour(kernel: &str) -> Option<&'static str> {
    Some(match kernel.rsplit('/').next()? {
        "kernel8.img" => "-v8",
        "kernel_2712.img" => "-2712",
        "kernel7l.img" => "-v7l",
        "kernel7.img" => "-v7",
        "kernel.img" => "-v6",
        _ => return None,
    })
}

/// Returns which firmware files a model lacks; a Raspberry Pi 5 has its firmware in the EEPROM.
fn firmware_missing(boot: &dyn BootFiles, config: &Config, model: Model) -> Vec<String> {
    let kind = match model.family() {
        Model::Pi5 => return Vec::new(),
        Model::Pi4 => "4",
        _ => "",
    };
    let variant = if config.is_on(model, "start_x") {
        "x"
    } else if config.is_on(model, "start_debug") {
        "db"
    } else if config.value(model, "gpu_mem") == Some("16") {
        "cd"
    } else {
        ""
    };
    let joint = if kind.is_empty() && matches!(variant, "x" | "db" | "cd") {
        "_"
    } else {
        ""
    };
    let usual = |stem: &str, end: &str| format!("{stem}{kind}{joint}{variant}{end}");
    let files = [
        ("start_file", "start", ".elf"),
        ("fixup_file", "fixup", ".dat"),
    ];
    let wanted = files.map(|(key, stem, end)| match config.value(model, key) {
        Some(named) => named.to_string(),
        None => usual(stem, end),
    });
    let faults = wanted.iter().filter_map(|name| {
        let why = super::kernel::fault(boot, name)?;
        Some(format!("{name}, firmware of a {model}, {why}"))
    });
    faults.collect()
}
