//! Renewing the identifiers by which storage knows a machine, and its pretty name.
//!
//! Pure: unique values come from the caller. Not for the iSCSI initiator, whose name contains the node's.

/// Returns the new content of `etc/hostid`, by which ZFS knows the owner of a disk; `None` if it has no number.
pub fn host_id(old: &[u8], unique: [u8; 4]) -> Option<Vec<u8>> {
    // Zero means that there is none.
    (old.len() == 4).then(|| vec![unique[0] | 1, unique[1], unique[2], unique[3]])
}

/// Returns the new content of `etc/nvme/hostid` or `etc/nvme/hostnqn`; `None` if unchanged.
///
/// The first is a UUID, the second ends with one after its last colon; a machine has the same in both.
pub fn nvme_name(text: &str, uuid: &str) -> Option<String> {
    let name = text.trim_end();
    if name.is_empty() || name.contains(char::is_whitespace) {
        return None;
    }
    let prefix = name.rfind(':').map_or(0, |at| at + 1);
    let edited = format!("{}{uuid}{}", &name[..prefix], &text[name.len()..]);
    (edited != text).then_some(edited)
}

/// Edits the name for people in `etc/machine-info`; `None` if unchanged.
pub fn pretty_name(text: &str, new: &str) -> Option<String> {
    let edited: String = text
        .split_inclusive('\n')
        .map(
            |line| match line.trim_start().starts_with("PRETTY_HOSTNAME=") {
                true => format!("PRETTY_HOSTNAME={new}\n"),
                false => line.to_string(),
            },
        )
        .collect();
    (edited != text).then_some(edited)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "8a1f2c3d-0000-4000-8000-123456789abc";

    #[test]
    fn storage_knows_another_machine() {
        assert_eq!(host_id(&[1, 2, 3, 4], [6, 7, 8, 9]), Some(vec![7, 7, 8, 9]));
        assert_eq!(host_id(&[0; 4], [0; 4]), Some(vec![1, 0, 0, 0]));
        assert_eq!(host_id(b"", [1; 4]), None);
        assert_eq!(host_id(b"0x00c0ffee\n", [1; 4]), None);
        for (text, expected) in [
            ("old\n", Some(format!("{UUID}\n"))),
            (
                "nqn.2014-08.org.nvmexpress:uuid:old",
                Some(format!("nqn.2014-08.org.nvmexpress:uuid:{UUID}")),
            ),
            (UUID, None),
            ("", None),
            ("two words\n", None),
        ] {
            assert_eq!(nvme_name(text, UUID), expected, "{text}");
        }
    }

    #[test]
    fn the_name_for_people_follows() {
        for (text, expected) in [
            (
                "ICON_NAME=computer\nPRETTY_HOSTNAME=\"The Desk\"\n",
                Some("ICON_NAME=computer\nPRETTY_HOSTNAME=nog\n"),
            ),
            ("PRETTY_HOSTNAME=nog\n", None),
            ("CHASSIS=server\n", None),
        ] {
            assert_eq!(pretty_name(text, "nog").as_deref(), expected, "{text}");
        }
    }
}
