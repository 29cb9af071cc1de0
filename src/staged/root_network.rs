//! Settings by which a system does not touch the interface of its network root, added to a root half or removed.
//!
//! Works on a root half in an unpublished stage, or on one that no machine runs. The edits, and their reasons:
//! `boot::root_network`.

use std::io;

use anyhow::{Context, Result};

use super::first_boot::has_cloud_init;
use crate::boot::cloud_init::{KEEP_NETWORK, OWN_NETWORK, SETTINGS};
use crate::boot::root_network::{
    self, DHCLIENT, IFUP_UNIT, NETWORKD, dhcpcd, ifcfg, interfaces, is_hotplugged, sources,
};
use crate::fs::rooted::Tree;

/// The administrator's directory of systemd-networkd.
const NETWORK: &str = "etc/systemd/network";
/// The packages' directory of systemd-networkd.
const PACKAGED: &str = "usr/lib/systemd/network";
/// netbe's drop-in for one of its files.
const DROP_IN: &str = "50-netbe.conf";
/// netplan's directory, and the prefix of the files that it generates for systemd-networkd.
const NETPLAN: (&str, &str) = ("etc/netplan", "10-netplan-");
/// wicked's directory.
const WICKED: &str = "etc/sysconfig/network";
/// Debian's ifupdown, which has the setting; other programs with files of the same names do not.
const IFUP: [&str; 2] = ["sbin/ifup", "usr/sbin/ifup"];
/// The files with its interfaces.
const INTERFACES: [&str; 2] = ["etc/network/interfaces", "etc/network/interfaces.d/*"];
/// Its unit for one interface, and netbe's drop-in for that.
const IFUP_UNITS: [&str; 2] = [
    "usr/lib/systemd/system/ifup@.service",
    "lib/systemd/system/ifup@.service",
];
const IFUP_DROP_IN: &str = "etc/systemd/system/ifup@.service.d/50-netbe.conf";
/// dhclient's script, the directory of its hooks, and netbe's hook.
const DHCLIENT_SCRIPTS: [&str; 2] = ["usr/sbin/dhclient-script", "sbin/dhclient-script"];
const DHCLIENT_PARTS: &str = "etc/dhcp/dhclient-enter-hooks.d";
const DHCLIENT_PART: &str = "etc/dhcp/dhclient-enter-hooks.d/netbe";
/// How many bytes of that program are read.
const PROGRAM: usize = 1 << 20;
/// The maximum number of files that are edited in one directory.
const FILES: usize = 64;

/// An edit of one file, by its text and whether the system must not touch the interface.
type Edit = fn(&str, bool) -> Option<String>;

/// Adds the settings to a root half, or removes them; returns notes, a sentence each.
pub(super) fn set(root: &Tree, keep: bool) -> Result<Vec<String>> {
    let mut changed = Vec::new();
    for (path, edit) in texts(root, keep)? {
        // A file that is no text has no settings.
        let Some(text) = root.read_text(&path).ok().flatten() else {
            continue;
        };
        if let Some(edited) = edit(&text, keep) {
            root.write(&path, edited.as_bytes())
                .with_context(|| format!("writing {path}"))?;
            changed.push(format!("/{path}"));
        }
    }
    changed.extend(networkd(root, keep)?);
    changed.extend(ifup_unit(root, keep)?);
    changed.extend(dhclient(root, keep)?);
    if keep && has_cloud_init(root)? {
        root.make_dirs(SETTINGS)?;
        changed.extend(place(root, OWN_NETWORK, KEEP_NETWORK)?);
    } else if !keep {
        remove(root, OWN_NETWORK)?;
    }
    let told = keep && !changed.is_empty();
    Ok(told.then(|| note(&changed)).into_iter().collect())
}

