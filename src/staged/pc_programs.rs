//! The programs that a PC's firmware starts and that go beside a menu: PXELINUX for a BIOS, shim, GRUB and iPXE for UEFI.
//!
//! PXELINUX comes from this server; shim and GRUB come from the environment itself if it has them, so that their upgrades
//! take effect, and otherwise from this server.

use std::path::Path;

use anyhow::{Context, Result};

use crate::boot::{BootFiles, EfiProgram, EfiPrograms, Loader, Program};
use crate::fs::path_error::if_exists;
use crate::fs::rooted::Tree;

/// How many bytes distinguish builds of the same length: a PE file's header has a checksum of the whole file.
const HEADER: usize = 4096;
/// The largest program, in bytes: a node may have put anything in its place.
const LIMIT: usize = 16 << 20;

/// Places of PXELINUX: Debian's packages pxelinux and syslinux-common, then Arch's syslinux, then the others'.
const PXELINUX: [(&str, [&str; 3]); 2] = [
    (
        "pxelinux.0",
        [
            "usr/lib/PXELINUX/pxelinux.0",
            "usr/lib/syslinux/bios/pxelinux.0",
            "usr/share/syslinux/pxelinux.0",
        ],
    ),
    (
        "ldlinux.c32",
        [
            "usr/lib/syslinux/modules/bios/ldlinux.c32",
            "usr/lib/syslinux/bios/ldlinux.c32",
            "usr/share/syslinux/ldlinux.c32",
        ],
    ),
];

/// Returns the programs that a boot half lacks, or whose build differs from that in its own root.
pub(super) fn pc_programs(
    root: &Tree,
    boot: &Tree,
    loader: Option<Loader>,
) -> Result<Vec<Program>> {
    let mut found = Vec::new();
    if loader != Some(Loader::GrubEfi) {
        found.extend(pxelinux(boot)?);
    }
    if loader != Some(Loader::Pxelinux)
        && let Some(programs) = EfiPrograms::of(root)
    {
        found.extend(uefi(root, boot, &programs)?);
    }
    Ok(found)
}

fn pxelinux(boot: &Tree) -> Result<Vec<Program>> {
    if boot.metadata(PXELINUX[0].0)?.is_some() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for (name, places) in PXELINUX {
        match of_server(&places)? {
            Some(bytes) => found.push(Program { name, bytes }),
            // shim and GRUB are of no use without each other.
            None => return Ok(Vec::new()),
        }
    }
    Ok(found)
}

fn uefi(root: &Tree, boot: &Tree, programs: &EfiPrograms) -> Result<Vec<Program>> {
    let (mut found, mut is_whole) = (Vec::new(), true);
    for one in &programs.signed {
        match program(root, boot, one)? {
            Copied::There => {}
            Copied::Missing => is_whole = false,
            Copied::From(bytes) => found.push(Program {
                name: one.name,
                bytes,
            }),
        }
    }
    if !is_whole {
        found.clear();
    }
    if let Copied::From(bytes) = program(root, boot, &programs.ipxe)? {
        found.push(Program {
            name: programs.ipxe.name,
            bytes,
        });
    }
    Ok(found)
}

enum Copied {
    There,
    Missing,
    From(Vec<u8>),
}

fn program(root: &Tree, boot: &Tree, one: &EfiProgram) -> Result<Copied> {
    let there = boot.length(one.name)?;
    for place in one.sources {
        // The path may be a link of the alternatives system: it is followed within the root, never out of it.
        let Some(head) = root.head(place, HEADER)?.filter(|head| !head.is_empty()) else {
            continue;
        };
        if there.is_some()
            && root.length(place)? == there
            && boot.head(one.name, HEADER)? == Some(head)
        {
            return Ok(Copied::There);
        }
        let whole = root.head(place, LIMIT + 1)?;
        if let Some(bytes) = whole.filter(|bytes| bytes.len() <= LIMIT) {
            return Ok(Copied::From(bytes));
        }
    }
    match there {
        Some(_) => Ok(Copied::There),
        None => Ok(of_server(one.sources)?.map_or(Copied::Missing, Copied::From)),
    }
}

/// Returns the content of the first of these files that this server has.
fn of_server(places: &[&str]) -> Result<Option<Vec<u8>>> {
    for place in places {
        let path = Path::new("/").join(place);
        let found = if_exists(std::fs::read(&path));
        if let Some(bytes) = found.with_context(|| path.display().to_string())? {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}
