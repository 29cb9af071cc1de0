//! `/etc/fstab` of an environment: which lines are netbe's, which have to rest, and what is mounted where.
//!
//! For a root on the server the lines for disks the node does not boot from any more become comments,
//!
//! ```text
//! #netbe# PARTUUID=4e639091-02  /  ext4  defaults,noatime  0  1
//! ```
//!
//! and one line mounts the boot half. For a root on a disk the comments become the lines they were, to
//! the byte. Comments, order, tabs, escapes and line ends stay as they are. Not for mounting.

mod entry;
mod lines;

use anyhow::Result;

pub use entry::{Entry, entries};

use super::spec::NfsVersion;
use crate::failure::Failure;
use entry::{escape, parse};
use lines::{Text, insert_after, remove};

/// The option that marks netbe's own line; programs other than netbe leave `x-` options alone.
pub const OWN_OPTION: &str = "x-netbe";
/// What stands before a line that rests while the root is on the server.
pub const RESTING: &str = "#netbe# ";
/// Mount points that belong to what the loader reads.
const BOOT_PLACES: [&str; 4] = ["/boot", "/boot/firmware", "/boot/efi", "/efi"];

/// What an environment's fstab must say.
#[derive(Debug, Clone, Copy)]
pub struct Want<'a> {
    /// The boot half on the server, `10.0.0.1:/srv/netbe/…/boot`; `None` for a root on a disk.
    pub boot_spec: Option<&'a str>,
    /// Where the node mounts it: `/boot/firmware` or `/boot`.
    pub boot_mount: &'a str,
    /// The NFS version of that mount; the node's own `mount.nfs` makes it, after the root is there.
    pub version: NfsVersion,
}

/// Edits an fstab so that it says what is wanted; `None`: it does already.
///
/// Lines for `/` and for the boot mount always rest. Those for other boot places and for swap on local
/// disks rest only when the file gets netbe's line for the first time: one that is added later is the
/// node's own choice. More than one line of netbe's is an error.
pub fn edit(text: &str, want: &Want<'_>) -> Result<Option<String>> {
    let mut lines = Text::split(text);
    let own: Vec<usize> = (0..lines.len())
        .filter(|&i| parse(lines[i].body()).is_some_and(|e| e.is_own()))
        .collect();
    if let [first, second, ..] = own.as_slice() {
        return Err(Failure::failed(format!(
            "lines {} and {} both have the option {OWN_OPTION}, and only one can be netbe's",
            first + 1,
            second + 1
        ))
        .hint("remove one of them from etc/fstab")
        .into());
    }
    match want.boot_spec {
        Some(spec) => to_nfs(&mut lines, own.first().copied(), spec, want),
        None => to_local(&mut lines, own.first().copied()),
    }
    let edited = lines.to_string();
    Ok((edited != text).then_some(edited))
}

/// Returns where an fstab mounts the boot files, `/boot/firmware` or `/boot`: netbe's own line, else the
/// first of the two that something is mounted at.
///
/// Resting lines count too: they say where the system that was brought in has its boot files.
pub fn boot_mount(text: &str) -> Option<String> {
    let places = ["/boot/firmware", "/boot"];
    let found = entries(text);
    // Nowhere else, whatever a line with our option says: what is there becomes the boot half.
    let own = |e: &&Entry| e.is_own() && places.contains(&e.file.as_str());
    if let Some(own) = found.iter().find(own) {
        return Some(own.file.clone());
    }
    let resting = text.lines().filter_map(|l| l.strip_prefix(RESTING));
    let all: Vec<Entry> = found.into_iter().chain(resting.filter_map(parse)).collect();
    let place = places.iter().find(|place| {
        all.iter()
            .any(|e| e.file == **place && e.holds_boot_files())
    });
    place.map(ToString::to_string)
}

fn to_nfs(lines: &mut Text, own: Option<usize>, spec: &str, want: &Want<'_>) {
    let mut place = None;
    for i in 0..lines.len() {
        let Some(entry) = parse(lines[i].body()) else {
            continue;
        };
        if Some(i) != own && rests(&entry, want, own.is_none()) {
            let resting = format!("{RESTING}{}", lines[i].body());
            lines[i].set_body(&resting);
            if entry.file == want.boot_mount {
                place = Some(i);
            }
        }
    }
    match own {
        Some(i) => {
            let updated = updated(lines[i].body(), spec, want);
            lines[i].set_body(&updated);
        }
        None => insert_after(lines, place, &own_line(spec, want)),
    }
}

fn to_local(lines: &mut Text, own: Option<usize>) {
    if let Some(i) = own {
        remove(lines, i);
    }
    for line in lines.iter_mut() {
        if let Some(original) = line.body().strip_prefix(RESTING) {
            let original = original.to_string();
            line.set_body(&original);
        }
    }
}

fn rests(entry: &Entry, want: &Want<'_>, first_time: bool) -> bool {
    entry.file == "/"
        || entry.file == want.boot_mount
        || (first_time
            && (BOOT_PLACES.contains(&entry.file.as_str()) || entry.fstype == "swap")
            && (entry.is_on_disk() || (entry.is_nfs() && entry.fstype != "swap")))
}

/// Returns netbe's own line.
///
/// `nofail`: a boot half that cannot be mounted costs a kernel upgrade, never the node's boot. `_netdev`:
/// systemd knows it from the type, other inits do not. `nolock` with version 3: locking would need
/// daemons, and nobody else writes there. No automount: package scripts look whether it is mounted.
fn own_line(spec: &str, want: &Want<'_>) -> String {
    let lock = match want.version {
        NfsVersion::V3 => ",nolock",
        NfsVersion::V4_1 | NfsVersion::V4_2 => "",
    };
    format!(
        "{} {} nfs defaults,vers={}{lock},_netdev,nofail,{OWN_OPTION} 0 0",
        escape(spec),
        escape(want.boot_mount),
        want.version
    )
}

/// Returns netbe's line brought up to date field by field: what was added to it by hand stays.
fn updated(line: &str, spec: &str, want: &Want<'_>) -> String {
    let mut updated = String::new();
    let mut field = 0;
    let mut rest = line;
    while !rest.is_empty() {
        let blank = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        let end = rest[blank..]
            .find([' ', '\t'])
            .map_or(rest.len(), |i| blank + i);
        updated.push_str(&rest[..blank]);
        let old = &rest[blank..end];
        updated.push_str(&match field {
            0 => escape(spec),
            1 if entry::file_of(old) == want.boot_mount => old.to_string(),
            1 => escape(want.boot_mount),
            3 => updated_options(old, want.version),
            _ => old.to_string(),
        });
        field += 1;
        rest = &rest[end..];
    }
    updated
}

fn updated_options(old: &str, version: NfsVersion) -> String {
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
    options.join(",")
}

#[cfg(test)]
mod tests;
