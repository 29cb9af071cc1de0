//! Checks whether this machine can run an environment's programs, natively or by an emulator.
//!
//! Compares a program's ELF header with the machine and with the kernel's `binfmt_misc` handlers, as the kernel
//! does. Package names appear in the hint only. Runs nothing.

use super::binfmt::{Registered, handler_for, registered};
use crate::failure::Failure;
use crate::fs::rooted::Tree;
use crate::fs::{server_packages, threads};

/// Programs of which every system has one; the shell, which package scripts need, comes first.
const PROGRAMS: &[&str] = &[
    "bin/sh",
    "usr/bin/sh",
    "bin/bash",
    "usr/bin/env",
    "bin/busybox",
    "sbin/init",
];
/// How many bytes of a file the kernel matches (`BINPRM_BUF_SIZE`).
const HEADER: usize = 256;

/// Refuses an environment whose programs cannot run here, naming what to install.
pub fn check(root: &Tree) -> anyhow::Result<()> {
    let Some((path, header)) = program(root)? else {
        return Err(Failure::refused(format!(
            "{} has no program to run: bin/sh is missing, or is a link out of the environment",
            root.path().display()
        ))
        .into());
    };
    if runs_natively(&header) {
        return Ok(());
    }
    let handlers = registered();
    let refused = match &handlers {
        Registered::Some(handlers) => handler_for(&header, handlers).err(),
        Registered::Disabled => Some("binfmt_misc is disabled".to_string()),
        Registered::Unknown => Some("binfmt_misc is not available".to_string()),
    };
    let Some(reason) = refused else {
        return Ok(());
    };
    let why = format!(
        "{}/{path} is a program for {}, which this machine cannot run: {reason}",
        root.path().display(),
        machine(&header)
    );
    Err(Failure::refused(why)
        .hint(server_packages::install_emulators())
        .into())
}

/// Returns whether the environment's programs need an emulator here.
pub(super) fn is_needed(root: &Tree) -> anyhow::Result<bool> {
    Ok(program(root)?.is_some_and(|(_, header)| !runs_natively(&header)))
}

/// Returns the first of `PROGRAMS` that is an ELF file, and its header.
fn program(root: &Tree) -> anyhow::Result<Option<(&'static str, Vec<u8>)>> {
    for path in PROGRAMS {
        if !root.metadata(path)?.is_some_and(|m| m.is_file()) {
            continue;
        }
        let header = root.head(path, HEADER)?;
        // A script does not tell the architecture.
        if let Some(header) = header.filter(|h| elf_machine(h).is_some()) {
            return Ok(Some((path, header)));
        }
    }
    Ok(None)
}

/// ELF machine numbers (elf.h) and the names Debian gives those architectures.
const MACHINES: &[(u16, &str)] = &[
    (3, "i386"),
    (8, "mips"),
    (20, "powerpc"),
    (21, "ppc64"),
    (22, "s390x"),
    (40, "arm"),
    (62, "amd64"),
    (183, "arm64"),
    (243, "riscv"),
    (258, "loongarch"),
];

/// Returns a program's machine number; `None` for anything that is not an ELF file.
fn elf_machine(header: &[u8]) -> Option<u16> {
    let rest = header.strip_prefix(b"\x7fELF")?;
    // Byte 5 of the file: the byte order.
    let big = *rest.get(1)? == 2;
    let field: [u8; 2] = header.get(18..20)?.try_into().ok()?;
    Some(if big {
        u16::from_be_bytes(field)
    } else {
        u16::from_le_bytes(field)
    })
}

fn machine(header: &[u8]) -> String {
    let number = elf_machine(header).unwrap_or(0);
    MACHINES
        .iter()
        .find(|(n, _)| *n == number)
        .map_or_else(|| format!("machine {number}"), |(_, name)| (*name).into())
}

fn runs_natively(header: &[u8]) -> bool {
    let wide = header.get(4) == Some(&2);
    match (std::env::consts::ARCH, elf_machine(header), wide) {
        ("x86_64", Some(62), true) | ("aarch64", Some(183), true) => true,
        ("x86_64", Some(3), _) | ("x86" | "i686", Some(3), _) | ("arm", Some(40), _) => true,
        ("riscv64", Some(243), true) | ("s390x", Some(22), true) => true,
        ("powerpc64", Some(21), true) | ("loongarch64", Some(258), true) => true,
        ("aarch64", Some(40), false) => has_aarch32(),
        _ => false,
    }
}

/// Of linux/personality.h; the libc crate does not name it.
const PER_LINUX32: nix::libc::c_ulong = 0x0008;

/// Returns whether this 64-bit ARM machine also runs 32-bit programs: a Pi 4 does, many servers do not.
#[allow(unsafe_code)]
fn has_aarch32() -> bool {
    // In a thread of its own: the setting belongs to the thread and ends with it.
    let thread = threads::start(|| {
        // SAFETY: personality(2) takes an integer and changes only the calling thread, which ends here.
        unsafe { nix::libc::personality(PER_LINUX32) }
    });
    // arm64 refuses PER_LINUX32 exactly where the processor or the kernel has no 32-bit mode.
    thread.is_ok_and(|thread| thread.join().is_ok_and(|result| result >= 0))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An ELF header of this class, byte order and machine.
    pub(in super::super) fn header(class: u8, order: u8, machine: u16) -> Vec<u8> {
        let mut header = vec![0x7f, b'E', b'L', b'F', class, order, 1, 0];
        header.resize(16, 0);
        // Type 3: a position-independent program, which the mask above matches too.
        let words: [u16; 2] = [3, machine];
        for word in words {
            header.extend(if order == 2 {
                word.to_be_bytes()
            } else {
                word.to_le_bytes()
            });
        }
        header.resize(64, 0);
        header
    }

    #[test]
    fn machines_are_read_in_both_byte_orders() {
        assert_eq!(elf_machine(&header(2, 1, 183)), Some(183));
        assert_eq!(elf_machine(&header(2, 2, 22)), Some(22));
        assert_eq!(machine(&header(1, 1, 40)), "arm");
        assert_eq!(machine(&header(1, 1, 9999)), "machine 9999");
        assert_eq!(elf_machine(b"#!/bin/dash\n"), None);
        assert_eq!(elf_machine(b"\x7fELF"), None);
    }

    #[test]
    fn a_foreign_root_without_a_handler_is_refused_with_a_hint() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("bin")).unwrap();
        // An unassigned machine number: no test machine has a handler for it.
        std::fs::write(dir.path().join("bin/sh"), header(2, 1, 0xfee1)).unwrap();
        let error = check(&Tree::open(dir.path()).unwrap()).unwrap_err();
        let failure = error.downcast_ref::<Failure>().unwrap();
        assert_eq!(failure.status(), crate::failure::REFUSED);
        assert!(failure.message.contains("machine 65249"), "{failure}");
        assert!(failure.hint.is_some());
    }

    #[test]
    fn a_root_without_programs_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(check(&Tree::open(dir.path()).unwrap()).is_err());
    }
}
