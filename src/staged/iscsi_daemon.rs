//! A drop-in for iscsid(8) of a machine whose root is an iSCSI disk, added to a root half or removed.
//!
//! iscsid logs in again when it starts, and after each loss of the connection; meanwhile the disk does not answer. To use a
//! secret, OpenSSL then reads its configuration from that disk: the daemon would wait for itself until the kernel gives the
//! disk up, after two minutes (open-iscsi 2.1.8, tried). Not for the initramfs.

use std::io;

use super::report_unit::has_systemd;
use crate::fs::rooted::Tree;

const DIRECTORY: &str = "etc/systemd/system/iscsid.service.d";
const DROP_IN: &str = "etc/systemd/system/iscsid.service.d/netbe.conf";
const TEXT: &str = "# Written by netbe: this daemon reads nothing from the disk whose connection it restores.\n\
                    [Service]\nEnvironment=OPENSSL_CONF=/dev/null\n";

/// Adds the drop-in to a root half, or removes it.
pub(super) fn set(root: &Tree, is_by_iscsi: bool) -> io::Result<()> {
    if is_by_iscsi && has_systemd(root)? {
        if root.read_text(DROP_IN)?.as_deref() != Some(TEXT) {
            root.make_dirs(DIRECTORY)?;
            root.write(DROP_IN, TEXT.as_bytes())?;
        }
    } else if root.read_text(DROP_IN)?.as_deref() == Some(TEXT) {
        root.remove_file(DROP_IN)?;
        if root.names(DIRECTORY)?.is_empty() {
            root.remove_dir(DIRECTORY)?;
        }
    }
    Ok(())
}
