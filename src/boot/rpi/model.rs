//! The Raspberry Pis that can boot over the network, and their names in `config.txt`.
//!
//! All models of a family load the same files, unless `config.txt` has settings for one of them. The older families start
//! from a card with only `bootcode.bin` on it, which fetches the rest from the network; a Raspberry Pi 2 v1.2 is a Raspberry
//! Pi 3 in all but name. Not for models without a network card, which cannot boot from a server.

use std::fmt;
use std::str::FromStr;

use crate::failure::Failure;

/// A family of models, by its first one, or a model within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Model {
    Pi1,
    Zero,
    Pi2,
    Pi2v12,
    Pi3,
    Pi3Plus,
    Cm3,
    Cm3Plus,
    Pi4,
    Pi400,
    Cm4,
    Cm4s,
    Pi5,
    Pi500,
    Cm5,
}

/// The families, the one most often netbooted first.
pub(super) const FAMILIES: [Model; 3] = [Model::Pi4, Model::Pi5, Model::Pi3];

/// The families that start from a card: a boot half is for them only if it is for none of the others.
pub(super) const OLDER: [Model; 2] = [Model::Pi2, Model::Pi1];

/// Every model, by its name as a value of the property `model`, in the device tree, and in the names of device trees.
const ALL: [(&str, Model, &str, &str); 15] = [
    ("rpi1", Model::Pi1, "Model", ""),
    ("rpi0", Model::Zero, "Zero", ""),
    ("rpi2", Model::Pi2, "2 Model", "bcm2709-rpi-2-b.dtb"),
    (
        "rpi2-v1.2",
        Model::Pi2v12,
        "2 Model B Rev 1.2",
        "bcm2710-rpi-2-b.dtb",
    ),
    ("rpi3", Model::Pi3, "3 Model", "bcm2710-rpi-3-b.dtb"),
    (
        "rpi3+",
        Model::Pi3Plus,
        "3 Model B Plus",
        "bcm2710-rpi-3-b-plus.dtb",
    ),
    ("cm3", Model::Cm3, "Compute Module 3", "bcm2710-rpi-cm3.dtb"),
    ("cm3+", Model::Cm3Plus, "Compute Module 3 Plus", ""),
    ("rpi4", Model::Pi4, "4 Model", "bcm2711-rpi-4-b.dtb"),
    ("rpi400", Model::Pi400, "400", "bcm2711-rpi-400.dtb"),
    ("cm4", Model::Cm4, "Compute Module 4", "bcm2711-rpi-cm4.dtb"),
    (
        "cm4s",
        Model::Cm4s,
        "Compute Module 4S",
        "bcm2711-rpi-cm4s.dtb",
    ),
    ("rpi5", Model::Pi5, "5 Model", "bcm2712-rpi-5-b.dtb"),
    ("rpi500", Model::Pi500, "500", "bcm2712-rpi-500.dtb"),
    ("cm5", Model::Cm5, "Compute Module 5", ""),
];

/// Files by which a family is recognised: only it loads them, except for the firmware of a Raspberry Pi 3, which older ones
/// load too.
const OF_FAMILIES: [(&str, &str, Model); 13] = [
    ("bcm2708-rpi-zero", ".dtb", Model::Zero),
    ("bcm2708-rpi-0", ".dtb", Model::Zero),
    ("bcm2708-", ".dtb", Model::Pi1),
    ("bcm2709-", ".dtb", Model::Pi2),
    ("bootcode.bin", "", Model::Pi3),
    ("start", ".elf", Model::Pi3),
    ("start_", ".elf", Model::Pi3),
    ("bcm2710-", ".dtb", Model::Pi3),
    ("start4", ".elf", Model::Pi4),
    ("bcm2711-", ".dtb", Model::Pi4),
    ("kernel7l.img", "", Model::Pi4),
    ("bcm2712", ".dtb", Model::Pi5),
    ("kernel_2712.img", "", Model::Pi5),
];

