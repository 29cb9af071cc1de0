//! The files with the identity of a machine: a copy for a new node does not get them, and a copy for an existing node gets
//! those of that node.
//!
//! One table for both: the machine itself makes empty or missing files at its next boot. Not for texts in which only a name
//! changes.

use std::io;

use super::{HOST_ID, HOST_KEYS, HOSTNAME, INITIATOR_NAME, MACHINE_INFO, NVME, host_keys};
use crate::boot::files::BootFiles;

/// The files to change in an environment that is made for another node.
#[derive(Debug, Clone, Copy)]
pub struct Reset {
    /// Files of the root half to empty, if they exist.
    ///
    /// An empty machine-id is generated at boot; without the file, or with `uninitialized` in it, systemd would assume
    /// a first boot and preset all services.
    pub empty: &'static [&'static str],
    /// Files of the root half in which a name or a number is renewed, each with its description.
    pub renew: &'static [(&'static str, &'static str)],
    /// Files of the root half to remove.
    pub remove: &'static [Group],
    /// Files of the root half to remove if they are regular files; a symbolic link stays valid.
    pub remove_regular: &'static [&'static str],
    /// Files of the boot half to remove.
    pub remove_boot: &'static [Group],
}

/// Files that are removed.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// Their description, if the machine keeps them in every system that it gets; `None` if they belong to the system.
    pub of_machine: Option<&'static str>,
    /// The files.
    pub files: &'static [Pattern],
}

/// Files by directory and name; one `*` in the name matches any text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pattern {
    /// The directory, `""` for the top; one component may be `*`, any name.
    pub dir: &'static str,
    /// The name.
    pub name: &'static str,
}

const fn files(dir: &'static str, name: &'static str) -> Pattern {
    Pattern { dir, name }
}

const fn group(of_machine: Option<&'static str>, files: &'static [Pattern]) -> Group {
    Group { of_machine, files }
}

/// The files to change in an environment that is made for another node.
pub const RESET: Reset = Reset {
    empty: &["etc/machine-id"],
    remove_regular: &["var/lib/dbus/machine-id"],
    renew: &[
        (HOSTNAME, HOST_NAME),
        (MACHINE_INFO, HOST_NAME),
        (INITIATOR_NAME, STORAGE),
        (NVME[0], STORAGE),
        (NVME[1], STORAGE),
        (HOST_ID, STORAGE),
    ],
    remove: &[
        group(Some("DHCP leases and identifiers"), DHCP),
        group(Some("random seeds"), SEEDS),
        group(Some("systemd's key for credentials"), CREDENTIALS),
        group(Some("NFS locks"), LOCKS),
        // The system of another node has not run it for this node.
        group(None, CLOUD_INIT),
    ],
    remove_boot: &[
        group(Some("firmware updates that wait"), FIRMWARE),
        group(Some("random seeds"), &[files("loader", "random-seed")]),
    ],
};

/// The description of files with the machine's names.
const HOST_NAME: &str = "host name";
/// The description of files by which disks and their servers know a machine.
const STORAGE: &str = "names for storage";
/// DHCP leases, and the DUID and secret by which a DHCP server knows a machine.
const DHCP: &[Pattern] = &[
    files("var/lib/dhcp", "*.leases"),
    files("var/lib/dhcp", "*.leases~"),
    files("var/lib/dhclient", "*.leases"),
    files("var/lib/dhclient", "*.lease"),
    files("var/lib/dhcpcd", "*.lease"),
    files("var/lib/dhcpcd", "*.lease6"),
    files("var/lib/dhcpcd", "duid"),
    files("var/lib/dhcpcd", "secret"),
    files("var/lib/dhcpcd5", "*.lease"),
    files("var/lib/dhcpcd5", "*.lease6"),
    files("var/lib/dhcpcd5", "duid"),
    files("var/lib/dhcpcd5", "secret"),
    files("var/db/dhcpcd", "*.lease"),
    files("var/db/dhcpcd", "*.lease6"),
    files("var/db/dhcpcd", "duid"),
    files("var/db/dhcpcd", "secret"),
    files("etc", "dhcpcd.duid"),
    files("etc", "dhcpcd.secret"),
    files("var/lib/NetworkManager", "secret_key"),
    files("var/lib/NetworkManager", "*.lease"),
    files("var/lib/NetworkManager", "*.leases"),
    files("var/lib/NetworkManager", "timestamps"),
    files("var/lib/NetworkManager", "seen-bssids"),
    files("var/lib/dibbler", "client-duid"),
    files("var/lib/dibbler", "client-*.xml"),
    files("var/lib/dhcpv6", "dhcp6c_duid"),
    files("var/lib/wicked", "duid.xml"),
    files("var/lib/wicked", "iaid.xml"),
    files("var/lib/wicked", "lease-*.xml"),
];
/// Random seeds.
const SEEDS: &[Pattern] = &[
    files("var/lib/systemd", "random-seed"),
    files("var/lib/urandom", "random-seed"),
    files("var/lib/misc", "random-seed"),
    files("var/lib", "random-seed"),
    files("var/lib/seedrng", "seed.*"),
];
/// The key of its credentials.
const CREDENTIALS: &[Pattern] = &[
    files("var/lib/systemd", "credential.secret"),
    files("var/lib/systemd", "tpm2-srk-public-key.*"),
];
/// The state of its NFS locks, which are held under its name.
const LOCKS: &[Pattern] = &[
    files("var/lib/nfs/sm", "*"),
    files("var/lib/nfs/sm.bak", "*"),
];
/// cloud-init's record of its runs and its instance, which `cloud-init clean` removes too.
const CLOUD_INIT: &[Pattern] = &[
    files("var/lib/cloud", "instance"),
    files("var/lib/cloud/data", "*"),
    files("var/lib/cloud/sem", "*"),
    files("var/lib/cloud/instances/*", "*"),
    files("var/lib/cloud/instances/*/sem", "*"),
];
/// Firmware updates of one machine.
const FIRMWARE: &[Pattern] = &[
    files("", "pieeprom.upd"),
    files("", "pieeprom.sig"),
    files("", "pieeprom.bin"),
    files("", "recovery.bin"),
    files("", "recovery.000"),
    files("", "vl805.*"),
];

