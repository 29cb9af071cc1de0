//! The parts of cloud-init's configuration that identify a machine.
//!
//! Its modules set_hostname and update_hostname restore the name in the user-data at each boot, even if `/etc/hostname`
//! differs, unless `preserve_hostname` is on; update_etc_hosts writes the name to `/etc/hosts`. Text in, text out. Not for
//! users, keys and packages, which are the same for every node of a template.

/// Files by which an installed cloud-init is recognised.
pub const PROGRAMS: [&str; 3] = [
    "usr/bin/cloud-init",
    "etc/cloud/cloud.cfg",
    "bin/cloud-init",
];
/// The directory of its settings; later names override earlier ones.
pub const SETTINGS: &str = "etc/cloud/cloud.cfg.d";
/// netbe's file there.
pub const OWN_SETTINGS: &str = "etc/cloud/cloud.cfg.d/99-netbe.cfg";
/// Its content.
pub const KEEP_NAME: &str =
    "# made by netbe: the name of this machine is that of its node\npreserve_hostname: true\n";
/// The file there that leaves the machine its ssh host keys.
pub const OWN_KEYS: &str = "etc/cloud/cloud.cfg.d/99-netbe-keys.cfg";
/// Its content: without it, cloud-init removes the keys if it takes the machine for a new instance.
pub const KEEP_KEYS: &str = "# made by netbe: the ssh host keys of this machine are those of its node\nssh_deletekeys: false\n";
/// The file in which cloud-init records the instance ID.
pub const INSTANCE: &str = "var/lib/cloud/data/instance-id";
/// The file there that leaves the network of the root alone.
pub const OWN_NETWORK: &str = "etc/cloud/cloud.cfg.d/99-netbe-network.cfg";
/// Its content. The configuration of the initramfs has precedence, and cloud-init does not change it.
pub const KEEP_NETWORK: &str = "# made by netbe: the root is on the network, and no interface is to be set up anew\nnetwork: {config: disabled}\n";
/// The files of a root half with machine-specific data for it.
pub const SEEDS: [&str; 2] = [
    "var/lib/cloud/seed/nocloud",
    "var/lib/cloud/seed/nocloud-net",
];

/// Edits the machine's name in cloud-init's `user-data` or `meta-data`; `None` if unchanged.
///
/// Only keys of the top level with the value on the same line; quotes and comments are replaced with the value. `instance`
/// is the ID for another machine, on which cloud-init has to run everything; `None` for the same machine.
pub fn renamed(text: &str, new: &str, instance: Option<&str>) -> Option<String> {
    let edited: String = text
        .split_inclusive('\n')
        .map(|line| {
            let body = line.trim_end_matches(['\n', '\r']);
            let end = &line[body.len()..];
            let Some((key, value)) = body.split_once(':') else {
                return line.to_string();
            };
            let value = value.trim().trim_matches(['"', '\'']);
            match key {
                "hostname" | "local-hostname" | "local_hostname" if !value.is_empty() => {
                    format!("{key}: {new}{end}")
                }
                "instance-id" | "instance_id" if !value.is_empty() => match instance {
                    Some(instance) => format!("{key}: {instance}{end}"),
                    None => line.to_string(),
                },
                "fqdn" if !value.is_empty() => {
                    let domain = value.find('.').map_or("", |at| &value[at..]);
                    format!("{key}: {new}{domain}{end}")
                }
                _ => line.to_string(),
            }
        })
        .collect();
    (edited != text).then_some(edited)
}

/// Returns the instance ID in a text: `meta-data`, or the file [`INSTANCE`].
pub fn instance(text: &str) -> Option<&str> {
    let lines = text.lines().map(|line| match line.split_once(':') {
        Some(("instance-id" | "instance_id", value)) => value,
        _ => line,
    });
    let mut values = lines.map(|line| line.trim().trim_matches(['"', '\'']));
    let is_letter = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    values.find(|v| !v.is_empty() && v.len() <= 128 && v.bytes().all(is_letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_one_word() {
        for (text, expected) in [
            ("iid-nog\n", Some("iid-nog")),
            ("local-hostname: nog\ninstance-id: 'i-1'\n", Some("i-1")),
            ("instance-id: two words\n", None),
            ("", None),
        ] {
            assert_eq!(instance(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_name_in_user_data_follows() {
        for (text, expected) in [
            (
                "#cloud-config\nhostname: desk\nmanage_etc_hosts: true\n",
                Some("#cloud-config\nhostname: nog\nmanage_etc_hosts: true\n"),
            ),
            (
                "fqdn: \"desk.example.org\"\r\n",
                Some("fqdn: nog.example.org\r\n"),
            ),
            (
                "instance-id: i\nlocal-hostname: 'desk'",
                Some("instance-id: i\nlocal-hostname: nog"),
            ),
            ("hostname: nog\n", None),
            ("write_files:\n  hostname: desk\n", None),
            ("preserve_hostname: true\nhostname:\n", None),
            ("#!/bin/sh\necho hostname\n", None),
        ] {
            assert_eq!(renamed(text, "nog", None).as_deref(), expected, "{text}");
        }
        for (text, expected) in [
            (
                "instance-id: i\nlocal-hostname: nog\n",
                Some("instance-id: nog-1\nlocal-hostname: nog\n"),
            ),
            ("instance_id: \"i\"\r\n", Some("instance_id: nog-1\r\n")),
            ("instance-id:\n", None),
        ] {
            let edited = renamed(text, "nog", Some("nog-1"));
            assert_eq!(edited.as_deref(), expected, "{text}");
        }
    }
}
