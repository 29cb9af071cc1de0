//! Edits the kernel command line of an environment.
//!
//! `console=tty1 root=PARTUUID=…-02 rootfstype=ext4 fsck.repair=yes rootwait` becomes `console=tty1 root=/dev/nfs
//! nfsroot=10.0.0.1:/srv/…,vers=3,tcp rw ip=dhcp rootwait`, and back. All other bytes stay, and the same edit twice
//! changes nothing. The file format around it, a file of its own or a loader's directive, is handled by the callers.

mod fate;
mod on_disk;

use anyhow::{Result, bail};

use super::cmdline_tokens::{Line, is_one_token, name_of, same_name, same_token};
use super::disk_root;
use super::initramfs::Mounting;
use super::iscsi_root;
use super::nfs;
use super::read_only;
use super::spec::{RootPlace, Want};
use crate::failure::Failure;
use fate::{Fate, fate};
use on_disk::{to_disk, to_iscsi, to_own};

/// Arguments that netbe sets from properties other than `cmdline`.
pub(super) const MANAGED: [&str; 11] = [
    "root",
    "nfsroot",
    "netroot",
    "ip",
    "nfsaddrs",
    "iscsi_initiator",
    "iscsi_target_name",
    "iscsi_target_ip",
    "iscsi_username",
    "iscsi_password",
    "rd.iscsi.initiator",
];

/// The longest text that is edited, in bytes: several times what any loader reads; limits the quadratic comparison of
/// tokens.
pub(super) const LIMIT: usize = 16 << 10;

/// The result of an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Edited {
    /// The new text; `None` if unchanged.
    pub(crate) text: Option<String>,
    /// Number of bytes that the loader passes to the kernel.
    pub(crate) width: usize,
    /// Removed arguments that apply to a root on a disk only.
    pub(crate) stripped: Vec<String>,
    /// Arguments with quoted blanks, which initramfs-tools splits in spite of the quotes.
    pub(crate) quoted: Vec<String>,
}

/// Edits the text of a command line according to `want`.
pub(crate) fn edit(text: &str, want: &Want<'_>, how: Mounting) -> Result<Edited> {
    check_added(want.add)?;
    if text.len() > LIMIT {
        bail!(
            "it is {} bytes long, and no loader reads as much",
            text.len()
        );
    }
    let mut line = Line::parse(text)?;
    if let Some(token) = line
        .for_init()
        .find(|t| MANAGED.iter().any(|managed| same_name(name_of(t), managed)))
    {
        bail!("{token} is after --, where the kernel passes it to init");
    }
    if want.read_only.is_none() {
        read_only::take_out(&mut line);
    }
    iscsi_root::take_out(&mut line);
    let stripped = match &want.root {
        RootPlace::Nfs {
            server,
            path,
            version,
            options,
        } => {
            let tokens = nfs::tokens(how, *server, path, *version, options.as_deref())?;
            let stripped = to_nfs(&mut line, &tokens, want)?;
            disk_root::unless_deployed(stripped)
        }
        RootPlace::Local(spec) => {
            to_local(&mut line, spec, want)?;
            Vec::new()
        }
        RootPlace::Disk(disk) => {
            to_disk(&mut line, disk, want)?;
            Vec::new()
        }
        RootPlace::Own(own) => {
            to_own(&mut line, own, want)?;
            Vec::new()
        }
        RootPlace::Iscsi(iscsi) => {
            disk_root::unless_deployed(to_iscsi(&mut line, iscsi, want, how)?)
        }
    };
    add_and_remove(&mut line, want);
    if want.read_only.is_some() {
        read_only::start(&mut line);
    }
    let edited = line.to_string();
    let has_blank = |t: &&str| t.contains('"') && t.contains(char::is_whitespace);
    Ok(Edited {
        width: line.width(),
        stripped,
        quoted: line
            .tokens()
            .filter(has_blank)
            .map(str::to_string)
            .collect(),
        text: (edited != text).then_some(edited),
    })
}

