//! How an environment mounts the data of its node: fstab, units of systemd, and reasons why it could not.
//!
//! Works on halves in an unpublished stage, and in place on those of an environment. Not for the data itself.

use std::io;

use anyhow::Result;

use super::local_disks::FSTAB;
use super::report_unit::has_systemd;
use crate::boot::data::{
    ADDITION, DataMount, MOUNT_TEXT, UNITS, addition, mounted_below, reasons_against,
    target_addition, target_text,
};
use crate::boot::{BootFiles, NfsVersion, fstab};
use crate::fs::rooted::Tree;
use crate::packages::{Family, recognise};
use crate::pool::data_store;

/// The paths of mount(8)'s helper for NFS.
const HELPERS: [&str; 4] = [
    "usr/sbin/mount.nfs",
    "sbin/mount.nfs",
    "usr/bin/mount.nfs",
    "bin/mount.nfs",
];

/// Writes these mounts of data, and no others, into a root; returns whether its fstab changed.
///
/// systemd's units are written before the fstab's lines, and removed after them.
pub(super) fn write(root: &Tree, mounts: &[DataMount], version: NfsVersion) -> Result<bool> {
    add(root, mounts)?;
    let text = root.read_text(FSTAB)?.unwrap_or_default();
    let edited = fstab::edit_data(&text, mounts, version);
    if let Some(text) = &edited {
        root.make_dirs("etc")?;
        root.write(FSTAB, text.as_bytes())?;
    }
    remove_others(root, mounts)?;
    Ok(edited.is_some())
}

/// Returns the files by which systemd mounts the data before it starts other units.
pub(super) fn units(root: &Tree, mounts: &[DataMount]) -> io::Result<Vec<(String, String)>> {
    if mounts.is_empty() || !has_systemd(root)? {
        return Ok(Vec::new());
    }
    let files = mounts
        .iter()
        .map(|mount| (addition(&mount.path), MOUNT_TEXT.to_string()));
    let target = (target_addition(), target_text(mounts));
    let files = files.chain([target]);
    Ok(files
        .map(|(file, text)| (format!("{UNITS}/{file}"), text))
        .collect())
}

/// Makes the mount points, and systemd's files for them.
pub(super) fn add(root: &Tree, mounts: &[DataMount]) -> Result<()> {
    for DataMount { path, .. } in mounts {
        if root.symlink_metadata(path)?.is_none() {
            root.make_dirs(path.trim_start_matches('/'))?;
        }
    }
    for (file, text) in units(root, mounts)? {
        if root.read_text(&file)?.as_deref() != Some(text.as_str()) {
            let (dir, _) = file.rsplit_once('/').unwrap_or((UNITS, ""));
            root.make_dirs(dir)?;
            root.write(&file, text.as_bytes())?;
        }
    }
    Ok(())
}

/// Removes systemd's files for other mounts.
pub(super) fn remove_others(root: &Tree, mounts: &[DataMount]) -> Result<()> {
    let wanted: Vec<String> = units(root, mounts)?
        .into_iter()
        .map(|(file, _)| file)
        .collect();
    let target = target_addition();
    let is_ours = |dir: &String| dir.ends_with(".mount.d") || target.starts_with(dir.as_str());
    for dir in root.names(UNITS)?.into_iter().filter(is_ours) {
        let dir = format!("{UNITS}/{dir}");
        let file = format!("{dir}/{ADDITION}");
        let is_file = |found: std::fs::Metadata| !found.is_dir();
        if !wanted.contains(&file) && root.symlink_metadata(&file)?.is_some_and(is_file) {
            root.remove_file(&file)?;
            if root.names(&dir)?.is_empty() {
                root.remove_dir(&dir)?;
            }
        }
    }
    Ok(())
}

/// Returns why a root would not mount the data, a sentence each; `name` is the name of its environment.
pub(super) fn reasons(root: &dyn BootFiles, mounts: &[DataMount], name: &str) -> Vec<String> {
    let mut reasons = reasons_against(&text(root, FSTAB), mounts);
    if let Some(install) = install_helper(root).filter(|_| !mounts.is_empty()) {
        reasons.push(format!(
            "it has no mount.nfs, which mounts the data of the node: netbe run {name} -- {install}"
        ));
    }
    let has = |path: &&str| root.head(path, 1).is_ok_and(|found| found.is_some());
    let systemd = ["usr/lib/systemd/systemd", "lib/systemd/systemd"];
    if systemd.iter().any(has) {
        for DataMount { path, .. } in mounts {
            let file = format!("{UNITS}/{}", addition(path));
            if text(root, &file) != MOUNT_TEXT {
                reasons.push(format!(
                    "{file} is not as netbe writes it: the node could come up without {path}"
                ));
            }
        }
    }
    reasons
}

/// Returns the obstacles in a root to mounting the data, a sentence each.
pub(super) fn obstacles(root: &Tree, mounts: &[DataMount]) -> Result<Vec<String>> {
    let mut of_paths = Vec::new();
    for path in mounts.iter().filter_map(|mount| mount.path.parse().ok()) {
        let why = data_store::obstacle(root, &path)?;
        // A missing mount point is no obstacle: it will be made.
        of_paths.extend(why.filter(|why| !why.starts_with("there is no")));
    }
    let fstab = text(root, FSTAB);
    let others = mounts.iter().filter_map(|DataMount { path, .. }| {
        let entry = mounted_below(&fstab, path)?;
        let (spec, file) = (entry.spec, entry.file);
        (file == *path).then(|| format!("etc/fstab mounts {spec} at {file}, which is data"))
    });
    let helper = install_helper(root).filter(|_| !mounts.is_empty());
    let helper = helper.map(|_| "it has no mount.nfs, which mounts the data".to_string());
    Ok(of_paths.into_iter().chain(others).chain(helper).collect())
}

/// Returns the command that installs `mount.nfs` in an environment; `None` if its root has it.
pub(crate) fn install_helper(root: &dyn BootFiles) -> Option<&'static str> {
    let has = |path: &&str| root.head(path, 1).is_ok_and(|found| found.is_some());
    if HELPERS.iter().any(has) {
        return None;
    }
    let release = match text(root, "etc/os-release") {
        none if none.is_empty() => text(root, "usr/lib/os-release"),
        release => release,
    };
    Some(match recognise(&release).family {
        Family::Debian => "sh -c 'apt-get update && apt-get install -y nfs-common'",
        Family::Arch => "pacman -S --needed --noconfirm nfs-utils",
        Family::Alpine => "apk add nfs-utils",
        Family::Fedora => "dnf install -y nfs-utils",
        Family::Suse => "zypper -n install nfs-client",
        Family::Unknown => "sh",
    })
}

fn text(root: &dyn BootFiles, path: &str) -> String {
    let bytes = root.head(path, 1 << 20).ok().flatten();
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}
