//! The lines of a node's data in an fstab.
//!
//! Options that a user added to them stay, and all other lines are kept byte for byte.

use super::entry::{Entry, parse};
use super::lines::{Text, insert_after, remove};
use super::{Want, updated};
use crate::boot::data::{self, DataMount};
use crate::boot::spec::NfsVersion;

/// Returns an fstab with a line of netbe's own for each of these mounts and for no other; `None` if unchanged.
pub fn edit_data(text: &str, mounts: &[DataMount], version: NfsVersion) -> Option<String> {
    let mut lines = Text::split(text);
    let mut missing: Vec<&DataMount> = mounts.iter().collect();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let data_entry = parse(line.body()).filter(Entry::is_data);
        let Some(entry) = data_entry else {
            at += 1;
            continue;
        };
        let Some(wanted) = missing.iter().position(|mount| mount.path == entry.file) else {
            remove(&mut lines, at);
            continue;
        };
        let mount = missing.remove(wanted);
        let want = Want {
            boot_spec: None,
            boot_mount: &mount.path,
            version,
            read_only: false,
            rest: false,
            there: &[],
        };
        let updated = updated(line.body(), &mount.spec, &want);
        lines[at].set_body(&updated);
        at += 1;
    }
    for mount in missing {
        insert_after(&mut lines, None, &data::line(mount, version));
    }
    let edited = lines.to_string();
    (edited != text).then_some(edited)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounts(paths: &[&str]) -> Vec<DataMount> {
        let mount = |path: &&str| DataMount {
            spec: format!("10.0.0.1:/p/{}", path.replace('/', "+")),
            path: (*path).to_string(),
        };
        paths.iter().map(mount).collect()
    }

    #[test]
    fn lines_come_stay_and_go() {
        for before in ["", "# a\nUUID=1 / ext4\n", "x /x nfs\r\n", "no end /of nfs"] {
            let both = edit_data(before, &mounts(&["/home", "/srv"]), NfsVersion::V4_2).unwrap();
            assert!(
                both.contains(
                    "10.0.0.1:/p/+home /home nfs defaults,vers=4.2,_netdev,x-netbe-data 0 0"
                ),
                "{both}"
            );
            let again = edit_data(&both, &mounts(&["/home", "/srv"]), NfsVersion::V4_2);
            assert_eq!(again, None);
            let one = edit_data(&both, &mounts(&["/srv"]), NfsVersion::V4_2).unwrap();
            assert!(!one.contains("/home") && one.contains("/srv"), "{one}");
            let none = edit_data(&both, &[], NfsVersion::V4_2).unwrap();
            assert_eq!(none, before);
        }
    }

    #[test]
    fn options_added_by_hand_stay() {
        let text = "old:/x  /home\tnfs  defaults,vers=4.2,x-netbe-data,noatime 0 0\n";
        let edited = edit_data(text, &mounts(&["/home"]), NfsVersion::V3).unwrap();
        assert_eq!(
            edited,
            "10.0.0.1:/p/+home  /home\tnfs  defaults,vers=3,nolock,x-netbe-data,noatime 0 0\n"
        );
    }
}
