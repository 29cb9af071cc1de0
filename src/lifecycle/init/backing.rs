//! What a pool is made on: formatting and mounting a file or a device, now and after each reboot.
//!
//! With mkfs.btrfs(8), mount(8) and systemd, as a person would. Not for what goes into the pool.

use std::fs::{self, File};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{Ground, filesystem};
use crate::failure::Failure;
use crate::fs::atomic::{self, Durable};
use crate::fs::systemd;

/// Refuses a device that is none, is mounted, or holds something that nobody gave up.
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
            "{} is not empty ({}); formatting destroys its content",
            device.display(),
            kinds.join(", ")
        ))
        .hint("to format it: the same with --yes")
        .into());
    }
    Ok(())
}

/// Makes `dir` a mounted btrfs filesystem on its ground; notes what a person should know or do.
pub(super) fn prepare(dir: &Path, ground: &Ground, notes: &mut Vec<String>) -> Result<()> {
    atomic::directories(dir)?;
    let (what, is_file) = match ground {
        Ground::Directory => {
            notes.extend(confine(dir)?);
            return Ok(());
        }
        Ground::File(bytes) => {
            let image = image(dir);
            let file =
                File::create_new(&image).with_context(|| format!("making {}", image.display()))?;
            file.set_len(*bytes)?;
            (image, true)
        }
        Ground::Device(device, _) => (device.canonicalize()?, false),
    };
    let made = systemd::run(Command::new("mkfs.btrfs").args(["-q", "-f"]).arg(&what))
        .and_then(|()| {
            let options = options(is_file);
            systemd::run(
                Command::new("mount")
                    .args(["-t", "btrfs", "-o", options])
                    .arg(&what)
                    .arg(dir),
            )
        })
        .with_context(|| format!("making a btrfs filesystem on {}", what.display()));
    if made.is_err() && is_file {
        fs::remove_file(&what).with_context(|| format!("removing {}", what.display()))?;
    }
    made?;
    notes.extend(make_permanent(dir, &what, is_file)?);
    Ok(())
}

/// Makes the mount of a file or device come back after a reboot.
fn make_permanent(dir: &Path, what: &Path, is_file: bool) -> Result<Option<String>> {
    let options = options(is_file);
    let how = format!("Type=btrfs\nOptions={options}");
    let line = format!("btrfs {options}");
    let kept = keep_mounted(dir, what, &how, &line)?;
    Ok(Some(kept))
}

/// Returns the options a pool's filesystem is mounted with.
fn options(is_file: bool) -> &'static str {
    match is_file {
        true => "loop,noatime,nosuid,nodev",
        false => "noatime,nosuid,nodev",
    }
}

/// Has a directory as it is mounted `nosuid,nodev`, now and after each reboot; returns what a person should know or do.
pub(super) fn confine(dir: &Path) -> Result<Option<String>> {
    if filesystem::missing_options(dir)?.is_empty() {
        return Ok(None);
    }
    if filesystem::confine(dir)? {
        let options = "bind,nosuid,nodev";
        let how = format!("Type=none\nOptions={options}");
        return keep_mounted(dir, dir, &how, &format!("none {options}")).map(Some);
    }
    Ok(Some(format!(
        "{0} is now mounted nosuid,nodev; add both options to its line in /etc/fstab, or to its mount unit",
        dir.display()
    )))
}

/// Makes a mount come back after a reboot: by a systemd unit, else by a person.
fn keep_mounted(dir: &Path, what: &Path, how: &str, line: &str) -> Result<String> {
    let units = Path::new("/etc/systemd/system");
    // Whether systemd runs this machine: sd_booted(3).
    if !Path::new("/run/systemd/system").is_dir() {
        return Ok(format!(
            "add this line to /etc/fstab, so that it is mounted after a reboot: {} {} {line} 0 0",
            what.display(),
            dir.display()
        ));
    }
    let name = format!("{}.mount", unit_name(dir));
    let text = format!(
        "# Written by netbe init.\n[Unit]\nDescription=netbe pool\nBefore=nfs-server.service dnsmasq.service\n\n\
         [Mount]\nWhat={}\nWhere={}\n{how}\n\n\
         [Install]\nWantedBy=local-fs.target\n",
        what.display(),
        dir.display()
    );
    atomic::file(&units.join(&name), text.as_bytes(), Durable::AtOnce)?;
    let wants = units.join("local-fs.target.wants");
    atomic::directories(&wants)?;
    // As `systemctl enable` does, which also works where systemd does not run now.
    atomic::link(&wants.join(&name), &units.join(&name))?;
    systemd::run(Command::new("systemctl").arg("daemon-reload")).context(
        "the pool is mounted, and will be after a reboot; but systemd has not been told",
    )?;
    Ok(format!(
        "{} mounts it after a reboot",
        units.join(&name).display()
    ))
}

/// Returns the file beside a directory that a pool there is made in.
pub(super) fn image(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_os_string();
    name.push(".btrfs");
    dir.with_file_name(name)
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
