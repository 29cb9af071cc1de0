//! Edits `/etc/fstab` of an environment.
//!
//! For a root on the server, lines of disks that the node no longer boots from are commented out,
//!
//! ```text
//! #netbe# PARTUUID=4e639091-02  /  ext4  defaults,noatime  0  1
//! ```
//!
//! and a line of netbe's mounts the boot half. For a root on a disk these lines are restored byte for byte. Comments,
//! order, tabs, escapes and line ends are not changed. Mounts nothing.

mod crypttab;
mod data;
mod entry;
mod lines;
mod local_root;

use anyhow::Result;

pub use crypttab::{edit_crypttab, names_added, opened, restore_crypttab};
pub use data::edit_data;
pub use entry::{Entry, entries};
pub use local_root::{edit_own, reasons_against_own, with_shared};

use super::spec::NfsVersion;
use crate::failure::Failure;
use entry::{escape, parse};
use lines::{Text, insert_after, remove};

/// The option that marks netbe's line; other programs ignore `x-` options.
pub const OWN_OPTION: &str = "x-netbe";
/// The option that marks a line of data.
pub const DATA_OPTION: &str = "x-netbe-data";
/// Prefix of a line that is commented out while the root is on the server.
pub const DISABLED: &str = "#netbe# ";
/// Mount points of boot files.
const BOOT_PLACES: [&str; 4] = ["/boot", "/boot/firmware", "/boot/efi", "/efi"];

/// What an environment's fstab must contain.
#[derive(Debug, Clone, Copy)]
pub struct Want<'a> {
    /// The boot half on the server, `10.0.0.1:/srv/netbe/…/boot`; `None` for a root on a disk.
    pub boot_spec: Option<&'a str>,
    /// Its mount point on the node: `/boot/firmware` or `/boot`.
    pub boot_mount: &'a str,
    /// The NFS version of that mount, made by the node's `mount.nfs` after the root is mounted.
    pub version: NfsVersion,
    /// Whether it is mounted read-only.
    pub read_only: bool,
    /// Whether lines for local disks are commented out although netbe's line exists: an older netbe let them stay.
    pub rest: bool,
    /// The disks that the machine is known to have, as fstab names them: lines that wait only for these are restored.
    pub there: &'a [String],
}

/// Edits an fstab according to `want`; `None` if unchanged.
///
/// Lines for `/` and for the boot mount are always commented out. Lines for other local disks, which a node would wait for
/// and may not have, only when netbe's line is added, or with [`Want::rest`]: later ones are the user's choice. More than one line of netbe's is an
/// error.
pub fn edit(text: &str, want: &Want<'_>) -> Result<Option<String>> {
    let mut lines = Text::split(text);
    let managed = sole_managed(&lines)?;
    match want.boot_spec {
        Some(spec) => to_nfs(&mut lines, managed, spec, want),
        None => to_local(&mut lines, managed),
    }
    let edited = lines.to_string();
    Ok((edited != text).then_some(edited))
}

/// Returns the line of netbe's.
///
/// # Errors
/// When there are several.
fn sole_managed(lines: &Text) -> Result<Option<usize>> {
    let managed: Vec<usize> = (0..lines.len())
        .filter(|&i| parse(lines[i].body()).is_some_and(|e| e.is_managed()))
        .collect();
    if let [first, second, ..] = managed.as_slice() {
        return Err(Failure::failed(format!(
            "lines {} and {} both have the option {OWN_OPTION}, and only one can be netbe's: remove the other from etc/fstab",
            first + 1,
            second + 1
        ))
        .into());
    }
    Ok(managed.first().copied())
}

/// Returns where an fstab mounts the boot files, `/boot/firmware` or `/boot`: at netbe's line, else the first of the
/// two with a mount.
///
/// Lines that are commented out count too: they have the mount point of the imported system.
pub fn boot_mount(text: &str) -> Option<String> {
    let boot_dirs = ["/boot/firmware", "/boot"];
    let found = entries(text);
    // Only these two, whatever a line with the option says: the directory becomes the boot half.
    let managed = |e: &&Entry| e.is_managed() && boot_dirs.contains(&e.file.as_str());
    if let Some(managed) = found.iter().find(managed) {
        return Some(managed.file.clone());
    }
    let all: Vec<Entry> = found.into_iter().chain(disabled(text)).collect();
    let position = boot_dirs.iter().find(|position| {
        all.iter()
            .any(|e| e.file == **position && e.holds_boot_files())
    });
    position.map(ToString::to_string)
}

/// Returns whether an fstab has netbe's line.
pub fn has_managed_line(text: &str) -> bool {
    entries(text).iter().any(Entry::is_managed)
}

/// Returns the entries of an fstab that are commented out by netbe, in order.
pub fn disabled(text: &str) -> Vec<Entry> {
    let disabled = text.lines().filter_map(|l| l.strip_prefix(DISABLED));
    disabled.filter_map(parse).collect()
}

