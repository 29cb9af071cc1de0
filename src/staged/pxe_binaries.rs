//! The programs of PXELINUX that this server has, which go beside a menu.

use anyhow::{Context, Result};

use crate::boot::PxeBinaries;

/// Returns the PXELINUX programs of this machine's packages; `None` where they are not installed.
pub(super) fn pxe_binaries() -> Result<Option<PxeBinaries>> {
    // Debian's packages pxelinux and syslinux-common, then Arch's syslinux, then the others'.
    let pxelinux = first_of(&[
        "/usr/lib/PXELINUX/pxelinux.0",
        "/usr/lib/syslinux/bios/pxelinux.0",
        "/usr/share/syslinux/pxelinux.0",
    ])?;
    let ldlinux = first_of(&[
        "/usr/lib/syslinux/modules/bios/ldlinux.c32",
        "/usr/lib/syslinux/bios/ldlinux.c32",
        "/usr/share/syslinux/ldlinux.c32",
    ])?;
    Ok(pxelinux
        .zip(ldlinux)
        .map(|(pxelinux, ldlinux)| PxeBinaries { pxelinux, ldlinux }))
}

fn first_of(paths: &[&str]) -> Result<Option<Vec<u8>>> {
    for path in paths {
        match std::fs::read(path) {
            Ok(bytes) => return Ok(Some(bytes)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(e).context((*path).to_string()),
        }
    }
    Ok(None)
}
