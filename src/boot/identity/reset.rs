//! The files that say which machine a system is, and that a copy for another machine goes without.
//!
//! A table: what is empty or missing is made by the machine itself at its next boot. Not for texts in which only a name
//! changes.

use std::io;

use crate::boot::files::BootFiles;

/// Changes to files when an environment is copied to another node.
#[derive(Debug, Clone, Copy)]
pub struct Reset {
    /// Files of the root half to empty, if they exist.
    ///
    /// An empty machine-id is generated at boot; without the file, or with `uninitialized` in it, systemd would assume
    /// a first boot and preset all services.
    pub empty: &'static [&'static str],
    /// Files of the root half to remove.
    pub remove: &'static [Pattern],
    /// Files of the root half to remove if they are regular files; a symbolic link stays valid.
    pub remove_regular: &'static [&'static str],
    /// Files of the boot half to remove: pending firmware updates of one machine.
    pub remove_boot: &'static [Pattern],
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

/// The changes when an environment is copied to another node.
pub const RESET: Reset = Reset {
    empty: &["etc/machine-id"],
    remove_regular: &["var/lib/dbus/machine-id"],
    remove: &[
        // DHCP leases, and the DUID and secret by which a DHCP server knows a machine.
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
        // What is drawn at random, or encrypted with it.
        files("var/lib/systemd", "random-seed"),
        files("var/lib/systemd", "credential.secret"),
        files("var/lib/systemd", "tpm2-srk-public-key.*"),
        files("var/lib/urandom", "random-seed"),
        files("var/lib/misc", "random-seed"),
        files("var/lib", "random-seed"),
        files("var/lib/seedrng", "seed.*"),
        // NFS locks that it holds, by its old name.
        files("var/lib/nfs/sm", "*"),
        files("var/lib/nfs/sm.bak", "*"),
        // What cloud-init has done, and for which instance, as `cloud-init clean` removes it.
        files("var/lib/cloud", "instance"),
        files("var/lib/cloud/data", "*"),
        files("var/lib/cloud/sem", "*"),
        files("var/lib/cloud/instances/*", "*"),
        files("var/lib/cloud/instances/*/sem", "*"),
    ],
    remove_boot: &[
        files("", "pieeprom.upd"),
        files("", "pieeprom.sig"),
        files("", "pieeprom.bin"),
        files("", "recovery.bin"),
        files("", "recovery.000"),
        files("", "vl805.*"),
        files("loader", "random-seed"),
    ],
};

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

/// Returns the paths in one half that match patterns.
pub fn matching(half: &dyn BootFiles, patterns: &[Pattern]) -> io::Result<Vec<String>> {
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