impl Pattern {
    /// Returns whether a name matches.
    pub fn matches(&self, name: &str) -> bool {
        match self.name.split_once('*') {
            Some((start, end)) => {
                name.len() >= start.len() + end.len()
                    && name.starts_with(start)
                    && name.ends_with(end)
            }
            None => name == self.name,
        }
    }

    /// Returns whether it is the pattern of a path.
    pub fn is_of(&self, path: &str) -> bool {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let components = |dir: &'static str| dir.split('/');
        components(self.dir).count() == dir.split('/').count()
            && components(self.dir)
                .zip(dir.split('/'))
                .all(|(own, other)| own == "*" || own == other)
            && self.matches(name)
    }

    /// Returns the directories in one half that it is for.
    fn dirs(&self, half: &dyn BootFiles) -> io::Result<Vec<String>> {
        let Some((above, below)) = self.dir.split_once("/*") else {
            return Ok(vec![self.dir.to_string()]);
        };
        let names = half.names(above)?.into_iter();
        Ok(names.map(|name| format!("{above}/{name}{below}")).collect())
    }
}

impl Reset {
    /// Returns the files of a root half that the machine keeps in every system that it gets, each with its description;
    /// some need not exist.
    pub fn of_machine(&self, root: &dyn BootFiles) -> io::Result<Vec<(String, &'static str)>> {
        let named = |(path, what): &(&str, &'static str)| (path.to_string(), *what);
        let ids = self.empty.iter().chain(self.remove_regular);
        let mut found: Vec<_> = self.renew.iter().map(named).collect();
        found.extend(ids.map(|path| (path.to_string(), "machine-id")));
        let keys = host_keys(&root.names(HOST_KEYS)?).remove;
        found.extend(keys.into_iter().map(|path| (path, "ssh host keys")));
        found.extend(of_machine(root, self.remove)?);
        Ok(found)
    }

    /// As [`Self::of_machine`], of a boot half.
    pub fn of_machine_in_boot(
        &self,
        boot: &dyn BootFiles,
    ) -> io::Result<Vec<(String, &'static str)>> {
        of_machine(boot, self.remove_boot)
    }

    /// Returns whether a file of the root half is one machine's own.
    pub fn is_of(&self, path: &str) -> bool {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.empty.contains(&path)
            || self.remove_regular.contains(&path)
            || self.renew.iter().any(|(renewed, _)| *renewed == path)
            || in_groups(self.remove, path)
            || (dir == HOST_KEYS && !host_keys(&[name.to_string()]).remove.is_empty())
    }

    /// Returns whether a file of the boot half is one machine's own.
    pub fn is_of_in_boot(&self, path: &str) -> bool {
        in_groups(self.remove_boot, path)
    }
}

fn of_machine(half: &dyn BootFiles, groups: &[Group]) -> io::Result<Vec<(String, &'static str)>> {
    let mut found = Vec::new();
    for group in groups {
        if let Some(what) = group.of_machine {
            let paths = matching(half, group.files)?.into_iter();
            found.extend(paths.map(|path| (path, what)));
        }
    }
    Ok(found)
}

fn in_groups(groups: &[Group], path: &str) -> bool {
    let mut all = groups.iter().flat_map(|group| group.files);
    all.any(|pattern| pattern.is_of(path))
}

/// Returns the paths in one half that match patterns.
pub fn matching<'p>(
    half: &dyn BootFiles,
    patterns: impl IntoIterator<Item = &'p Pattern>,
) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for pattern in patterns {
        for dir in pattern.dirs(half)? {
            let names = half.names(&dir)?.into_iter();
            let names = names.filter(|name| pattern.matches(name));
            found.extend(names.map(|name| match dir.as_str() {
                "" => name,
                dir => format!("{dir}/{name}"),
            }));
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}
