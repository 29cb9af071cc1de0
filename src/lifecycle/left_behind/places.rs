//! Classifies a system's files: which do not count, and by which directory the others are named.
//!
//! Pure: paths in, answers out. The list stands in the manual of `status`, and that of caches and logs in that of `upgrade`.

use std::path::{Path, PathBuf};

use crate::boot::report;
use crate::packages::left_out::{is_beneath, is_left_out};

/// Paths of the root half that every boot, or a service by itself, writes anew, and backups that tools keep of files they change.
/// `*` stands for any part of a name.
pub const EVERY_BOOT: &[&str] = &[
    report::FILE,
    "etc/*.swp",
    "etc/*~",
    "etc/.pwd.lock",
    "etc/adjtime",
    "etc/fake-hwclock.data",
    "etc/group-",
    "etc/gshadow-",
    "etc/mtab",
    "etc/passwd-",
    "etc/shadow-",
    "etc/subgid-",
    "etc/subuid-",
    "var/backups/*.0",
    "var/backups/*.gz",
    "var/lib/NetworkManager/*.lease",
    "var/lib/NetworkManager/seen-bssids",
    "var/lib/NetworkManager/timestamps",
    "var/lib/chrony",
    "var/lib/dhclient",
    "var/lib/dhcp",
    "var/lib/dhcpcd",
    "var/lib/fake-hwclock",
    "var/lib/logrotate",
    "var/lib/mlocate",
    "var/lib/ntp",
    "var/lib/ntpsec",
    "var/lib/plocate",
    "var/lib/private/systemd/timesync",
    "var/lib/seedrng",
    "var/lib/systemd/backlight",
    "var/lib/systemd/coredump",
    "var/lib/systemd/credential.secret",
    "var/lib/systemd/random-seed",
    "var/lib/systemd/rfkill",
    "var/lib/systemd/timers",
    "var/lib/systemd/timesync",
    "var/lib/urandom",
    "var/spool/anacron",
];

/// Directories whose entries are listed individually.
const SHELVES: &[&str] = &[
    "home",
    "opt",
    "srv",
    "usr",
    "usr/local",
    "var",
    "var/lib",
    "var/spool",
    "var/www",
];

/// Returns whether a file of the root half does not count: caches, logs, temporary files, and what every boot writes.
pub(in crate::lifecycle) fn is_passing(path: &Path) -> bool {
    is_left_out(path)
        || EVERY_BOOT.iter().any(|pattern| is_beneath(path, pattern))
        || is_in_a_users_cache(path)
        || is_a_removed_file_in_use(path)
}

/// Returns whether a file is in `home/NAME/.cache`.
fn is_in_a_users_cache(path: &Path) -> bool {
    let mut parts = path.iter();
    parts.next().is_some_and(|top| top == "home")
        && parts.nth(1).is_some_and(|name| name == ".cache")
}

/// Returns whether a file is one that an NFS client removed while a program has it open, and keeps until then.
fn is_a_removed_file_in_use(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.and_then(|name| name.strip_prefix(".nfs"))
        .is_some_and(|id| id.len() >= 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Returns the place that a file is counted under, from its absolute path.
pub(super) fn place_of(path: &Path) -> PathBuf {
    let relative = path.strip_prefix("/").unwrap_or(path);
    let mut place = PathBuf::new();
    for part in relative {
        place.push(part);
        if !SHELVES.iter().any(|shelf| place == Path::new(shelf)) {
            break;
        }
    }
    Path::new("/").join(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_every_boot_writes_are_no_loss_and_settings_and_data_are() {
        for (path, want) in [
            ("var/lib/systemd/random-seed", true),
            ("var/lib/systemd/linger/pi", false),
            ("var/lib/netbe/booted", true),
            ("var/lib/dhcp/dhclient.eth0.leases", true),
            ("var/lib/NetworkManager/internal-1-eth0.lease", true),
            ("var/lib/NetworkManager/NetworkManager.state", false),
            ("var/backups/dpkg.status.0", true),
            ("var/backups/dpkg.status.1.gz", true),
            ("var/backups/mine.sql", false),
            ("var/log/syslog", true),
            ("tmp/x", true),
            ("home/pi/.cache/x/y", true),
            ("home/pi/cache/x", false),
            ("home/.cache", false),
            ("home/pi/.nfs00000000000003f500000001", true),
            ("home/pi/.nfsrc", false),
            ("etc/hosts", false),
            ("etc/passwd-", true),
            ("etc/subgid-", true),
            ("etc/hosts~", true),
            ("etc/.hosts.swp", true),
            ("etc/passwd", false),
            ("home/pi/letter~", false),
            ("var/lib/mysql/ibdata1", false),
        ] {
            assert_eq!(is_passing(Path::new(path)), want, "{path}");
        }
    }

    #[test]
    fn a_place_is_a_short_directory_name() {
        for (path, want) in [
            ("/etc/hosts", "/etc"),
            ("/etc/systemd/system/x.service", "/etc"),
            ("/home/pi/a/b", "/home/pi"),
            ("/home/file", "/home/file"),
            ("/root/.bashrc", "/root"),
            ("/usr/local/bin/x", "/usr/local/bin"),
            ("/usr/bin/x", "/usr/bin"),
            ("/var/lib/mysql/a/b", "/var/lib/mysql"),
            ("/var/mail/pi", "/var/mail"),
            ("/boot/firmware/config.txt", "/boot"),
            ("/new", "/new"),
        ] {
            assert_eq!(place_of(Path::new(path)), Path::new(want), "{path}");
        }
    }
}
