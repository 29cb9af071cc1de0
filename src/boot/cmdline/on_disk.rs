//! Changes a line to a root that `deploy` has put on the node's disk, or to a disk that the server offers.
//!
//! Not for a disk that an administrator names.

use anyhow::Result;

use super::{drop_nfs, replace_or_insert, sole_root, to_nfs};
use crate::boot::cmdline_tokens::Line;
use crate::boot::disk_root::DiskRoot;
use crate::boot::initramfs::Mounting;
use crate::boot::iscsi_root::{self, IscsiRoot};
use crate::boot::local_root::OwnRoot;
use crate::boot::nfs;
use crate::boot::spec::Want;

/// Changes a line to the root that `deploy` has put on the node's disk.
pub(super) fn to_disk(line: &mut Line, disk: &DiskRoot, want: &Want<'_>) -> Result<()> {
    let root = format!("root={}", disk.device);
    let mut at = sole_root(line, Some(&root))?;
    // The stashed arguments belong to the disk that the system was imported from.
    drop_nfs(line, &[], want.add);
    at = at.filter(|_| !line.find("root").is_empty());
    for (name, token) in disk.arguments()? {
        at = replace_or_insert(line, name, token.as_deref(), at)?.or(at);
    }
    let mut at = at.unwrap_or(0);
    if !want.add.iter().any(|token| token == "ro") {
        if let [place, ..] = line.find("ro").as_slice() {
            line.remove(*place);
            at -= usize::from(*place <= at);
        }
        if !line.has("rw") {
            at += 1;
            line.insert(at, "rw");
        }
    }
    if !line.has("rootwait") {
        line.insert(at + 1, "rootwait");
    }
    Ok(())
}

/// Changes a line to a root on the disk of the machine that has the pool; the root's other mount options stay.
pub(super) fn to_own(line: &mut Line, own: &OwnRoot, want: &Want<'_>) -> Result<()> {
    let roots = line.find("root");
    let was_nfs =
        roots.iter().any(|&at| nfs::is_nfs(line.get(at))) || !line.find("nfsroot").is_empty();
    let root = format!("root={}", own.device());
    sole_root(line, Some(&root))?;
    if was_nfs {
        drop_nfs(line, &[], want.add);
    }
    // The type of a former root's filesystem.
    replace_or_insert(line, "rootfstype", None, None)?;
    let at = replace_or_insert(line, "root", Some(&root), None)?;
    let flags = format!("rootflags={}", own.flags(line.value("rootflags")));
    let at = replace_or_insert(line, "rootflags", Some(&flags), at)?.unwrap_or(0);
    if !want.add.iter().any(|token| token == "ro") {
        let before = line.find("ro").iter().filter(|&&ro| ro < at).count();
        for ro in line.find("ro").into_iter().rev() {
            line.remove(ro);
        }
        if !line.has("rw") {
            line.insert(at - before + 1, "rw");
        }
    }
    Ok(())
}

/// Changes a line to a root by iSCSI: all but the root is as for NFS; returns the arguments that apply to a disk only.
pub(super) fn to_iscsi(
    line: &mut Line,
    iscsi: &IscsiRoot,
    want: &Want<'_>,
    how: Mounting,
) -> Result<Vec<String>> {
    let arguments = iscsi.arguments(how, want.hostname)?;
    let tokens = nfs::Tokens {
        root: iscsi_root::STAND_IN[0].to_string(),
        nfsroot: Some(iscsi_root::STAND_IN[1].to_string()),
    };
    let stripped = to_nfs(line, &tokens, want)?;
    let at = replace_or_insert(line, "nfsroot", None, None)?;
    let at = at.or(line.find("root").first().copied()).unwrap_or(0);
    line.set(at, &arguments[0]);
    for (more, argument) in arguments[1..].iter().enumerate() {
        line.insert(at + 1 + more, argument);
    }
    Ok(stripped)
}