impl Model {
    /// Returns its name as a value of the property `model`.
    pub fn name(self) -> &'static str {
        let mut all = ALL.iter();
        all.find(|(_, model, ..)| *model == self)
            .map_or("", |(name, ..)| name)
    }

    /// Returns the model by the name in its device tree, as in `/proc/device-tree/model`: the longest known name that is a
    /// prefix of it.
    pub fn of_device_tree(text: &str) -> Option<Self> {
        let name = text.strip_prefix("Raspberry Pi ")?;
        // A Zero 2 has no wired network.
        if name.starts_with("Zero 2") {
            return None;
        }
        let is_it = |start: &str| {
            let rest = name.strip_prefix(start);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        let found = ALL.iter().filter(|(_, _, start, _)| is_it(start));
        let longest = found.max_by_key(|(_, _, start, _)| start.len());
        longest.map(|(_, model, ..)| *model)
    }

    /// Returns the model, or the family, that alone loads a file of its boot folder.
    pub fn that_loads(file: &str) -> Option<Self> {
        let file = file.rsplit('/').next().filter(|name| !name.is_empty())?;
        if let Some((_, model, ..)) = ALL.iter().find(|(_, _, _, tree)| *tree == file) {
            return Some(*model);
        }
        let is_it = |(start, end, _): &&(&str, &str, Model)| match *end {
            "" => file == *start,
            // `start.elf`, `start_x.elf` and `start4x.elf` are of different families.
            ".elf" => file
                .strip_prefix(start)
                .and_then(|rest| rest.strip_suffix(end))
                .is_some_and(|rest| ["", "x", "cd", "db"].contains(&rest)),
            _ => file.starts_with(start) && file.ends_with(end),
        };
        OF_FAMILIES.iter().find(is_it).map(|(_, _, model)| *model)
    }

    /// Returns the one model that fits all of these, or else their family, if they are of one.
    pub fn common(models: impl IntoIterator<Item = Self>) -> Option<Self> {
        models
            .into_iter()
            .map(Some)
            .reduce(|one, other| {
                let (one, other) = (one?, other?);
                match () {
                    () if one == other.family() => Some(other),
                    () if other == one.family() || one == other => Some(one),
                    () if one == Self::Pi3 && OLDER.contains(&other.family()) => Some(other),
                    () if other == Self::Pi3 && OLDER.contains(&one.family()) => Some(one),
                    () if one.family() == other.family() => Some(one.family()),
                    () => None,
                }
            })
            .flatten()
    }

    /// Returns the name of its own device tree, if Raspberry Pi's kernel has one.
    pub(super) fn tree(self) -> Option<&'static str> {
        let entry = ALL.iter().find(|(_, model, ..)| *model == self);
        entry
            .map(|(_, _, _, tree)| *tree)
            .filter(|tree| !tree.is_empty())
    }

    /// Returns the family a model is of; a family is its own.
    pub(super) fn family(self) -> Self {
        match self {
            Self::Pi1 | Self::Zero => Self::Pi1,
            Self::Pi2 => Self::Pi2,
            Self::Pi2v12 | Self::Pi3 | Self::Pi3Plus | Self::Cm3 | Self::Cm3Plus => Self::Pi3,
            Self::Pi4 | Self::Pi400 | Self::Cm4 | Self::Cm4s => Self::Pi4,
            Self::Pi5 | Self::Pi500 | Self::Cm5 => Self::Pi5,
        }
    }

    /// Returns whether a condition of `config.txt` that asks for `asked` holds for it: `[pi4]` for a Raspberry Pi 400 too.
    pub(super) fn meets(self, asked: Self) -> bool {
        match (self, asked) {
            (Self::Zero, Self::Pi1) | (Self::Pi2v12, Self::Pi3) => false,
            (Self::Pi2v12, Self::Pi2) => true,
            _ => asked == self || asked == self.family(),
        }
    }

    /// Returns the models a condition of `config.txt` asks for, in small letters.
    pub(super) fn of_filter(condition: &str) -> Option<Self> {
        let is_it = |name: &str| name.strip_prefix('r').unwrap_or(name) == condition;
        let found = ALL.iter().find(|(name, ..)| is_it(name));
        // It has no condition of its own.
        found
            .map(|(_, model, ..)| *model)
            .filter(|model| *model != Self::Pi2v12)
    }
}