/// Returns the note that names the edited files. Of netbe's drop-ins for systemd-networkd it gives the number: Debian has five
/// files that get one.
fn note(changed: &[String]) -> String {
    let is_part = |path: &&String| path.starts_with(&format!("/{NETWORK}/"));
    let (parts, mut names): (Vec<&String>, Vec<String>) = (
        changed.iter().filter(is_part).collect(),
        changed
            .iter()
            .filter(|path| !is_part(path))
            .cloned()
            .collect(),
    );
    match parts.as_slice() {
        [] => {}
        [one] => names.push((*one).clone()),
        some => names.push(format!("/{NETWORK}/*.d/{DROP_IN} ({} files)", some.len())),
    }
    format!(
        "so that the interface of the root stays up, netbe has edited {}",
        names.join(", ")
    )
}

/// Returns the files to edit, and their edits.
fn texts(root: &Tree, keep: bool) -> io::Result<Vec<(String, Edit)>> {
    let mut found: Vec<(String, Edit)> = vec![("etc/dhcpcd.conf".to_string(), dhcpcd)];
    if !keep || knows(root, &IFUP, "no-auto-down")? {
        let parts = interface_files(root)?.into_iter();
        found.extend(parts.map(|path| (path, interfaces as Edit)));
    }
    let wired = |name: &str| {
        name.strip_prefix("ifcfg-")
            .is_some_and(root_network::is_wired)
    };
    for name in files(root, WICKED, wired)? {
        found.push((name, ifcfg));
    }
    Ok(found)
}

