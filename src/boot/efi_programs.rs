//! The programs that UEFI firmware starts: Debian's signed shim with its GRUB, and iPXE, for each architecture.
//!
//! Their names in a boot half, and where distributions' packages have them. Pure. Not for their configurations.

use super::arch::{self, Arch};
use super::files::{BootFiles, is_there};

/// A program that firmware starts, with the places where distributions' packages have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EfiProgram {
    /// Its name in the boot half, by which shim requests GRUB.
    pub name: &'static str,
    /// Paths in a root, without the leading slash; the first that exists is used.
    pub sources: &'static [&'static str],
}

/// The programs for one architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EfiPrograms {
    /// shim and signed GRUB, which are only useful together.
    pub signed: [EfiProgram; 2],
    /// iPXE, which uses the firmware's network driver.
    pub ipxe: EfiProgram,
}

/// The programs for PCs.
pub const EFI_X86_64: EfiPrograms = EfiPrograms {
    signed: [
        EfiProgram {
            name: "shimx64.efi",
            sources: &[
                "usr/lib/shim/shimx64.efi.signed.latest",
                "usr/lib/shim/shimx64.efi.signed",
            ],
        },
        EfiProgram {
            name: "grubx64.efi",
            sources: &["usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed"],
        },
    ],
    ipxe: EfiProgram {
        name: "snponly.efi",
        sources: &[
            "usr/lib/ipxe/snponly.efi",
            "usr/share/ipxe/ipxe-snponly-x86_64.efi",
            "usr/share/ipxe/snponly.efi",
        ],
    },
};

/// The programs for 64-bit ARM.
pub const EFI_AARCH64: EfiPrograms = EfiPrograms {
    signed: [
        EfiProgram {
            name: "shimaa64.efi",
            sources: &[
                "usr/lib/shim/shimaa64.efi.signed.latest",
                "usr/lib/shim/shimaa64.efi.signed",
            ],
        },
        EfiProgram {
            name: "grubaa64.efi",
            sources: &["usr/lib/grub/arm64-efi-signed/grubnetaa64.efi.signed"],
        },
    ],
    ipxe: EfiProgram {
        name: "snponlyaa64.efi",
        sources: &[
            "usr/lib/ipxe/arm64-efi/snponly.efi",
            "usr/share/ipxe/arm64-efi/snponly.efi",
        ],
    },
};

const ALL: [&EfiPrograms; 2] = [&EFI_X86_64, &EFI_AARCH64];

impl EfiPrograms {
    /// Returns the programs for a root; `None` if there are none for its architecture.
    pub fn of(root: &dyn BootFiles) -> Option<Self> {
        match arch::of_root(root)? {
            Arch::X86_64 => Some(EFI_X86_64),
            Arch::Aarch64 => Some(EFI_AARCH64),
            _ => None,
        }
    }

    /// Returns whether a boot half has a program that UEFI firmware starts.
    pub(crate) fn is_there(&self, boot: &dyn BootFiles) -> bool {
        self.are_in(boot, &[])
    }

    /// Returns whether a boot half has such a program after programs of the names `more` are added.
    pub(crate) fn are_in(&self, boot: &dyn BootFiles, more: &[&str]) -> bool {
        let has = |one: &EfiProgram| more.contains(&one.name) || is_there(boot, one.name);
        self.signed.iter().all(has) || has(&self.ipxe)
    }
}

/// Returns whether a boot half has a program that UEFI firmware starts, of any architecture.
pub(super) fn any_is_there(boot: &dyn BootFiles) -> bool {
    ALL.iter().any(|programs| programs.is_there(boot))
}

/// Returns the file to serve instead of a missing one: iPXE, for firmware that is configured to start shim.
pub fn served_instead(file: &str) -> Option<&'static str> {
    let programs = ALL.into_iter().find(|p| p.signed[0].name == file)?;
    Some(programs.ipxe.name)
}

/// Returns iPXE's program, which UEFI firmware starts beside another DHCP server, if a boot half has only other programs.
pub fn lacks_ipxe(boot: &dyn BootFiles) -> Option<&'static str> {
    let lacks = |programs: &&EfiPrograms| {
        programs.signed.iter().all(|one| is_there(boot, one.name))
            && !is_there(boot, programs.ipxe.name)
    };
    let programs = ALL.into_iter().find(lacks)?;
    Some(programs.ipxe.name)
}

/// Returns whether a file is one of the programs.
pub(crate) fn is_program(name: &str) -> bool {
    ALL.iter().any(|programs| {
        let [shim, grub] = programs.signed;
        [shim, grub, programs.ipxe]
            .iter()
            .any(|one| one.name == name)
    })
}

/// Returns whether a boot half has shim and its GRUB.
pub(super) fn has_signed(boot: &dyn BootFiles) -> bool {
    let has = |programs: &&EfiPrograms| programs.signed.iter().all(|one| is_there(boot, one.name));
    ALL.iter().any(has)
}

/// Returns the architecture in the name of shim or its GRUB, as `x64`, and whether it is shim.
pub(super) fn signed_name(file: &str) -> Option<(&str, bool)> {
    let programs = ALL
        .into_iter()
        .find(|programs| programs.signed.iter().any(|one| one.name == file))?;
    let is_shim = programs.signed[0].name == file;
    let name = file.strip_suffix(".efi")?;
    Some((
        name.trim_start_matches(if is_shim { "shim" } else { "grub" }),
        is_shim,
    ))
}
