//! The identity of a machine, which a copy for another node must not keep, and which an existing node keeps.
//!
//! Pure edits of texts with the machine's name, and a table of files to empty, remove or renew. Applies nothing; not
//! used for a copy of a node's own environment, which has its identity.

mod carried_over;
mod names;
mod reset;

pub use carried_over::{host_name, hosts_of, owner};
pub use names::{host_id, nvme_name, pretty_name};
pub use reset::{Group, Pattern, RESET, Reset, matching};

/// The file with the host name.
pub const HOSTNAME: &str = "etc/hostname";
/// The file with the address of the host name.
pub const HOSTS: &str = "etc/hosts";
/// The file with the iSCSI initiator name; its mode keeps it secret.
pub const INITIATOR_NAME: &str = "etc/iscsi/initiatorname.iscsi";
/// The number by which ZFS distinguishes machines.
pub const HOST_ID: &str = "etc/hostid";
/// The names by which an NVMe target distinguishes machines.
pub const NVME: [&str; 2] = ["etc/nvme/hostid", "etc/nvme/hostnqn"];
/// The file with the machine's name for people.
pub const MACHINE_INFO: &str = "etc/machine-info";
/// Directory of the ssh host keys.
pub const HOST_KEYS: &str = "etc/ssh";
/// The address of the host name on Debian.
const OWN_ADDRESS: &str = "127.0.1.1";

/// A type of ssh host key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HostKey {
    /// `ssh_host_ed25519_key`.
    Ed25519,
    /// `ssh_host_ecdsa_key`, on the curve P-256.
    Ecdsa,
    /// `ssh_host_rsa_key`.
    Rsa,
}

impl HostKey {
    /// All types that sshd generates by default.
    pub const ALL: [Self; 3] = [Self::Ed25519, Self::Ecdsa, Self::Rsa];

    /// Returns the private key's path in a root half; the public key has the suffix `.pub`.
    pub fn path(self) -> &'static str {
        match self {
            Self::Ed25519 => "etc/ssh/ssh_host_ed25519_key",
            Self::Ecdsa => "etc/ssh/ssh_host_ecdsa_key",
            Self::Rsa => "etc/ssh/ssh_host_rsa_key",
        }
    }
}

/// Changes to the ssh host keys of a root half.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostKeys {
    /// Types to generate again.
    pub renew: Vec<HostKey>,
    /// Paths of all key files to remove, certificates included.
    pub remove: Vec<String>,
}

/// Returns the changes to ssh host keys, from the names in `etc/ssh`.
///
/// Without keys none are generated: such a system generates its own at first boot.
pub fn host_keys(names: &[String]) -> HostKeys {
    let has = |key: &HostKey| names.iter().any(|n| key.path().ends_with(&format!("/{n}")));
    let is_key = |n: &&String| {
        n.starts_with("ssh_host_") && (n.contains("_key") || n.ends_with("-cert.pub"))
    };
    HostKeys {
        renew: HostKey::ALL.into_iter().filter(has).collect(),
        remove: names
            .iter()
            .filter(is_key)
            .map(|n| format!("{HOST_KEYS}/{n}"))
            .collect(),
    }
}

/// Returns the content of `etc/hostname`.
pub fn hostname_file(name: &str) -> String {
    format!("{name}\n")
}

/// Edits `etc/hosts` for a new host name; `None` if unchanged.
///
/// Changes the name at 127.0.1.1, and the old name as a whole word in other lines of loopback addresses (127.…, ::1),
/// with or without a domain. Lines of other addresses stay: in a cluster they name other machines. A missing file is
/// created.
pub fn hosts(text: Option<&str>, old: Option<&str>, new: &str) -> Option<String> {
    let Some(text) = text else {
        return Some(format!(
            "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n{OWN_ADDRESS}\t{new}\n"
        ));
    };
    let edited: String = text
        .split_inclusive('\n')
        .map(|line| hosts_line(line, old, new))
        .collect();
    (edited != text).then_some(edited)
}

fn hosts_line(line: &str, old: Option<&str>, new: &str) -> String {
    let (entry, comment) = line.split_at(line.find('#').unwrap_or(line.len()));
    let mut words = entry.split_whitespace();
    let address = words.next().unwrap_or_default();
    if address != "::1" && !address.starts_with("127.") {
        return line.to_string();
    }
    let local_name = words.next().filter(|_| address == OWN_ADDRESS);
    let local_name = local_name.map(|name| name.split('.').next().unwrap_or(name));
    let is_old =
        |name: &str| name != "localhost" && (Some(name) == old || Some(name) == local_name);
    let mut edited = String::new();
    let mut is_first = true;
    for word in entry.split_inclusive(char::is_whitespace) {
        let name = word.trim_end_matches(char::is_whitespace);
        let (host, domain) = name.split_at(name.find('.').unwrap_or(name.len()));
        if !name.is_empty() && !is_first && is_old(host) {
            edited.push_str(&format!("{new}{domain}{}", &word[name.len()..]));
        } else {
            edited.push_str(word);
        }
        is_first &= name.is_empty();
    }
    edited + comment
}

/// Edits the iSCSI initiator name, after its last colon; `None` if unchanged.
///
/// `text` is the file's content. A request to generate a name (`GenerateName=yes`) stays.
pub fn initiator_name(unique: &str, text: &str) -> Option<String> {
    let edited: String = text
        .split_inclusive('\n')
        .map(|line| {
            let Some(value) = line.trim_start().strip_prefix("InitiatorName=") else {
                return line.to_string();
            };
            let name = value.trim_end();
            let (end, head) = (&value[name.len()..], &line[..line.len() - value.len()]);
            let authority = name
                .rsplit_once(':')
                .map_or(name, |(authority, _)| authority);
            format!("{head}{authority}:{unique}{end}")
        })
        .collect();
    (edited != text).then_some(edited)
}

#[cfg(test)]
mod tests;