fn to_nfs(lines: &mut Text, managed: Option<usize>, spec: &str, want: &Want<'_>) {
    let mut position = None;
    for i in 0..lines.len() {
        if let Some(original) = returning(lines[i].body(), want) {
            lines[i].set_body(&original);
        }
        let Some(entry) = parse(lines[i].body()) else {
            continue;
        };
        let rests = managed.is_none() || want.rest;
        if Some(i) != managed && is_disabled(&entry, want, rests) {
            let disabled = format!("{DISABLED}{}", lines[i].body());
            lines[i].set_body(&disabled);
            if entry.file == want.boot_mount {
                position = Some(i);
            }
        }
    }
    match managed {
        Some(i) => {
            // Otherwise it is the line of an environment that was on its machine's own disk.
            let is_nfs = parse(lines[i].body()).is_some_and(|e| e.is_nfs());
            let updated = match is_nfs {
                true => updated(lines[i].body(), spec, want),
                false => own_line(spec, want),
            };
            lines[i].set_body(&updated);
        }
        None => insert_after(lines, position, &own_line(spec, want)),
    }
}

fn to_local(lines: &mut Text, managed: Option<usize>) {
    if let Some(i) = managed {
        remove(lines, i);
    }
    for line in lines.iter_mut() {
        if let Some(original) = line.body().strip_prefix(DISABLED) {
            let original = original.to_string();
            line.set_body(&original);
        }
    }
}

/// Returns the original of a line that is commented out, if its disk is there now; never that of the root or the boot files.
fn returning(line: &str, want: &Want<'_>) -> Option<String> {
    let original = line.strip_prefix(DISABLED)?;
    let entry = parse(original)?;
    entry
        .is_beside(want.boot_mount, want.there)
        .then(|| original.to_string())
}

fn is_disabled(entry: &Entry, want: &Want<'_>, rests: bool) -> bool {
    if entry.is_beside(want.boot_mount, want.there) {
        return false;
    }
    entry.file == "/"
        || entry.file == want.boot_mount
        || (rests && entry.waits_for_disk())
        || (rests
            && (BOOT_PLACES.contains(&entry.file.as_str()) || entry.fstype == "swap")
            && (entry.is_on_disk() || (entry.is_nfs() && entry.fstype != "swap")))
}

/// Returns netbe's line.
///
/// `nofail`: without the boot half the node still boots; only kernel upgrades fail. `_netdev`: for inits other than
/// systemd, which knows it from the type. `nolock` with version 3: no locking daemons, and the node is the only
/// writer. No automount: package scripts check that it is mounted.
fn own_line(spec: &str, want: &Want<'_>) -> String {
    let lock = match want.version {
        NfsVersion::V3 => ",nolock",
        NfsVersion::V4_1 | NfsVersion::V4_2 => "",
    };
    let access = access(want.read_only);
    format!(
        "{} {} nfs {access},vers={}{lock},_netdev,nofail,{OWN_OPTION} 0 0",
        escape(spec),
        escape(want.boot_mount),
        want.version
    )
}

/// Returns the first option of netbe's line.
fn access(read_only: bool) -> &'static str {
    if read_only { "ro" } else { "defaults" }
}

/// Returns netbe's line with updated fields; what users added stays.
fn updated(line: &str, spec: &str, want: &Want<'_>) -> String {
    with_fields(line, |field, old| match field {
        0 => escape(spec),
        1 if entry::file_of(old) == want.boot_mount => old.to_string(),
        1 => escape(want.boot_mount),
        3 => updated_options(old, want),
        _ => old.to_string(),
    })
}

/// Returns a line with other fields; its blanks stay.
fn with_fields(line: &str, edit: impl Fn(usize, &str) -> String) -> String {
    let mut edited = String::new();
    let mut field = 0;
    let mut rest = line;
    while !rest.is_empty() {
        let blank = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        let end = rest[blank..]
            .find([' ', '\t'])
            .map_or(rest.len(), |i| blank + i);
        edited.push_str(&rest[..blank]);
        edited.push_str(&edit(field, &rest[blank..end]));
        field += 1;
        rest = &rest[end..];
    }
    edited
}

fn updated_options(old: &str, want: &Want<'_>) -> String {
    let version = want.version;
    let is_version = |o: &&str| o.starts_with("vers=") || o.starts_with("nfsvers=");
    let mut options: Vec<String> = Vec::new();
    let has_version = old.split(',').any(|o| is_version(&o));
    for option in old.split(',') {
        if option == "nolock" && version != NfsVersion::V3 {
            continue;
        }
        if option == OWN_OPTION && !has_version {
            options.push(format!("vers={version}"));
        }
        options.push(if is_version(&option) {
            format!("vers={version}")
        } else {
            option.to_string()
        });
    }
    if version == NfsVersion::V3 && !options.iter().any(|o| o == "nolock" || o == "lock") {
        let at = options.iter().position(|o| o.starts_with("vers="));
        options.insert(at.map_or(options.len(), |at| at + 1), "nolock".to_string());
    }
    let first = options
        .first_mut()
        .filter(|o| **o == access(!want.read_only));
    if let Some(first) = first {
        *first = access(want.read_only).to_string();
    }
    options.join(",")
}

#[cfg(test)]
mod tests;
