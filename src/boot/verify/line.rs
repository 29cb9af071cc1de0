//! Verifies that a kernel command line leads to the wanted root. Its other arguments are the user's.

use crate::boot::cmdline::LIMIT;
use crate::boot::cmdline_tokens::Line;
use crate::boot::initramfs::{Mounter, Mounting};
use crate::boot::nfs;
use crate::boot::spec::{RootPlace, Want};

/// Returns the faults of a line, a sentence each.
pub(super) fn check(
    file: &str,
    text: &str,
    want: &Want<'_>,
    how: Mounting,
    limit: usize,
) -> Vec<String> {
    // Not parsed: each of its arguments could be a reason.
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
        RootPlace::Nfs { server, path, .. } => {
            let server = server.to_string();
            reasons.extend(check_nfs(file, &line, &server, path, how));
            let read_only = want.add.iter().any(|t| t == "ro");
            if !read_only && (!line.has("rw") || line.has("ro")) {
                reasons.push(format!(
                    "{file} does not say rw, and the root would be mounted read-only"
                ));
            }
        }
    }
    reasons
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
    if how.mounter == Mounter::Kernel {
        if line.find("ip").is_empty() {
            reasons.push(format!(
                "{file} has no ip=, and without an initramfs the kernel would have no network"
            ));
        }
        if !found.options.contains("vers=") {
            reasons.push(format!(
                "{file} names no NFS version, and the kernel does not negotiate one"
            ));
        }
    }
    reasons
}
