//! The kind of machine that reads a boot half: a Raspberry Pi by its model, a PC by its firmware.
//!
//! Not for determining the kind of a node's machine.

use std::fmt;
use std::str::FromStr;

use super::efi_programs::is_program;
use super::rpi;
use crate::failure::Failure;

/// A machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// A Raspberry Pi.
    Pi(rpi::Model),
    /// A PC whose firmware is a BIOS.
    PcBios,
    /// A PC, or a board, with UEFI firmware.
    PcEfi,
}

impl Model {
    /// Returns its name as a value of the property `model`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pi(model) => model.name(),
            Self::PcBios => "pc-bios",
            Self::PcEfi => "pc-efi",
        }
    }

    /// Returns the machine that alone loads a file of its boot folder.
    pub fn that_loads(file: &str) -> Option<Self> {
        match file.rsplit('/').next()? {
            // U-Boot may be configured to load pxelinux.0, and boots without the files that pxelinux.0 would load.
            "ldlinux.c32" => Some(Self::PcBios),
            name if is_program(name) => Some(Self::PcEfi),
            name => rpi::Model::that_loads(name).map(Self::Pi),
        }
    }

    /// Returns the one machine that fits all of these.
    pub fn common(models: impl IntoIterator<Item = Self>) -> Option<Self> {
        let models: Vec<Self> = models.into_iter().collect();
        let pis: Vec<rpi::Model> = models.iter().filter_map(|model| model.pi()).collect();
        match models.first()? {
            Self::Pi(_) if pis.len() == models.len() => rpi::Model::common(pis).map(Self::Pi),
            first => models.iter().all(|model| model == first).then_some(*first),
        }
    }

    /// Returns the model of a Raspberry Pi.
    pub(crate) fn pi(self) -> Option<rpi::Model> {
        match self {
            Self::Pi(model) => Some(model),
            _ => None,
        }
    }
}

impl FromStr for Model {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        match text {
            "pc-bios" => Ok(Self::PcBios),
            "pc-efi" => Ok(Self::PcEfi),
            _ => text.parse().map(Self::Pi),
        }
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pi(model) => model.fmt(f),
            Self::PcBios => f.write_str("PC with a BIOS"),
            Self::PcEfi => f.write_str("PC with UEFI firmware"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_recognised_by_files_that_only_it_loads() {
        for (files, want) in [
            (
                &["pxelinux.0", "ldlinux.c32", "vmlinuz"][..],
                Some("pc-bios"),
            ),
            (&["shimx64.efi", "grubx64.efi", "vmlinuz"], Some("pc-efi")),
            (&["snponly.efi", "netbe.ipxe"], Some("pc-efi")),
            (&["pxelinux.0", "vmlinuz"], None),
            (&["start4.elf", "bcm2711-rpi-400.dtb"], Some("rpi400")),
            // One MAC address, two kinds of firmware: the last setting of its owner is not known.
            (&["ldlinux.c32", "shimx64.efi"], None),
            (&["ldlinux.c32", "start4.elf"], None),
            (&["start4.elf", "ldlinux.c32"], None),
            (&[], None),
        ] {
            let loaded = files.iter().filter_map(|file| Model::that_loads(file));
            assert_eq!(Model::common(loaded).map(Model::name), want, "{files:?}");
        }
    }

    #[test]
    fn values_round_trip() {
        for name in ["pc-bios", "pc-efi", "rpi4"] {
            assert_eq!(name.parse::<Model>().unwrap().name(), name);
        }
        let refused = "pc".parse::<Model>().unwrap_err();
        assert!(refused.message.contains("pc-efi"), "{refused:?}");
    }
}
