//! Parses `config.txt` as a Raspberry Pi's firmware does; never edits it.
//!
//! Settings apply in order, and the last one wins; `[pi4]` and similar filters select models, `[0x1a2b3c4d]`
//! a machine. Conditions that are unknown here (a screen, a pin) count as not met, and the settings under
//! them are recorded. Not for the effect of settings on devices.

use super::Model;

/// Characters of a line that the firmware reads; the rest may become a setting of its own.
pub(crate) const LINE_LIMIT: usize = 98;
/// Maximum nesting of `include`.
const INCLUDE_DEPTH: usize = 8;
/// Maximum number of included files: one that includes itself twice would be read 2^8 times.
const INCLUDES: usize = 64;
/// Maximum total size of included files, in bytes.
const INCLUDED_LIMIT: usize = 1 << 20;

/// Settings by which a machine boots something else.
const BOOT_SETTINGS: [&str; 12] = [
    "kernel",
    "cmdline",
    "initramfs",
    "ramfsfile",
    "auto_initramfs",
    "os_prefix",
    "arm_64bit",
    "device_tree",
    "start_file",
    "fixup_file",
    "upstream_kernel",
    "include",
];
/// How many undecided conditions, serial numbers and models are remembered.
const REMEMBERED: usize = 16;

/// The settings of a `config.txt` and its includes, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Config {
    settings: Vec<Setting>,
    /// Lines over the limit, with file and number.
    pub(crate) long_lines: Vec<(String, usize)>,
    /// The files it includes, whether or not they exist.
    includes: Vec<String>,
    /// The included files that do not exist.
    pub(crate) missing: Vec<String>,
    /// Conditions that cannot be evaluated here, each with a boot setting under it.
    pub(crate) undecided: Vec<(String, String)>,
    /// The serial numbers that it has boot settings for.
    pub(crate) serials: Vec<u32>,
    /// The models within a family, and the older families, that it has boot settings for.
    pub(crate) narrow: Vec<Model>,
    /// The machine's own serial number.
    serial: Option<u32>,
    /// The last condition that could not be evaluated.
    condition: String,
    /// Total size of the included files, in bytes.
    included: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Setting {
    scope: Scope,
    name: String,
    value: String,
}

