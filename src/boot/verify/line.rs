//! Verifies that a kernel command line leads to the wanted root. Its other arguments are the user's.

use super::Way;
use crate::boot::cmdline::LIMIT;
use crate::boot::cmdline_tokens::Line;
use crate::boot::initramfs::{Mounter, Mounting};
use crate::boot::nfs;
use crate::boot::read_only::{self, Machines};
use crate::boot::spec::{RootPlace, Want};

/// Returns the faults of a line, a sentence each.
pub(super) fn check(way: &Way, text: &str, want: &Want<'_>, how: Mounting) -> Vec<String> {
    let (file, limit) = (way.file.as_str(), way.limit);
    // Too long to parse: each of its arguments could be a reason.
    if text.len() > LIMIT {
        return vec![format!(
            "{file} holds {} bytes, and {limit} are read",
            text.len()
        )];
    }
    let line = match Line::parse(text) {
        Ok(line) => line,
        Err(e) => return vec![format!("{file} holds no command line: {e}")],
    };
    let mut reasons = Vec::new();
    if line.width() > limit {
        reasons.push(format!(
            "{file} holds {} bytes, and {limit} are read",
            line.width()
        ));
    }
    let mut roots: Vec<&str> = line
        .find("root")
        .into_iter()
        .map(|at| line.get(at))
        .collect();
    roots.dedup();
    if let [one, two, ..] = roots.as_slice() {
        reasons.push(format!("{file} has both {one} and {two}"));
    }
    match &want.root {
        RootPlace::Local(spec) => {
            if line.value("root") != Some(spec.trim_matches('"')) {
                reasons.push(format!("{file} does not say root={spec}"));
            }
        }
        RootPlace::Disk(disk) => reasons.extend(disk.check(file, &line)),
        RootPlace::Own(own) => reasons.extend(own.check(file, &line)),
        RootPlace::Iscsi(iscsi) => {
            reasons.extend(iscsi.check(file, &line, how));
            reasons.extend(check_address(file, &line, way.added, how));
        }
        RootPlace::Nfs { server, path, .. } => {
            let server = server.to_string();
            reasons.extend(check_nfs(file, &line, &server, path, how));
            reasons.extend(check_address(file, &line, way.added, how));
            reasons.extend(check_access(file, &line, want));
        }
    }
    reasons
}

/// Returns why the root would not be mounted with the right access: read-only with changes in memory, or writable.
///
/// An environment was made for one of the two; but several machines cannot write to one root.
fn check_access(file: &str, line: &Line, want: &Want<'_>) -> Option<String> {
    let is_given = want.add.iter().any(|t| t == "ro");
    if read_only::is_started(line) {
        let source = line.value("nfsroot").or(line.value("root"));
        return match () {
            () if !line.has("ro") || line.has("rw") => Some(format!(
                "{file} does not say ro, and the root would be mounted writable"
            )),
            // The overlay filesystem cannot copy the access lists of NFS version 4.
            () if source.is_some_and(|source| source.contains("vers=4")) => Some(format!(
                "{file} mounts the root by NFS version 4, from which nothing can be changed in memory: netbe set \
                 nfs.version=3 {}",
                want.hostname
            )),
            () => None,
        };
    }
    match want.read_only {
        Some(Machines::Several(_)) => Some(format!(
            "{file} does not say {}, and several machines would write to one root",
            read_only::INIT
        )),
        _ if !is_given && (!line.has("rw") || line.has("ro")) => Some(format!(
            "{file} does not say rw, and the root would be mounted read-only"
        )),
        _ => None,
    }
}

fn check_nfs(file: &str, line: &Line, server: &str, path: &str, how: Mounting) -> Vec<String> {
    let found = match nfs::found(line) {
        Ok(Some(found)) => found,
        Ok(None) => {
            let root = line.value("root").unwrap_or("nothing");
            return vec![format!(
                "{file} names {root} as the root, not {server}:{path}"
            )];
        }
        Err(e) => return vec![format!("{file} names no root: {e}")],
    };
    let mut reasons = Vec::new();
    if found.server != server || found.path != path {
        reasons.push(format!(
            "{file} names the root {}:{}, not {server}:{path}",
            found.server, found.path
        ));
    }
    let objections = nfs::objections(how, &found.options);
    reasons.extend(objections.into_iter().map(|why| format!("{file}: {why}")));
    if found.in_root && how.mounter != Mounter::Dracut {
        reasons.push(format!(
            "{file} names the root in a way only dracut reads, and the environment has none"
        ));
    }
    if how.mounter == Mounter::Kernel && !found.options.contains("vers=") {
        reasons.push(format!(
            "{file} names no NFS version, and the kernel does not negotiate one"
        ));
    }
    reasons
}

/// Returns why the mounter could not use the line's `ip=` together with the loader's additions.
fn check_address(file: &str, line: &Line, added: u64, how: Mounting) -> Option<String> {
    let has_ip = !line.find("ip").is_empty();
    let adds_ip = added & 1 != 0;
    let has_card = added & 2 != 0 || !line.find("BOOTIF").is_empty();
    let remedy = "take IPAPPEND and SYSAPPEND out";
    match how.mounter {
        Mounter::Kernel if !has_ip && !adds_ip => Some(format!(
            "{file} has no ip=, and without an initramfs the kernel would have no network"
        )),
        Mounter::Mkinitcpio if !has_ip && !adds_ip => Some(format!(
            "{file} has no ip=, and without one mkinitcpio's net hook brings no network up"
        )),
        Mounter::Mkinitcpio if has_card && !adds_ip => {
            let ip = line.value("ip").unwrap_or_default();
            Some(format!(
                "{file} has ip={ip} and a BOOTIF (IPAPPEND 2), of which mkinitcpio's net hook makes ip={ip}::CARD, which its \
                 ipconfig does not take: {remedy}"
            ))
        }
        Mounter::Dracut if has_ip && adds_ip && line.find("bootdev").is_empty() => Some(format!(
            "{file} has an ip= and gets another one (IPAPPEND 1), and dracut takes two only with bootdev=: {remedy}"
        )),
        _ => None,
    }
}