impl FromStr for Model {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        // The name in config.txt is accepted too.
        let is_it = |name: &str| name == text || name.strip_prefix('r') == Some(text);
        let found = ALL.iter().find(|(name, ..)| is_it(name));
        found.map(|(_, model, ..)| *model).ok_or_else(|| {
            let names: Vec<&str> = ALL.iter().map(|(name, ..)| *name).collect();
            Failure::usage(format!(
                "\"{text}\" is no model: pc-bios, pc-efi, {} are",
                names.join(", ")
            ))
        })
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            "rpi0" => f.write_str("Raspberry Pi Zero"),
            name => match name.strip_prefix("rpi") {
                Some(number) => write!(f, "Raspberry Pi {}", number.replace('-', " ")),
                None => write!(f, "Compute Module {}", name[2..].to_uppercase()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_recognised_by_the_files_it_loads() {
        for (file, want) in [
            ("start4.elf", Some("rpi4")),
            ("start4x.elf", Some("rpi4")),
            ("1234abcd/start4cd.elf", Some("rpi4")),
            ("start.elf", Some("rpi3")),
            ("start_x.elf", Some("rpi3")),
            ("bootcode.bin", Some("rpi3")),
            ("bcm2711-rpi-4-b.dtb", Some("rpi4")),
            ("bcm2711-rpi-400.dtb", Some("rpi400")),
            ("bcm2711-rpi-cm4s.dtb", Some("cm4s")),
            ("bcm2711-rpi-new.dtb", Some("rpi4")),
            ("bcm2710-rpi-3-b-plus.dtb", Some("rpi3+")),
            ("bcm2712-rpi-5-b.dtb", Some("rpi5")),
            ("bcm2712d0-rpi-5-b.dtb", Some("rpi5")),
            ("kernel_2712.img", Some("rpi5")),
            ("bcm2709-rpi-2-b.dtb", Some("rpi2")),
            ("bcm2710-rpi-2-b.dtb", Some("rpi2-v1.2")),
            ("bcm2708-rpi-b-plus.dtb", Some("rpi1")),
            ("bcm2708-rpi-zero-w.dtb", Some("rpi0")),
            ("kernel8.img", None),
            ("config.txt", None),
            ("startup.elf", None),
            ("", None),
        ] {
            assert_eq!(Model::that_loads(file).map(Model::name), want, "{file}");
        }
    }

    #[test]
    fn a_model_is_known_by_its_device_tree() {
        for (text, want) in [
            ("Raspberry Pi 4 Model B Rev 1.4", Some("rpi4")),
            ("Raspberry Pi 400 Rev 1.0", Some("rpi400")),
            ("Raspberry Pi 3 Model B Rev 1.2", Some("rpi3")),
            ("Raspberry Pi 3 Model B Plus Rev 1.3", Some("rpi3+")),
            ("Raspberry Pi Compute Module 4 Rev 1.0", Some("cm4")),
            ("Raspberry Pi Compute Module 4S Rev 1.0", Some("cm4s")),
            ("Raspberry Pi Compute Module 3 Plus Rev 1.0", Some("cm3+")),
            ("Raspberry Pi 5 Model B Rev 1.0", Some("rpi5")),
            ("Raspberry Pi 500 Rev 1.0", Some("rpi500")),
            ("Raspberry Pi Zero 2 W Rev 1.0", None),
            ("Raspberry Pi Zero W Rev 1.1", Some("rpi0")),
            ("Raspberry Pi Model B Plus Rev 1.2", Some("rpi1")),
            ("Raspberry Pi 2 Model B Rev 1.1", Some("rpi2")),
            ("Raspberry Pi 2 Model B Rev 1.2", Some("rpi2-v1.2")),
            ("Raspberry Pi Compute Module Rev 1.0", None),
            ("Radxa ROCK 5B", None),
        ] {
            assert_eq!(Model::of_device_tree(text).map(Model::name), want, "{text}");
        }
    }

    #[test]
    fn a_condition_holds_for_its_models_only() {
        for (condition, holds, not) in [
            ("pi4", Model::Pi400, Model::Pi3),
            ("pi400", Model::Pi400, Model::Pi4),
            ("pi2", Model::Pi2v12, Model::Pi3),
            ("pi3", Model::Pi3Plus, Model::Pi2v12),
            ("pi1", Model::Pi1, Model::Zero),
            ("pi0", Model::Zero, Model::Pi1),
        ] {
            let asked = Model::of_filter(condition).unwrap();
            assert!(holds.meets(asked) && !not.meets(asked), "{condition}");
        }
    }

    #[test]
    fn models_of_one_family_are_that_family() {
        use Model::{Cm4, Pi1, Pi2, Pi2v12, Pi3, Pi4, Pi5, Pi400, Zero};
        for (models, want) in [
            (vec![], None),
            (vec![Pi4], Some(Pi4)),
            (vec![Pi4, Pi400, Pi4], Some(Pi400)),
            (vec![Pi400, Cm4], Some(Pi4)),
            (vec![Pi4, Pi5], None),
            (vec![Pi4, Pi5, Pi4], None),
            (vec![Pi3, Pi3], Some(Pi3)),
            // The firmware that a Raspberry Pi 3 loads is theirs too.
            (vec![Pi3, Pi2], Some(Pi2)),
            (vec![Zero, Pi3], Some(Zero)),
            (vec![Pi3, Pi2v12], Some(Pi2v12)),
            (vec![Pi1, Pi2], None),
        ] {
            assert_eq!(Model::common(models.clone()), want, "{models:?}");
        }
        for (text, want) in [("rpi4", Some(Pi4)), ("pi4", Some(Pi4)), ("cm4", Some(Cm4))] {
            assert_eq!(text.parse::<Model>().ok(), want);
        }
        assert!("m4".parse::<Model>().is_err());
    }
}