/// The models for which a setting applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scope {
    models: Only,
    /// The serial number in the condition, and whether it is this machine's.
    serial: (Option<u32>, Met),
    /// Whether all other conditions are met.
    other: Met,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Only {
    All,
    NoModel,
    Model(Model),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Met {
    Yes,
    No,
    Unknown,
}

const EVERYWHERE: Scope = Scope {
    models: Only::All,
    serial: (None, Met::Yes),
    other: Met::Yes,
};

impl Config {
    /// Parses a file's text, for a machine with this serial number; `read` gives the text of the files it includes.
    pub(crate) fn parse(
        text: &str,
        serial: Option<u32>,
        read: &dyn Fn(&str) -> Option<String>,
    ) -> Self {
        let mut config = Self {
            serial,
            ..Self::default()
        };
        let mut scope = EVERYWHERE;
        config.take_in("config.txt", text, read, &mut scope, 0);
        config
    }

    /// Returns whether a file, by its path in the boot half, is part of the configuration.
    pub(crate) fn is_read_from(&self, file: &str) -> bool {
        file == "config.txt" || self.includes.iter().any(|included| included == file)
    }

    /// Returns the trimmed value for a model; the last one counts.
    pub(crate) fn value(&self, model: Model, name: &str) -> Option<&str> {
        let mut counts = self.settings.iter().rev().filter(|s| s.scope.holds(model));
        counts.find(|s| s.name == name).map(|s| s.value.as_str())
    }

    /// Returns all values a model sees, in order.
    pub(crate) fn values<'a>(
        &'a self,
        model: Model,
        name: &'a str,
    ) -> impl Iterator<Item = &'a str> {
        let counts = self.settings.iter().filter(move |s| s.scope.holds(model));
        counts
            .filter(move |s| s.name == name)
            .map(|s| s.value.as_str())
    }

    /// Returns the files it is read from, itself first.
    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        ["config.txt"]
            .into_iter()
            .chain(self.includes.iter().map(String::as_str))
    }

    /// Returns whether a switch is on for a model.
    pub(crate) fn is_on(&self, model: Model, name: &str) -> bool {
        self.value(model, name)
            .is_some_and(|v| !matches!(v, "" | "0"))
    }

    fn take_in(
        &mut self,
        file: &str,
        text: &str,
        read: &dyn Fn(&str) -> Option<String>,
        scope: &mut Scope,
        depth: usize,
    ) {
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line.chars().count() > LINE_LIMIT {
                self.long_lines.push((file.to_string(), number + 1));
            }
            let line: String = line.chars().take(LINE_LIMIT).collect();
            if let Some(condition) = line.strip_prefix('[').and_then(|l| l.split(']').next()) {
                let condition = condition.trim();
                scope.narrow(condition, self.serial);
                if [scope.serial.1, scope.other].contains(&Met::Unknown) {
                    self.condition = condition.to_string();
                }
            } else if let Some(included) = line.strip_prefix("include ") {
                let included = included.trim();
                self.remember(*scope, "include");
                if depth < INCLUDE_DEPTH
                    && self.includes.len() < INCLUDES
                    && scope.is_met()
                    && self.included < INCLUDED_LIMIT
                {
                    // Also a file that does not exist: it may be created.
                    self.includes
                        .push(included.trim_start_matches('/').to_string());
                    if let Some(text) = read(included) {
                        self.included += text.len();
                        self.take_in(included, &text, read, scope, depth + 1);
                    } else {
                        self.missing.push(included.to_string());
                    }
                }
            } else if let Some(setting) = setting(&line, *scope) {
                self.remember(*scope, &setting.name);
                if scope.is_met() {
                    self.settings.push(setting);
                }
            }
        }
    }

    /// Records the machines and models that it has other boot settings for.
    fn remember(&mut self, scope: Scope, name: &str) {
        if !BOOT_SETTINGS.contains(&name) {
            return;
        }
        if let (Some(serial), _) = scope.serial {
            add(&mut self.serials, serial);
        }
        if [scope.serial.1, scope.other].contains(&Met::Unknown) {
            add(
                &mut self.undecided,
                (self.condition.clone(), name.to_string()),
            );
        }
        if let Only::Model(model) = scope.models
            && !super::model::FAMILIES.contains(&model)
        {
            add(&mut self.narrow, model);
        }
    }
}

fn add<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if list.len() < REMEMBERED && !list.contains(&item) {
        list.push(item);
    }
}

impl Scope {
    fn is_met(self) -> bool {
        self.serial.1 == Met::Yes && self.other == Met::Yes
    }

    fn holds(&self, model: Model) -> bool {
        self.is_met()
            && match self.models {
                Only::All => true,
                Only::NoModel => false,
                Only::Model(only) => model.meets(only),
            }
    }

    fn narrow(&mut self, condition: &str, serial: Option<u32>) {
        let condition = condition.to_ascii_lowercase();
        if let Some(asked) = condition.strip_prefix("0x") {
            let asked = u32::from_str_radix(asked, 16).ok();
            let met = match (asked, serial) {
                (None, _) => Met::No,
                (Some(_), None) => Met::Unknown,
                (Some(asked), Some(serial)) if asked == serial => Met::Yes,
                (Some(_), Some(_)) => Met::No,
            };
            self.serial = (asked, met);
            return;
        }
        match condition.as_str() {
            "all" => *self = EVERYWHERE,
            "none" => self.models = Only::NoModel,
            // A tryboot is never requested here.
            "tryboot" => self.other = Met::No,
            // Selects the output of the settings that follow, not whether they apply.
            c if c.starts_with("hdmi:") => {}
            c => match Model::of_filter(c) {
                Some(model) => self.models = Only::Model(model),
                // A model that does not boot over a network.
                None if c.starts_with("pi") || c.starts_with("cm") => self.models = Only::NoModel,
                None => self.other = Met::Unknown,
            },
        }
    }
}

/// Parses a setting; only `initramfs FILE followkernel` has no `=`.
fn setting(line: &str, scope: Scope) -> Option<Setting> {
    let (name, value) = match line.strip_prefix("initramfs ") {
        Some(rest) => ("initramfs", rest.split_whitespace().next()?),
        None => line.split_once('=')?,
    };
    Some(Setting {
        scope,
        name: name.trim().to_string(),
        value: value.trim().to_string(),
    })
}

#[cfg(test)]
mod tests;
