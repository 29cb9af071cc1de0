//! Verifies that GRUB's configuration, on the machine's own disk, agrees with the menu.

use crate::boot::files::{BootFiles, text};
use crate::boot::grub;
use crate::boot::local_root::OwnRoot;
use crate::boot::pxelinux::Loads;
use crate::boot::spec::Want;

/// Returns the difference between GRUB's configuration of an environment and the menu, a sentence.
pub(super) fn fault(
    boot: &dyn BootFiles,
    want: &Want<'_>,
    loads: &Loads,
    own: &OwnRoot,
) -> Option<String> {
    let is = match text(boot, grub::CONFIG) {
        Ok(Some(found)) if found == grub::of_environment(want.name, loads, own) => return None,
        Ok(Some(_)) => "says something else than pxelinux.cfg/default, from which it is made",
        Ok(None) => "is missing, which is made from pxelinux.cfg/default",
        Err(e) => return Some(format!("{} cannot be read: {e}", grub::CONFIG)),
    };
    Some(format!(
        "{}, which GRUB boots by, {is}: netbe set --existing {}",
        grub::CONFIG,
        want.hostname
    ))
}
