//! The backing of a pool: formatting and mounting a file or a device, now and after each reboot.
//!
//! With mkfs.btrfs(8), mount(8) and systemd, as an administrator would. Not for the content of the pool.

use std::fs::{self, File};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::mount::{MntFlags, umount2};

use super::{Ground, filesystem};
use crate::btrfs::subvolume::identity;
use crate::failure::Failure;
use crate::fs::atomic::{self, Durable};
use crate::fs::{server_packages, systemd};
use crate::pool::{layout, local};

/// Refuses a path that is no block device, a mounted device, and one that is not empty without `--yes`.
pub(super) fn refuse_device(device: &Path, yes: bool) -> Result<()> {
    let kind = fs::metadata(device)
        .with_context(|| format!("finding {}", device.display()))?
        .file_type();
    if !kind.is_block_device() {
        return Err(Failure::usage(format!("{} is not a block device", device.display())).into());
    }
    let name = device.canonicalize()?;
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    if mounts.lines().any(|l| l.split(' ').next() == name.to_str()) {
        return Err(Failure::refused(format!("{} is mounted", device.display())).into());
    }
    // wipefs without --all only looks; it knows every signature libblkid does.
    let output = Command::new("wipefs")
        .arg("--noheadings")
        .arg(&name)
        .output()
        .context("running wipefs")?;
    if !output.status.success() {
        bail!(
            "cannot tell what {} holds: {}",
            device.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    if !output.stdout.is_empty() && !yes {
        let held = String::from_utf8_lossy(&output.stdout);
        let kinds: Vec<&str> = held
            .lines()
            .filter_map(|l| {
                l.split_whitespace()
                    .nth(if l.contains("0x") { 2 } else { 1 })
            })
            .collect();
        return Err(Failure::refused(format!(
            "{} is not empty ({}); formatting destroys its content, and needs --yes",
            device.display(),
            kinds.join(", ")
        ))
        .hint(format!("lsblk -f {}", device.display()))
        .into());
    }
    Ok(())
}

/// Refuses, before anything is done, if a program that makes filesystems is missing.
pub(super) fn require_programs() -> Result<()> {
    ["mkfs.btrfs", "mount", "wipefs"]
        .iter()
        .try_for_each(|program| server_packages::require(program))
}

/// Removes, if making a pool fails, what was made for it, the last first.
#[derive(Default)]
pub(in crate::lifecycle) struct Undo(Vec<Box<dyn FnOnce()>>);

impl Undo {
    /// Adds the removal of something that was made.
    pub(in crate::lifecycle) fn by(&mut self, take_away: impl FnOnce() + 'static) {
        self.0.push(Box::new(take_away));
    }

    /// Keeps everything.
    pub(in crate::lifecycle) fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        while let Some(take_away) = self.0.pop() {
            take_away();
        }
    }
}

/// Makes `dir` a mounted btrfs filesystem on this backing; returns the mount, if there is a new one.
pub(super) fn prepare(dir: &Path, ground: &Ground, undo: &mut Undo) -> Result<Option<Lasting>> {
    let missing: Vec<PathBuf> = dir
        .ancestors()
        .take_while(|a| !a.exists())
        .map(Into::into)
        .collect();
    for dir in missing.into_iter().rev() {
        undo.by(move || drop(fs::remove_dir(&dir)));
    }
    atomic::directories(dir)?;
    let (what, is_file) = match ground {
        Ground::Directory => {
            return Ok(None);
        }
        Ground::File(bytes) => {
            let image = layout::image(dir);
            let file =
                File::create_new(&image).with_context(|| format!("making {}", image.display()))?;
            let made = image.clone();
            undo.by(move || drop(fs::remove_file(&made)));
            file.set_len(*bytes)?;
            (image, true)
        }
        Ground::Device(device, _) => (device.canonicalize()?, false),
    };
    let options = match is_file {
        true => "loop,noatime,nosuid,nodev",
        false => "noatime,nosuid,nodev",
    };
    let mut mount = Command::new("mount");
    mount
        .args(["-t", "btrfs", "-o", options])
        .arg(&what)
        .arg(dir);
    systemd::run(Command::new("mkfs.btrfs").args(["-q", "-f"]).arg(&what))
        .and_then(|()| systemd::run(&mut mount))
        .with_context(|| format!("making a btrfs filesystem on {}", what.display()))?;
    unmount_later(dir, undo);
    // The name of a device may belong to another device after a reboot.
    let stable = match is_file {
        true => Stable::Path(what),
        false => Stable::Filesystem(identity::mounted_filesystem(dir)?.to_string()),
    };
    Ok(Some(Lasting {
        what: stable,
        kind: "btrfs",
        options,
    }))
}

/// Mounts a pool that was laid out with the right options, now and after each reboot; returns a note about what the
/// administrator has to do.
pub(super) fn settle(dir: &Path, own: Option<Lasting>, undo: &mut Undo) -> Result<Option<String>> {
    if let Some(own) = own {
        return own.keep(dir).map(Some);
    }
    if !filesystem::is_mount_point(dir)? {
        unmount_later(dir, undo);
    }
    confine(dir)
}

fn unmount_later(dir: &Path, undo: &mut Undo) {
    let dir = dir.to_path_buf();
    // If it is no mount point, this does nothing.
    undo.by(move || {
        let _ = umount2(&dir, MntFlags::MNT_DETACH);
    });
}

/// The directory of the administrator's units.
const UNITS: &str = "/etc/systemd/system";
/// The directory of links to units that are started with the other mounts.
const WANTS: &str = "/etc/systemd/system/local-fs.target.wants";

/// Returns the systemd unit that mounts the pool on the disk that this machine boots from, and the link by which it is started.
pub(in crate::lifecycle) fn local_unit() -> [PathBuf; 2] {
    let name = format!("{}.mount", unit_name(Path::new(local::DIR)));
    [UNITS, WANTS].map(|dir| Path::new(dir).join(&name))
}

/// Writes both.
pub(in crate::lifecycle) fn write_local_unit(filesystem: &str) -> Result<()> {
    let lasting = Lasting {
        what: Stable::Filesystem(filesystem.to_string()),
        kind: "btrfs",
        options: local::OPTIONS,
    };
    lasting.write_unit(Path::new(local::DIR)).map(drop)
}

/// A mount that is to come back after each reboot.
pub(super) struct Lasting {
    what: Stable,
    kind: &'static str,
    options: &'static str,
}

/// The mounted filesystem, by a name that is still valid after a reboot.
enum Stable {
    Path(PathBuf),
    /// By the UUID of its filesystem.
    Filesystem(String),
}

impl Stable {
    /// Returns the name for a line of fstab(5).
    fn in_fstab(&self) -> String {
        match self {
            Self::Path(path) => path.display().to_string(),
            Self::Filesystem(uuid) => format!("UUID={uuid}"),
        }
    }

    /// Returns the name for a mount unit, which takes only paths: systemd.mount(5).
    fn in_unit(&self) -> String {
        match self {
            Self::Path(path) => path.display().to_string(),
            Self::Filesystem(uuid) => format!("/dev/disk/by-uuid/{uuid}"),
        }
    }
}

/// Mounts a directory `nosuid,nodev`, now and after each reboot; returns a note about what the administrator has to do.
pub(super) fn confine(dir: &Path) -> Result<Option<String>> {
    if filesystem::missing_options(dir)?.is_empty() {
        return Ok(None);
    }
    if filesystem::confine(dir)? {
        let bind = Lasting {
            what: Stable::Path(dir.to_path_buf()),
            kind: "none",
            options: "bind,nosuid,nodev",
        };
        return bind.keep(dir).map(Some);
    }
    Ok(Some(format!(
        "{0} is now mounted nosuid,nodev; add both options to its line in /etc/fstab, or to its mount unit",
        dir.display()
    )))
}

impl Lasting {
    /// Makes the mount permanent by a systemd unit, else returns the line for the administrator to add.
    fn keep(&self, dir: &Path) -> Result<String> {
        let Self {
            what,
            kind,
            options,
        } = self;
        if !systemd::is_running() {
            return Ok(format!(
                "add this line to /etc/fstab, so that it is mounted after a reboot: {} {} {kind} {options} 0 0",
                what.in_fstab(),
                dir.display()
            ));
        }
        let unit = self.write_unit(dir)?;
        let mut note = format!("{} mounts it after a reboot", unit.display());
        if let Err(e) = systemd::systemctl(&["daemon-reload"]) {
            note.push_str(&format!("; systemd has not read it yet: {e:#}"));
        }
        Ok(note)
    }

    /// Writes a systemd unit for the mount, and enables it; returns its path.
    fn write_unit(&self, dir: &Path) -> Result<PathBuf> {
        let Self {
            what,
            kind,
            options,
        } = self;
        let units = Path::new(UNITS);
        let name = format!("{}.mount", unit_name(dir));
        let text = format!(
            "# Written by netbe init.\n[Unit]\nDescription=netbe pool\nBefore=nfs-server.service dnsmasq.service\n\n\
             [Mount]\nWhat={}\nWhere={}\nType={kind}\nOptions={options}\n\n\
             [Install]\nWantedBy=local-fs.target\n",
            what.in_unit(),
            dir.display()
        );
        let wants = Path::new(WANTS);
        atomic::directories(wants)?;
        atomic::file(&units.join(&name), text.as_bytes(), Durable::AtOnce)?;
        // As `systemctl enable` does, which also works where systemd does not run now.
        atomic::link(&wants.join(&name), &units.join(&name))?;
        Ok(units.join(&name))
    }
}

/// Returns the name systemd wants a mount unit for a path to have, without `.mount`: systemd-escape(1).
pub(super) fn unit_name(dir: &Path) -> String {
    let text = dir.to_string_lossy();
    let mut name = String::new();
    for (i, c) in text.trim_matches('/').chars().enumerate() {
        match c {
            '/' => name.push('-'),
            '.' if i > 0 => name.push(c),
            c if c.is_ascii_alphanumeric() || c == '_' => name.push(c),
            c => name.push_str(&format!("\\x{:02x}", u32::from(c))),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_names_as_systemd_escapes_them() {
        assert_eq!(unit_name(Path::new("/srv/netbe")), "srv-netbe");
        assert_eq!(unit_name(Path::new("/srv/net-be.1")), "srv-net\\x2dbe.1");
        assert_eq!(unit_name(Path::new("/.srv")), "\\x2esrv");
    }
}