fn check_added(add: &[String]) -> Result<()> {
    for token in add {
        if !is_one_token(token) || token == "--" {
            return Err(Failure::failed(format!("\"{token}\" is not one kernel argument")).into());
        }
        if MANAGED
            .iter()
            .any(|managed| same_name(name_of(token), managed))
        {
            return Err(Failure::failed(format!(
                "the property cmdline cannot hold {token}: netbe writes {}= itself, by the properties root, ip, \
                 nfs.version and nfs.options",
                name_of(token)
            ))
            .into());
        }
    }
    Ok(())
}

/// Changes a line to an NFS root; returns the arguments that apply to a disk only.
fn to_nfs(line: &mut Line, tokens: &nfs::Tokens, want: &Want<'_>) -> Result<Vec<String>> {
    let root = sole_root(line, None)?;
    // Only a line with a disk as root has the environment's arguments for a disk.
    let was_local = root.is_some_and(|at| !nfs::is_nfs(line.get(at)));
    let is_given = want.add.iter().any(|t| t == "ro");
    let is_read_only = want.read_only.is_some() || is_given;
    let mut keep = want.add.to_vec();
    if want.read_only.is_some() && line.has(read_only::INIT) {
        // Written by netbe; any other `ro` belongs to the line for a disk.
        keep.push("ro".to_string());
    }
    let stripped = strip(line, was_local, is_read_only, &keep);
    let mut at = replace_or_insert(line, "root", Some(&tokens.root), None)?.unwrap_or(0);
    if let Some(place) = replace_or_insert(line, "nfsroot", tokens.nfsroot.as_deref(), Some(at))? {
        at = place;
    }
    let mode = if is_read_only { "ro" } else { "rw" };
    if !is_given && !line.has(mode) {
        line.insert(at + 1, mode);
    }
    at += usize::from(line.tokens().nth(at + 1) == Some(mode));
    let ip = want.ip.argument(want.hostname);
    replace_or_insert(line, "ip", Some(&ip), Some(at))?;
    Ok(stripped)
}

/// Removes the arguments that do not apply to an NFS root, and returns those of a line for a disk.
fn strip(line: &mut Line, was_local: bool, read_only: bool, keep: &[String]) -> Vec<String> {
    let mut stripped = Vec::new();
    let mut at = 0;
    while at < line.tokens().count() {
        let token = line.get(at).to_string();
        let fate = match keep.iter().any(|t| same_token(t, &token)) {
            true => Fate::Keep,
            false => fate(&token, read_only),
        };
        let (is_removed, is_local) = match fate {
            Fate::Keep => (false, false),
            Fate::Gone => (true, false),
            Fate::Disk => (true, was_local || token != "rw"),
            Fate::Address | Fate::Writable => (false, was_local),
            // Besides the root to replace there can be only one of the other kind: see `sole_root`.
            Fate::Root => (nfs::is_nfs(&token) == was_local, !nfs::is_nfs(&token)),
        };
        if is_removed {
            line.remove(at);
        } else {
            at += 1;
        }
        stripped.extend(is_local.then_some(token));
    }
    stripped
}

/// Changes a line to a root on a disk; on a line for a disk only `root=` is set.
fn to_local(line: &mut Line, spec: &str, want: &Want<'_>) -> Result<()> {
    let root = format!("root={spec}");
    if !is_one_token(&root) {
        return Err(Failure::failed(format!("\"{spec}\" is not a value for root=")).into());
    }
    let chosen = sole_root(line, Some(&root))?;
    let roots = line.find("root");
    let was_nfs =
        roots.iter().any(|&at| nfs::is_nfs(line.get(at))) || !line.find("nfsroot").is_empty();
    match chosen {
        Some(at) => {
            line.set(at, &root);
            for other in roots.into_iter().rev().filter(|&other| other != at) {
                line.remove(other);
            }
        }
        None => line.push(&root),
    }
    if was_nfs {
        drop_nfs(line, want.stash, want.add);
        let mut at = line.find("root").first().map_or(0, |at| at + 1);
        for token in want.stash {
            if !same_name(name_of(token), "root") && !line.has(token) {
                line.insert(at, token);
                at += 1;
            }
        }
    }
    Ok(())
}

