//! The modes of the files in a boot half that are served by TFTP.

use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;

use anyhow::Result;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use crate::boot;
use crate::fs::rooted::Tree;

/// Makes the served files world-readable: dnsmasq serves no others, and some systems make their initramfs
/// private.
pub(super) fn make_readable(boot: &Tree, summary: &boot::Summary) -> Result<()> {
    let top = boot.open_at("/", OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?;
    let top = File::from(top);
    let mode = top.metadata()?.permissions().mode();
    if mode & 0o055 != 0o055 && !boot.notes_change() {
        top.set_permissions(Permissions::from_mode((mode | 0o055) & 0o7777))?;
    }
    let fixed = ["config.txt", "cmdline.txt", "pxelinux.cfg/default"];
    let named = summary.kernel_file.iter().chain(&summary.initramfs);
    let named = named.chain(&summary.texts);
    for path in fixed.into_iter().chain(named.map(String::as_str)) {
        if let Some(file) = boot.open_file(path)? {
            let mode = file.metadata()?.permissions().mode();
            if mode & 0o444 != 0o444 && !boot.notes_change() {
                file.set_permissions(Permissions::from_mode((mode | 0o444) & 0o7777))?;
            }
        }
    }
    Ok(())
}