/// Returns the files of ifupdown's interfaces.
fn interface_files(root: &Tree) -> io::Result<Vec<String>> {
    let mut found: Vec<String> = Vec::new();
    let mut wanted = INTERFACES.map(str::to_string).to_vec();
    while let Some(path) = wanted.pop() {
        let of_pattern = match path.rsplit_once('/') {
            Some((directory, name)) if name.contains('*') => {
                let (start, end) = name.split_once('*').unwrap_or((name, ""));
                files(root, directory, |name| {
                    name.starts_with(start) && name.ends_with(end)
                })?
            }
            _ => vec![path],
        };
        for path in of_pattern {
            if found.len() >= FILES || found.contains(&path) {
                continue;
            }
            let text = root.read_text(&path).ok().flatten().unwrap_or_default();
            wanted.extend(sources(&text));
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Adds the drop-in by which systemd leaves hotplugged interfaces up, or removes it.
fn ifup_unit(root: &Tree, keep: bool) -> Result<Option<String>> {
    if !keep {
        remove_with_directory(root, IFUP_DROP_IN)?;
        return Ok(None);
    }
    if !is_there(root, &IFUP_UNITS)? {
        return Ok(None);
    }
    for path in interface_files(root)? {
        let text = root.read_text(&path).ok().flatten().unwrap_or_default();
        if is_hotplugged(&text) {
            return place_in_directory(root, IFUP_DROP_IN, IFUP_UNIT);
        }
    }
    Ok(None)
}

/// Adds the hook by which dhclient removes no address, or removes it.
fn dhclient(root: &Tree, keep: bool) -> Result<Option<String>> {
    if !keep {
        remove(root, DHCLIENT_PART)?;
        return Ok(None);
    }
    match knows(root, &DHCLIENT_SCRIPTS, DHCLIENT_PARTS)? {
        true => place_in_directory(root, DHCLIENT_PART, DHCLIENT),
        false => Ok(None),
    }
}

/// Returns whether the first of these programs that exists has a word in it.
fn knows(root: &Tree, programs: &[&str], word: &str) -> io::Result<bool> {
    for path in programs {
        if let Some(program) = root.head(path, PROGRAM)? {
            return Ok(program.windows(word.len()).any(|at| at == word.as_bytes()));
        }
    }
    Ok(false)
}

fn is_there(root: &Tree, paths: &[&str]) -> io::Result<bool> {
    for path in paths {
        if root.metadata(path)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Places a drop-in for each of systemd-networkd's files, and for those that netplan makes, or removes it.
fn networkd(root: &Tree, keep: bool) -> Result<Vec<String>> {
    if !keep {
        for directory in files(root, NETWORK, |name| name.ends_with(".network.d"))? {
            remove_with_directory(root, &format!("{directory}/{DROP_IN}"))?;
        }
        return Ok(Vec::new());
    }
    let mut made_for = Vec::new();
    for path in files(root, NETWORK, |name| name.ends_with(".network"))? {
        let text = root.read_text(&path).ok().flatten().unwrap_or_default();
        if !root_network::says_what_is_kept(&text)
            && root.metadata(&path)?.is_some_and(|m| m.is_file())
        {
            made_for.push(path);
        }
    }
    for path in files(root, PACKAGED, |name| name.ends_with(".network"))? {
        let text = root.read_text(&path).ok().flatten().unwrap_or_default();
        let replacement = path.replacen(PACKAGED, NETWORK, 1);
        let is_replaced = root.symlink_metadata(&replacement)?.is_some();
        if !is_replaced
            && !text.is_empty()
            && root_network::may_be_wired(&text)
            && !root_network::says_what_is_kept(&text)
        {
            made_for.push(replacement);
        }
    }
    for path in files(root, NETPLAN.0, |name| name.ends_with(".yaml"))? {
        let text = root.read_text(&path).ok().flatten().unwrap_or_default();
        let names = root_network::netplan_names(&text).into_iter();
        made_for.extend(names.map(|name| format!("{NETWORK}/{}{name}.network", NETPLAN.1)));
    }
    let mut placed = Vec::new();
    for path in made_for.into_iter().take(FILES) {
        let path = format!("{path}.d/{DROP_IN}");
        placed.extend(place_in_directory(root, &path, NETWORKD)?);
    }
    Ok(placed)
}

/// Returns the files of a directory with wanted names.
fn files(root: &Tree, directory: &str, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<String>> {
    let names = root.names(directory)?.into_iter();
    let names = names.filter(|name| wanted(name)).take(FILES);
    Ok(names.map(|name| format!("{directory}/{name}")).collect())
}

fn place(root: &Tree, path: &str, text: &str) -> io::Result<Option<String>> {
    if root.symlink_metadata(path)?.is_some() {
        return Ok(None);
    }
    root.write(path, text.as_bytes())?;
    Ok(Some(format!("/{path}")))
}

fn place_in_directory(root: &Tree, path: &str, text: &str) -> Result<Option<String>> {
    root.make_dirs(path.rsplit_once('/').map_or("", |(directory, _)| directory))?;
    Ok(place(root, path, text)?)
}

/// Removes a file of netbe's, and its directory if that is empty then.
fn remove_with_directory(root: &Tree, path: &str) -> io::Result<()> {
    let is_there = root.symlink_metadata(path)?.is_some();
    remove(root, path)?;
    match path.rsplit_once('/') {
        Some((directory, _)) if is_there && root.names(directory)?.is_empty() => {
            root.remove_dir(directory)
        }
        _ => Ok(()),
    }
}

fn remove(root: &Tree, path: &str) -> io::Result<()> {
    match root.symlink_metadata(path)? {
        Some(found) if found.is_file() => root.remove_file(path),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::note;

    #[test]
    fn a_note_counts_the_parts_of_one_directory() {
        let part = |name: &str| format!("/etc/systemd/network/{name}.network.d/50-netbe.conf");
        let dhcpcd = || "/etc/dhcpcd.conf".to_string();
        let all = "/etc/systemd/network/*.d/50-netbe.conf (2 files)";
        for (changed, told) in [
            (vec![part("80-wired")], part("80-wired")),
            (vec![dhcpcd()], dhcpcd()),
            (
                vec![dhcpcd(), part("a"), part("b")],
                format!("/etc/dhcpcd.conf, {all}"),
            ),
        ] {
            let note = note(&changed);
            assert!(note.ends_with(&format!("has edited {told}")), "{note}");
        }
    }
}
