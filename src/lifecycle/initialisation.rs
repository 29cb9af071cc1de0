//! Making a pool: `init`.
//!
//! A directory on btrfs, a file beside it formatted and mounted there, or a device. Promises that a device
//! that holds something is not formatted unasked, and that a pool is never made anew. Not for services.

use std::fs::{self, File};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{Mode, Outcome};
use crate::failure::Failure;
use crate::pool::record::{self, PoolRecord, VERSION};
use crate::pool::{Pool, layout, properties};
use crate::storage::btrfs;
use crate::storage::replace::{self, Durable};

/// What the pool is to be made on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ground {
    /// The directory as it is, on btrfs.
    Directory,
    /// A sparse file beside it, of this many bytes.
    File(u64),
    /// A block device; formatted although it holds something, when the flag says so.
    Device(PathBuf, bool),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The pool.
    pub dir: PathBuf,
    /// Whether it was one already.
    pub was_there: bool,
    /// What else a person should know or do, a sentence each.
    pub notes: Vec<String>,
}

/// The smallest file a pool is made in, in bytes: less than mkfs.btrfs takes helps nobody.
const SMALLEST: u64 = 128 << 20;

/// Returns a size in bytes from `64G`, `500M`, `1T`, as powers of 1024.
///
/// # Errors
/// A sentence, for anything else and for less than 128M.
pub fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "K" | "KIB" => 1_u64 << 10,
        "M" | "MIB" => 1 << 20,
        "G" | "GIB" => 1 << 30,
        "T" | "TIB" => 1 << 40,
        "" => 1,
        _ => return Err(format!("{text:?} is no size: 64G, 500M, 1T")),
    };
    let bytes = digits
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(unit))
        .ok_or_else(|| format!("{text:?} is no size: 64G, 500M, 1T"))?;
    if bytes < SMALLEST {
        return Err(format!("{text} is too small for a pool: 128M at least"));
    }
    Ok(bytes)
}

/// Makes `dir` a pool on `ground`.
pub fn init(
    dir: &Path,
    ground: &Ground,
    server: Option<&str>,
    mode: Mode,
) -> Result<Outcome<Made>> {
    let dir = std::path::absolute(dir).with_context(|| format!("finding {}", dir.display()))?;
    refuse_path(&dir)?;
    let server = server
        .map(|s| properties::find("server")?.normalise(s))
        .transpose()?;
    if layout::pool_record(&dir).exists() {
        Pool::open(&dir)?;
        return Ok(Outcome::Done(Made {
            dir,
            was_there: true,
            notes: Vec::new(),
        }));
    }
    refuse_ground(&dir, ground)?;
    if mode.dry_run {
        return Ok(Outcome::Planned(steps(&dir, ground)));
    }
    let mut notes = Vec::new();
    prepare(&dir, ground, &mut notes)?;
    lay_out(&dir, server).with_context(|| format!("laying out the pool in {}", dir.display()))?;
    Ok(Outcome::Done(Made {
        dir,
        was_there: false,
        notes,
    }))
}

/// Refuses a place whose path cannot stand unquoted where it will be read.
fn refuse_path(dir: &Path) -> Result<()> {
    if layout::is_plain(dir) && dir != Path::new("/") {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{} cannot hold a pool: its path ends up on kernel command lines, so letters, digits and /._+- only",
        dir.display()
    ))
    .into())
}

fn refuse_ground(dir: &Path, ground: &Ground) -> Result<()> {
    let empty = || layout::names_in(dir).is_ok_and(|n| n.is_empty());
    match ground {
        Ground::Directory => {
            let there = dir.ancestors().find(|a| a.exists()).unwrap_or(dir);
            if !btrfs::is_btrfs(there) {
                return Err(Failure::refused(format!("{} is not on btrfs", dir.display()))
                    .hint(format!(
                        "on a file: netbe init {0} --file 64G; on a device: netbe init {0} --device DEV",
                        dir.display()
                    ))
                    .into());
            }
            let names = layout::names_in(dir)?;
            if let Some(name) = names
                .iter()
                .find(|n| ["nodes", "tftp", "publish"].contains(&n.as_str()))
            {
                return Err(Failure::refused(format!(
                    "{} holds {name} but no pool.json: half a pool, or something else",
                    dir.display()
                ))
                .hint("restore pool.json, or choose another directory")
                .into());
            }
        }
        _ if !empty() => {
            return Err(Failure::refused(format!("{} is not empty", dir.display())).into());
        }
        Ground::File(_) => {
            let image = image(dir);
            if image.symlink_metadata().is_ok() {
                return Err(
                    Failure::refused(format!("{} is there already", image.display()))
                        .hint(format!(
                            "mount -o loop {} {}",
                            image.display(),
                            dir.display()
                        ))
                        .into(),
                );
            }
        }
        Ground::Device(device, yes) => refuse_device(device, *yes)?,
    }
    Ok(())
}

fn refuse_device(device: &Path, yes: bool) -> Result<()> {
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
            "{} holds something ({}); formatting it loses that",
            device.display(),
            kinds.join(", ")
        ))
        .hint("if it may go: the same with --yes")
        .into());
    }
    Ok(())
}

