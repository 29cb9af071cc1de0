//! The settings by which a root half leaves the interface of a network root alone, placed in it or taken out.
//!
//! Works on a root half in an unpublished stage, or on one that nothing runs from. What is edited, and why: `boot::root_network`.

use std::io;

use anyhow::{Context, Result};

use super::first_boot::has_cloud_init;
use crate::boot::cloud_init::{KEEP_NETWORK, OWN_NETWORK, SETTINGS};
use crate::boot::root_network::{self, NETWORKD, dhcpcd, ifcfg, interfaces};
use crate::fs::rooted::Tree;

/// Where systemd-networkd's administrator has his files.
const NETWORK: &str = "etc/systemd/network";
/// netbe's part of one of them.
const DROP_IN: &str = "50-netbe.conf";
/// Where netplan's are, and how it names those it makes of them.
const NETPLAN: (&str, &str) = ("etc/netplan", "10-netplan-");
/// Where wicked's are.
const WICKED: &str = "etc/sysconfig/network";
/// Debian's ifupdown, where it has the setting; others with files of the same names have not.
const IFUP: [&str; 2] = ["sbin/ifup", "usr/sbin/ifup"];
/// The most of that program that is read.
const PROGRAM: usize = 1 << 20;
/// The most files of one place that are edited.
const FILES: usize = 64;

/// An edit of one file: its text, and whether the interface is to be kept.
type Edit = fn(&str, bool) -> Option<String>;

/// Has a root half leave the interface of its root alone, or not; returns notes, a sentence each.
pub(super) fn set(root: &Tree, keep: bool) -> Result<Vec<String>> {
    let mut changed = Vec::new();
    for (path, edit) in texts(root, keep)? {
        // What is no text configures nothing.
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
    if keep && has_cloud_init(root)? {
        root.make_dirs(SETTINGS)?;
        changed.extend(place(root, OWN_NETWORK, KEEP_NETWORK)?);
    } else if !keep {
        remove(root, OWN_NETWORK)?;
    }
    let told = keep && !changed.is_empty();
    Ok(told
        .then(|| {
            format!(
                "so that nothing takes down the interface that the root comes over, netbe has edited {}",
                changed.join(", ")
            )
        })
        .into_iter()
        .collect())
}

/// Returns the files that are edited, and how.
fn texts(root: &Tree, keep: bool) -> io::Result<Vec<(String, Edit)>> {
    let mut found: Vec<(String, Edit)> = vec![("etc/dhcpcd.conf".to_string(), dhcpcd)];
    if !keep || knows_no_auto_down(root)? {
        found.push(("etc/network/interfaces".to_string(), interfaces));
        for name in files(root, "etc/network/interfaces.d", |_| true)? {
            found.push((name, interfaces));
        }
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

fn knows_no_auto_down(root: &Tree) -> io::Result<bool> {
    let word = b"no-auto-down";
    for path in IFUP {
        if let Some(program) = root.head(path, PROGRAM)? {
            return Ok(program.windows(word.len()).any(|at| at == word));
        }
    }
    Ok(false)
}

/// Places a drop-in for each of systemd-networkd's files, and for those that netplan makes, or removes it.
fn networkd(root: &Tree, keep: bool) -> Result<Vec<String>> {
    if !keep {
        for directory in files(root, NETWORK, |name| name.ends_with(".network.d"))? {
            remove(root, &format!("{directory}/{DROP_IN}"))?;
            // Others' parts stay.
            if root.names(&directory)?.is_empty() {
                root.remove_dir(&directory)?;
            }
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
    for path in files(root, NETPLAN.0, |name| name.ends_with(".yaml"))? {
        let text = root.read_text(&path).ok().flatten().unwrap_or_default();
        let names = root_network::netplan_names(&text).into_iter();
        made_for.extend(names.map(|name| format!("{NETWORK}/{}{name}.network", NETPLAN.1)));
    }
    let mut placed = Vec::new();
    for path in made_for.into_iter().take(FILES) {
        root.make_dirs(&format!("{path}.d"))?;
        placed.extend(place(root, &format!("{path}.d/{DROP_IN}"), NETWORKD)?);
    }
    Ok(placed)
}

/// Returns the files of a directory whose names are those wanted.
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

fn remove(root: &Tree, path: &str) -> io::Result<()> {
    match root.symlink_metadata(path)? {
        Some(found) if found.is_file() => root.remove_file(path),
        _ => Ok(()),
    }
}