/// Removes the arguments that apply only to an NFS root; `stash` are the arguments that the line had for a disk before.
fn drop_nfs(line: &mut Line, stash: &[String], add: &[String]) {
    for at in (0..line.tokens().count()).rev() {
        let token = line.get(at);
        let is_removed = match fate(token, false) {
            Fate::Gone | Fate::Address => true,
            // The stash has all arguments of the local line; without a stash, `rw` may be one of them.
            Fate::Writable => !stash.is_empty(),
            _ => same_name(name_of(token), "nfsroot"),
        };
        let mut retained = stash.iter().chain(add);
        if is_removed && !retained.any(|t| same_token(t, token)) {
            line.remove(at);
        }
    }
}

/// Returns the position of the `root=` to replace; repeated equal ones count once.
///
/// Two are accepted if one is NFS and the other a disk (the one of the other kind is removed), or one is `wanted`.
/// Otherwise two are an error that names them.
fn sole_root(line: &mut Line, wanted: Option<&str>) -> Result<Option<usize>> {
    drop_repeated(line, "root");
    let all = line.find("root");
    let same: Vec<usize> = match wanted {
        Some(wanted) => {
            if let Some(&at) = all.iter().find(|&&at| same_token(line.get(at), wanted)) {
                return Ok(Some(at));
            }
            all.iter()
                .copied()
                .filter(|&at| !nfs::is_nfs(line.get(at)))
                .collect()
        }
        None => all
            .iter()
            .copied()
            .filter(|&at| nfs::is_nfs(line.get(at)))
            .collect(),
    };
    match (all.as_slice(), same.as_slice()) {
        ([], _) => Ok(None),
        (&[at], _) | (_, &[at]) => Ok(Some(at)),
        (&[first, second, ..], _) => bail!(
            "it has both {} and {}: remove one of them",
            line.get(first),
            line.get(second)
        ),
    }
}

/// Replaces the only token of a name, or inserts it after the token at `after`, or at the end; returns its position.
///
/// Without a token, those of the name are removed.
fn replace_or_insert(
    line: &mut Line,
    name: &str,
    token: Option<&str>,
    after: Option<usize>,
) -> Result<Option<usize>> {
    drop_repeated(line, name);
    let all = line.find(name);
    let Some(token) = token else {
        for at in all.into_iter().rev() {
            line.remove(at);
        }
        return Ok(None);
    };
    match all.as_slice() {
        [] => {
            let at = after.map_or_else(|| line.tokens().count(), |at| at + 1);
            line.insert(at, token);
            Ok(Some(at))
        }
        &[at] => {
            line.set(at, token);
            Ok(Some(at))
        }
        &[first, second, ..] => bail!(
            "it has both {} and {}: remove one of them",
            line.get(first),
            line.get(second)
        ),
    }
}

fn drop_repeated(line: &mut Line, name: &str) {
    let all = line.find(name);
    for (i, &at) in all.iter().enumerate().rev() {
        if all[..i]
            .iter()
            .any(|&first| same_token(line.get(first), line.get(at)))
        {
            line.remove(at);
        }
    }
}

fn add_and_remove(line: &mut Line, want: &Want<'_>) {
    for token in want.remove {
        let wanted = want.add.iter().any(|t| same_token(t, token));
        let places = line.find(name_of(token));
        let last = places
            .into_iter()
            .rfind(|&at| same_token(line.get(at), token));
        if let (false, Some(at)) = (wanted, last) {
            line.remove(at);
        }
    }
    for token in want.add {
        if !line.has(token) {
            line.push(token);
        }
    }
}

#[cfg(test)]
mod tests;
