//! How an environment mounts the data of its node: netbe's lines in its fstab, and drop-ins for systemd.
//!
//! Promises that no service starts before the data is mounted. By systemd's defaults, an NFS mount waits for the network,
//! and a failed one delays nothing; but the network of an NFS root is up before systemd, and a node must not come up with
//! an empty `/home`. So these mounts wait for nothing, and `local-fs.target` waits for them: if one fails, the machine
//! enters emergency mode, as with a missing disk. With the defaults, `/var/log` would also be an ordering cycle:
//! `systemd-journal-flush.service` needs it before the network. Pure text. Not for writing it.

use super::fstab::{self, DATA_OPTION};
use super::spec::NfsVersion;

/// The directory of the administrator's units.
pub const UNITS: &str = "etc/systemd/system";
/// The name of netbe's drop-in of a unit.
pub const ADDITION: &str = "netbe-data.conf";

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataMount {
    /// The subvolume on the server, `10.0.0.1:/srv/netbe/…/data/+home`.
    pub spec: String,
    /// The mount point on the node.
    pub path: String,
}

/// Returns the line of a mount.
///
/// Not `nofail`. `nolock` with version 3: no locking daemons, and the node is the only writer.
pub(super) fn line(mount: &DataMount, version: NfsVersion) -> String {
    let lock = match version {
        NfsVersion::V3 => ",nolock",
        NfsVersion::V4_1 | NfsVersion::V4_2 => "",
    };
    format!(
        "{} {} nfs defaults,vers={version}{lock},_netdev,{DATA_OPTION} 0 0",
        mount.spec, mount.path
    )
}

/// Returns the drop-in of a mount unit, as a path below [`UNITS`].
pub fn addition(path: &str) -> String {
    format!("{}.mount.d/{ADDITION}", escaped(path))
}

/// Returns the drop-in of `local-fs.target`, as a path below [`UNITS`].
pub fn target_addition() -> String {
    format!("local-fs.target.d/{ADDITION}")
}

/// Returns whether a path of a root is one of these drop-ins, or its directory.
pub fn is_addition(path: &str) -> bool {
    let below = path
        .strip_prefix(UNITS)
        .and_then(|below| below.strip_prefix('/'));
    below.is_some_and(|below| below.ends_with(&format!(".d/{ADDITION}")))
}

/// The text of a mount unit's drop-in.
pub const MOUNT_TEXT: &str = "# Written by netbe: data of this node, which is mounted before anything uses it.\n\
    [Unit]\n\
    DefaultDependencies=no\n\
    Conflicts=umount.target\n\
    Before=local-fs.target umount.target\n";

/// Returns the text of the drop-in of `local-fs.target`.
pub fn target_text(mounts: &[DataMount]) -> String {
    let paths: Vec<&str> = mounts.iter().map(|mount| mount.path.as_str()).collect();
    format!(
        "# Written by netbe: data of this node, without which it does not come up.\n\
         [Unit]\n\
         RequiresMountsFor={}\n",
        paths.join(" ")
    )
}

/// Returns the name of a path in the names of units: systemd-escape(1).
fn escaped(path: &str) -> String {
    let mut name = String::new();
    for byte in path.trim_matches('/').bytes() {
        match byte {
            b'/' => name.push('-'),
            b'.' if name.is_empty() => name.push_str("\\x2e"),
            b'.' | b'_' | b':' => name.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => name.push(char::from(byte)),
            _ => name.push_str(&format!("\\x{byte:02x}")),
        }
    }
    name
}

/// Returns why an fstab does not mount the data as wanted, a sentence each.
pub fn reasons_against(text: &str, mounts: &[DataMount]) -> Vec<String> {
    let entries = fstab::entries(text);
    let mut reasons = Vec::new();
    for DataMount { spec, path } in mounts {
        let found: Vec<_> = entries.iter().filter(|e| e.file == *path).collect();
        match found.as_slice() {
            [] => reasons.push(format!(
                "etc/fstab does not mount {spec} at {path}, which is data of the node"
            )),
            [one] if one.is_nfs() && one.spec == *spec => {
                let mut options = one.options.split(',');
                if let Some(option) = options.find(|o| ["nofail", "noauto"].contains(o)) {
                    reasons.push(format!(
                        "etc/fstab mounts {path} with {option}: the node would come up without its data"
                    ));
                }
            }
            [one] => reasons.push(format!(
                "etc/fstab mounts {} at {path}, not {spec}, which is data of the node",
                one.spec
            )),
            [_, ..] => reasons.push(format!("etc/fstab mounts several things at {path}")),
        }
    }
    for entry in entries.iter().filter(|e| e.is_data()) {
        if !mounts.iter().any(|mount| mount.path == entry.file) {
            reasons.push(format!(
                "etc/fstab mounts {} at {}, which is not data of the node",
                entry.spec, entry.file
            ));
        }
    }
    reasons
}

/// Returns another mount in an fstab at a path or below it.
pub fn mounted_below(text: &str, path: &str) -> Option<fstab::Entry> {
    fstab::entries(text).into_iter().find(|entry| {
        let below = entry.file.strip_prefix(path);
        !entry.is_data() && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(path: &str) -> DataMount {
        DataMount {
            spec: format!("10.0.0.1:/p/data/{}", path.replace('/', "+")),
            path: path.to_string(),
        }
    }

    #[test]
    fn units_are_named_as_systemd_names_them() {
        for (path, name) in [
            ("/home", "home.mount.d/netbe-data.conf"),
            (
                "/var/lib/my-app",
                "var-lib-my\\x2dapp.mount.d/netbe-data.conf",
            ),
            ("/.keep/x_1.2", "\\x2ekeep-x_1.2.mount.d/netbe-data.conf"),
        ] {
            assert_eq!(addition(path), name);
        }
        assert!(target_text(&[mount("/home"), mount("/srv")]).ends_with("For=/home /srv\n"));
    }

    #[test]
    fn an_fstab_is_wrong_that_would_let_a_node_come_up_without_its_data() {
        let good = line(&mount("/home"), NfsVersion::V4_2);
        for (text, part) in [
            (good.clone(), None),
            (String::new(), Some("does not mount")),
            (good.replace("_netdev", "nofail"), Some("with nofail")),
            (good.replace("10.0.0.1", "10.0.0.2"), Some("not 10.0.0.1:")),
            ("nas:/home /home nfs".to_string(), Some("mounts nas:/home")),
            (
                format!("{good}\nnas:/h /home nfs\n"),
                Some("several things"),
            ),
            (
                format!("{good}\n{}", line(&mount("/srv"), NfsVersion::V3)),
                Some("not data of the node"),
            ),
        ] {
            let reasons = reasons_against(&text, &[mount("/home")]);
            match part {
                None => assert!(reasons.is_empty(), "{reasons:?}"),
                Some(part) => assert!(reasons[0].contains(part), "{text}: {reasons:?}"),
            }
        }
    }

    #[test]
    fn other_mounts_below_a_path_are_found() {
        let own = line(&mount("/srv"), NfsVersion::V4_2);
        let text = format!("{own}\nnas:/x /srv/nas nfs\nUUID=1 /srvdata ext4\n");
        assert_eq!(mounted_below(&text, "/srv").unwrap().file, "/srv/nas");
        assert_eq!(mounted_below(&text, "/srvdata").unwrap().spec, "UUID=1");
        assert_eq!(mounted_below(&own, "/srv"), None);
    }
}
