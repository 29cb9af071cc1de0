//! The architecture of an environment's programs.
//!
//! Read from the header of a program, so a 32-bit system with a 64-bit kernel is 32-bit. The kernel's architecture is
//! not considered.

use std::fmt;

use super::files::BootFiles;

/// Programs of which every system has one; the first that is an ELF file decides.
const PROGRAMS: [&str; 6] = [
    "bin/sh",
    "usr/bin/sh",
    "sbin/init",
    "usr/lib/systemd/systemd",
    "bin/busybox",
    "usr/bin/env",
];

/// A processor architecture, as in ELF headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Arch {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86.
    X86,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM.
    Arm,
    /// 64-bit RISC-V.
    Riscv64,
    /// 32-bit RISC-V.
    Riscv32,
    /// 64-bit POWER, little endian.
    Ppc64le,
    /// 64-bit POWER, big endian.
    Ppc64,
    /// 64-bit IBM Z.
    S390x,
    /// 64-bit LoongArch.
    Loongarch64,
    /// 64-bit MIPS, little endian.
    Mips64el,
    /// Any other `e_machine`.
    Other(u16),
}

impl Arch {
    /// Returns the name as in `uname -m`: `x86_64`, `aarch64`, `armv7l`.
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::X86 => "i686",
            Self::Aarch64 => "aarch64",
            Self::Arm => "armv7l",
            Self::Riscv64 => "riscv64",
            Self::Riscv32 => "riscv32",
            Self::Ppc64le => "ppc64le",
            Self::Ppc64 => "ppc64",
            Self::S390x => "s390x",
            Self::Loongarch64 => "loongarch64",
            Self::Mips64el => "mips64",
            Self::Other(_) => "unknown",
        }
    }

    /// Returns whether it is x86, 32-bit or 64-bit.
    pub fn is_x86(self) -> bool {
        matches!(self, Self::X86_64 | Self::X86)
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Returns the architecture of an ELF file from its first 64 bytes; `None` for other files.
///
/// Offsets in `<elf.h>`: class at byte 4, byte order at 5, machine at 18.
pub(super) fn elf_arch(head: &[u8]) -> Option<Arch> {
    if head.len() < 20 || !head.starts_with(b"\x7fELF") {
        return None;
    }
    let wide = match head[4] {
        1 => false,
        2 => true,
        _ => return None,
    };
    let little = match head[5] {
        1 => true,
        2 => false,
        _ => return None,
    };
    let machine = [head[18], head[19]];
    let machine = if little {
        u16::from_le_bytes(machine)
    } else {
        u16::from_be_bytes(machine)
    };
    Some(match (machine, wide, little) {
        (62, _, true) => Arch::X86_64,
        (3, false, true) => Arch::X86,
        (183, true, true) => Arch::Aarch64,
        (40, false, true) => Arch::Arm,
        (243, true, true) => Arch::Riscv64,
        (243, false, true) => Arch::Riscv32,
        (21, true, true) => Arch::Ppc64le,
        (21, true, false) => Arch::Ppc64,
        (22, true, false) => Arch::S390x,
        (258, true, true) => Arch::Loongarch64,
        (8, true, true) => Arch::Mips64el,
        (other, ..) => Arch::Other(other),
    })
}

/// Returns the architecture of a root half's programs; `None` if none is found.
pub(crate) fn of_root(root: &dyn BootFiles) -> Option<Arch> {
    PROGRAMS.iter().find_map(|path| {
        let head = root.head(path, 64).ok().flatten()?;
        elf_arch(&head)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(class: u8, order: u8, machine: [u8; 2]) -> Vec<u8> {
        let mut head = vec![0; 64];
        head[..4].copy_from_slice(b"\x7fELF");
        head[4] = class;
        head[5] = order;
        head[18..20].copy_from_slice(&machine);
        head
    }

    #[test]
    fn machines_are_distinguished() {
        for (class, order, machine, name) in [
            (2, 1, [62, 0], "x86_64"),
            (1, 1, [62, 0], "x86_64"),
            (1, 1, [3, 0], "i686"),
            (2, 1, [183, 0], "aarch64"),
            (1, 1, [40, 0], "armv7l"),
            (2, 1, [243, 0], "riscv64"),
            (2, 2, [0, 22], "s390x"),
            (2, 1, [99, 1], "unknown"),
        ] {
            let arch = elf_arch(&elf(class, order, machine)).unwrap();
            assert_eq!(arch.name(), name);
        }
    }

    #[test]
    fn other_files_have_no_architecture() {
        assert_eq!(elf_arch(b""), None);
        assert_eq!(elf_arch(b"#!/bin/sh\nexec something long enough"), None);
        assert_eq!(elf_arch(&elf(9, 1, [62, 0])), None);
        assert_eq!(elf_arch(&elf(2, 9, [62, 0])), None);
    }
}
