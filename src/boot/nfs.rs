//! The NFS root on a command line, in the syntax of each mounter.
//!
//! `root=/dev/nfs nfsroot=10.0.0.1:/srv/x,vers=3,tcp` for the kernel, initramfs-tools and mkinitcpio,
//! `root=nfs4:10.0.0.1:/srv/x:vers=4.2` for dracut. klibc's `nfsmount` fails at the first unknown option, and is
//! retried for ever; so its options are listed here.

use std::net::Ipv4Addr;

use anyhow::{Result, anyhow};

use super::cmdline_tokens::{Line, value_of};
use super::initramfs::{Mounter, Mounting};
use super::spec::NfsVersion;
use crate::failure::Failure;

/// Options of klibc's `nfsmount` that take a number (`usr/kinit/nfsmount/main.c`, klibc 2.0.12).
const KLIBC_NUMBERS: [&str; 11] = [
    "port", "nfsvers", "vers", "rsize", "wsize", "timeo", "retrans", "acregmin", "acregmax",
    "acdirmin", "acdirmax",
];
/// Options of klibc's `nfsmount` without a value.
const KLIBC_WORDS: [&str; 21] = [
    "soft",
    "hard",
    "intr",
    "nointr",
    "posix",
    "noposix",
    "cto",
    "nocto",
    "ac",
    "noac",
    "lock",
    "nolock",
    "acl",
    "noacl",
    "v2",
    "v3",
    "udp",
    "tcp",
    "broken_suid",
    "ro",
    "rw",
];
/// The options for which `actimeo` stands, where it is not supported.
const ATTRIBUTE_TIMES: [&str; 4] = ["acregmin", "acregmax", "acdirmin", "acdirmax"];

/// The tokens of an NFS root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tokens {
    /// `root=…`.
    pub(crate) root: String,
    /// `nfsroot=…`, if the mounter uses it.
    pub(crate) nfsroot: Option<String>,
}

/// Returns the tokens by which `how` mounts the root, or an error why it cannot.
pub(crate) fn tokens(
    how: Mounting,
    server: Ipv4Addr,
    path: &str,
    version: Option<NfsVersion>,
    options: Option<&str>,
) -> Result<Tokens> {
    if let Some(bad) = path
        .chars()
        .find(|c| c.is_whitespace() || c.is_control() || ",:\"'\\%".contains(*c))
    {
        return Err(Failure::failed(format!(
            "the root {path:?} has a {bad:?} in its path, which a kernel command line cannot carry: keep the pool \
             under a path of letters, digits and ._+-/"
        ))
        .into());
    }
    let options = mount_options(how, version, options)?;
    let v4 = options.split(',').any(is_version_4);
    Ok(match how.mounter {
        // dracut mounts version 4 only under this name.
        Mounter::Dracut => Tokens {
            root: format!(
                "root={}:{server}:{path}:{options}",
                if v4 { "nfs4" } else { "nfs" }
            ),
            nfsroot: None,
        },
        _ => Tokens {
            root: "root=/dev/nfs".to_string(),
            nfsroot: Some(format!("nfsroot={server}:{path},{options}")),
        },
    })
}

/// Returns the version that `how` mounts by default.
///
/// The kernel does not negotiate; an unknown initramfs most likely supports version 3.
pub(super) fn default_version(how: Mounting) -> NfsVersion {
    match how.mounter {
        Mounter::Kernel | Mounter::Dracut => NfsVersion::V4_2,
        Mounter::InitramfsTools | Mounter::Mkinitcpio | Mounter::Unknown => NfsVersion::V3,
    }
}

fn mount_options(how: Mounting, version: Option<NfsVersion>, more: Option<&str>) -> Result<String> {
    let more = split_options(more.unwrap_or_default())?;
    let mut options = Vec::new();
    if version.is_some() || !more.iter().any(|o| is_version(o)) {
        let version = version.unwrap_or_else(|| default_version(how));
        options.push(format!("vers={version}"));
    }
    if !more.iter().any(|o| is_transport(o)) {
        options.push("tcp".to_string());
    }
    for option in more {
        match option.strip_prefix("actimeo=") {
            Some(seconds) if how.is_klibc() => {
                options.extend(
                    ATTRIBUTE_TIMES
                        .iter()
                        .map(|name| format!("{name}={seconds}")),
                );
            }
            // The property's version is in the list; of two the last would count.
            _ if version.is_some() && is_version(option) => {}
            _ => options.push(option.to_string()),
        }
    }
    let options = options.join(",");
    if let Some(why) = objections(how, &options).into_iter().next() {
        return Err(Failure::failed(format!("{why}: {}", remedy(how))).into());
    }
    Ok(options)
}

