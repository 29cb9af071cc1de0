//! The operand that names a node's disk: a path, or `ssh://`.
//!
//! Pure. Not for work on the disk.

use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;

use crate::failure::Failure;

/// The place of a node's disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A block device of this server, or a directory of a filesystem on it.
    Here(PathBuf),
    /// The same on a machine that is reached by ssh.
    There {
        /// The host in ssh's form: `root@nog`.
        host: String,
        /// Its port; by default that of ssh's configuration.
        port: Option<u16>,
        /// The device or directory.
        path: String,
    },
}

impl FromStr for Target {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let Some(rest) = text.strip_prefix("ssh://") else {
            return Ok(Self::Here(PathBuf::from(text)));
        };
        let (place, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let (host, port) = host_and_port(place).ok_or_else(|| {
            Failure::usage(format!(
                "\"{text}\" names no host: ssh://root@nog/dev/sda2, ssh://root@nog:2222, ssh://root@[fe80::1%eth0]"
            ))
        })?;
        Ok(Self::There {
            host,
            port,
            path: path.to_string(),
        })
    }
}

/// Parses `user@host:port`, with an IPv6 address in brackets, into what ssh takes as host and as port.
fn host_and_port(place: &str) -> Option<(String, Option<u16>)> {
    let (user, place) = match place.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, place),
    };
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            let (address, zone) = host.split_once('%').unwrap_or((host, "0"));
            address.parse::<Ipv6Addr>().ok()?;
            if !zone.bytes().all(|c| c.is_ascii_alphanumeric()) {
                return None;
            }
            match after.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if after.is_empty() => (host, None),
                None => return None,
            }
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let is_plain = |text: &str, more: &[u8]| {
        let plain = |c: u8| c.is_ascii_alphanumeric() || more.contains(&c);
        !text.is_empty() && !text.starts_with('-') && text.bytes().all(plain)
    };
    let port = match port {
        Some(digits) if is_plain(digits, b"") => Some(digits.parse().ok().filter(|n| *n > 0)?),
        Some(_) => return None,
        None => None,
    };
    if !is_plain(host, b"._:%-") || !user.is_none_or(|user| is_plain(user, b"._-")) {
        return None;
    }
    let host = user.map_or(host.to_string(), |user| format!("{user}@{host}"));
    Some((host, port))
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (host, port, path) = match self {
            Self::Here(path) => return write!(f, "{}", path.display()),
            Self::There { host, port, path } => (host, port, path),
        };
        f.write_str("ssh://")?;
        match host.rsplit_once('@') {
            Some((user, address)) if address.contains(':') => write!(f, "{user}@[{address}]")?,
            None if host.contains(':') => write!(f, "[{host}]")?,
            _ => f.write_str(host)?,
        }
        if let Some(port) = port {
            write!(f, ":{port}")?;
        }
        f.write_str(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_devices_directories_and_hosts() {
        let here = "/dev/sda".parse::<Target>().unwrap();
        assert_eq!(here, Target::Here("/dev/sda".into()));
        for (text, host, port, path) in [
            ("ssh://nog", "nog", None, "/"),
            ("ssh://nog:2222", "nog", Some(2222), "/"),
            (
                "ssh://root@10.0.0.7/dev/sda2",
                "root@10.0.0.7",
                None,
                "/dev/sda2",
            ),
            (
                "ssh://root@nog:22/mnt/a:b",
                "root@nog",
                Some(22),
                "/mnt/a:b",
            ),
            ("ssh://[fd00::7]", "fd00::7", None, "/"),
            (
                "ssh://root@[fe80::7%eth0]:22/dev/sda",
                "root@fe80::7%eth0",
                Some(22),
                "/dev/sda",
            ),
        ] {
            let there = Target::There {
                host: host.to_string(),
                port,
                path: path.to_string(),
            };
            assert_eq!(text.parse::<Target>().unwrap(), there, "{text}");
            assert_eq!(
                there.to_string().parse::<Target>().unwrap(),
                there,
                "{there}"
            );
        }
        for text in [
            "ssh://",
            "ssh:///dev/sda",
            "ssh://-oProxyCommand=x",
            "ssh://-oProxyCommand=x@nog",
            "ssh://root@-oProxyCommand=x",
            "ssh://-v",
            "ssh://-v@nog",
            "ssh://root@-v",
            "ssh://a b/",
            "ssh://nog:",
            "ssh://nog:0",
            "ssh://nog:65536",
            "ssh://nog:+22",
            "ssh://fe80::1",
            "ssh://[nog]",
            "ssh://[::1",
            "ssh://[::1]22",
            "ssh://@nog",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