fn steps(dir: &Path, ground: &Ground) -> Vec<String> {
    let on = match ground {
        Ground::Directory => None,
        Ground::File(bytes) => Some((
            format!("make {} of {bytes} bytes", image(dir).display()),
            image(dir),
        )),
        Ground::Device(device, _) => Some((format!("format {}", device.display()), device.clone())),
    };
    let mut steps = Vec::new();
    if let Some((make, what)) = on {
        steps.push(make);
        steps.push(format!("mount {} at {}", what.display(), dir.display()));
        steps.push("make the mount permanent".to_string());
    }
    steps.push(format!("lay out a pool in {}", dir.display()));
    steps
}

fn prepare(dir: &Path, ground: &Ground, notes: &mut Vec<String>) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    let (what, is_file) = match ground {
        Ground::Directory => return Ok(()),
        Ground::File(bytes) => {
            let image = image(dir);
            let file =
                File::create_new(&image).with_context(|| format!("making {}", image.display()))?;
            file.set_len(*bytes)?;
            (image, true)
        }
        Ground::Device(device, _) => (device.canonicalize()?, false),
    };
    let made = ran(Command::new("mkfs.btrfs").args(["-q", "-f"]).arg(&what))
        .and_then(|()| {
            let options = if is_file { "loop,noatime" } else { "noatime" };
            ran(Command::new("mount")
                .args(["-t", "btrfs", "-o", options])
                .arg(&what)
                .arg(dir))
        })
        .with_context(|| format!("making a btrfs filesystem on {}", what.display()));
    if made.is_err() && is_file {
        fs::remove_file(&what).with_context(|| format!("taking {} back", what.display()))?;
    }
    made?;
    notes.extend(make_permanent(dir, &what, is_file)?);
    Ok(())
}

/// Makes the mount come back after a reboot: by a systemd unit, else by a person.
fn make_permanent(dir: &Path, what: &Path, is_file: bool) -> Result<Option<String>> {
    let options = if is_file { "loop,noatime" } else { "noatime" };
    let units = Path::new("/etc/systemd/system");
    // Whether systemd runs this machine: sd_booted(3).
    if !Path::new("/run/systemd/system").is_dir() {
        return Ok(Some(format!(
            "add this line to /etc/fstab, so that it is mounted after a reboot: {} {} btrfs {options} 0 0",
            what.display(),
            dir.display()
        )));
    }
    let name = format!("{}.mount", unit_name(dir));
    let text = format!(
        "# Written by netbe init.\n[Unit]\nDescription=netbe pool\nBefore=nfs-server.service dnsmasq.service\n\n\
         [Mount]\nWhat={}\nWhere={}\nType=btrfs\nOptions={options}\n\n\
         [Install]\nWantedBy=local-fs.target\n",
        what.display(),
        dir.display()
    );
    replace::file(&units.join(&name), text.as_bytes(), Durable::AtOnce)?;
    let wants = units.join("local-fs.target.wants");
    fs::create_dir_all(&wants).with_context(|| format!("making {}", wants.display()))?;
    // As `systemctl enable` does, which also works where systemd does not run now.
    replace::link(&wants.join(&name), &units.join(&name))?;
    ran(Command::new("systemctl").arg("daemon-reload")).context(
        "the pool is mounted, and will be after a reboot; but systemd has not been told",
    )?;
    Ok(Some(format!(
        "{} mounts it after a reboot",
        units.join(&name).display()
    )))
}

fn lay_out(dir: &Path, server: Option<String>) -> Result<()> {
    for part in [
        layout::nodes(dir),
        layout::tftp(dir),
        layout::publish(dir),
        layout::locks(dir),
    ] {
        match fs::create_dir(&part) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(e).with_context(|| format!("making {}", part.display()));
            }
            _ => {}
        }
    }
    let uuid = fs::read_to_string("/proc/sys/kernel/random/uuid").context("making a UUID")?;
    let mut record = PoolRecord {
        version: VERSION,
        uuid: uuid.trim().to_string(),
        properties: std::collections::BTreeMap::new(),
        other: serde_json::Map::new(),
    };
    record
        .properties
        .extend(server.map(|s| ("server".to_string(), s)));
    // Last: with it, it is a pool.
    record::write(&layout::pool_record(dir), &record)?;
    btrfs::sync(dir).context("making the pool durable")
}

fn image(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_os_string();
    name.push(".btrfs");
    dir.with_file_name(name)
}

/// Returns the name systemd wants a mount unit for a path to have, without `.mount`: systemd-escape(1).
fn unit_name(dir: &Path) -> String {
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

fn ran(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("running {name}"))?;
    if output.status.success() {
        return Ok(());
    }
    bail!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size("64G"), Ok(64 << 30));
        assert_eq!(size("500m"), Ok(500 << 20));
        assert_eq!(size("1T"), Ok(1 << 40));
        for bad in ["", "G", "64X", "-1G", "1.5G", "99999999999T", "1M"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn unit_names_as_systemd_escapes_them() {
        assert_eq!(unit_name(Path::new("/srv/netbe")), "srv-netbe");
        assert_eq!(unit_name(Path::new("/srv/net-be.1")), "srv-net\\x2dbe.1");
        assert_eq!(unit_name(Path::new("/.srv")), "\\x2esrv");
    }
}