fn split_options(text: &str) -> Result<Vec<&str>> {
    let options: Vec<&str> = text
        .split(',')
        .map(str::trim)
        .filter(|o| !o.is_empty())
        .collect();
    let is_bad = |o: &&&str| o.chars().any(|c| c.is_whitespace() || ":\"".contains(c));
    match options.iter().find(is_bad) {
        Some(bad) => Err(Failure::failed(format!(
            "the mount option {bad:?} cannot stand on a kernel command line"
        ))
        .hint("netbe get nfs.options")
        .into()),
        None => Ok(options),
    }
}

/// Returns why `how` cannot mount with these options, a sentence each.
pub(crate) fn objections(how: Mounting, options: &str) -> Vec<String> {
    if !how.is_klibc() {
        return Vec::new();
    }
    let mounter = match how.mounter {
        Mounter::Mkinitcpio => "the nfsmount of mkinitcpio's net hook",
        _ => "the nfsmount of initramfs-tools",
    };
    let options = options.split(',').filter(|o| !o.is_empty());
    options
        .filter(|option| !klibc_takes(option))
        .map(|option| {
            if is_version_4(option) {
                format!("{mounter} mounts NFS version 3 only, not {option}")
            } else {
                format!("{mounter} does not know the mount option {option}")
            }
        })
        .collect()
}

fn remedy(how: Mounting) -> &'static str {
    match how.mounter {
        Mounter::Mkinitcpio => "set nfs.version=3, or leave the option out",
        _ => {
            "set nfs.version=3, leave the option out, or put mount.nfs into the initramfs with a \
             hook in /etc/initramfs-tools/hooks"
        }
    }
}

fn klibc_takes(option: &str) -> bool {
    match option.split_once('=') {
        Some((name @ ("vers" | "nfsvers"), value)) => {
            KLIBC_NUMBERS.contains(&name) && matches!(value, "2" | "3")
        }
        Some((name, value)) => KLIBC_NUMBERS.contains(&name) && value.parse::<u32>().is_ok(),
        None => KLIBC_WORDS.contains(&option),
    }
}

fn is_version(option: &str) -> bool {
    let name = option.split('=').next().unwrap_or(option);
    matches!(
        name,
        "vers" | "nfsvers" | "v2" | "v3" | "v4" | "v4.0" | "v4.1" | "v4.2"
    )
}

fn is_version_4(option: &str) -> bool {
    option.starts_with("v4") || option.starts_with("vers=4") || option.starts_with("nfsvers=4")
}

fn is_transport(option: &str) -> bool {
    matches!(option, "tcp" | "udp") || option.starts_with("proto=") || option.starts_with("rdma")
}

/// An NFS root on a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// The server as written; empty for the address server.
    pub(crate) server: String,
    /// The path on the server.
    pub(crate) path: String,
    /// The mount options, comma-separated; empty for none.
    pub(crate) options: String,
    /// Whether it has dracut's syntax, `root=nfs4:…`.
    pub(crate) in_root: bool,
}

/// Returns whether a `root=` or `netroot=` token is for NFS.
pub(crate) fn is_nfs(token: &str) -> bool {
    value_of(token).is_some_and(|v| {
        v == "/dev/nfs"
            || v == "nfs"
            || v == "nfs4"
            || v.starts_with("nfs:")
            || v.starts_with("nfs4:")
    })
}

/// Returns the NFS root of a line; an error if it is incomplete.
pub(crate) fn found(line: &Line) -> Result<Option<Found>> {
    let root = line.value("root").unwrap_or_default();
    if let Some(rest) = root.strip_prefix("nfs:").or(root.strip_prefix("nfs4:")) {
        let mut fields = rest.split(':');
        let mut server = fields.next().unwrap_or_default();
        let path = if server.starts_with('/') {
            std::mem::take(&mut server)
        } else {
            fields.next().unwrap_or_default()
        };
        // dracut also accepts the kernel's syntax, with options after a comma.
        let (path, old_options) = path.split_once(',').unwrap_or((path, ""));
        return Ok(Some(Found {
            server: server.to_string(),
            path: path.to_string(),
            options: fields.next().unwrap_or(old_options).to_string(),
            in_root: true,
        }));
    }
    if root != "/dev/nfs" {
        return Ok(None);
    }
    let value = line
        .value("nfsroot")
        .ok_or_else(|| anyhow!("it has root=/dev/nfs without nfsroot="))?;
    let (place, options) = value.split_once(',').unwrap_or((value, ""));
    let (server, path) = place.split_once(':').unwrap_or(("", place));
    Ok(Some(Found {
        server: server.to_string(),
        path: path.to_string(),
        options: options.to_string(),
        in_root: false,
    }))
}

#[cfg(test)]
mod tests;
