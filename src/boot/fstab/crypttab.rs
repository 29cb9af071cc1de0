//! `/etc/crypttab` of an environment: which encrypted disks have to rest while the root is on the server.
//!
//! Each line is a unit that a node waits for, ninety seconds where the disk is not there. As in fstab, such a line becomes a
//! comment behind [`DISABLED`], and is restored byte for byte. Not for keys.

use super::entry::{Entry, unescape, unquoted};
use super::{DISABLED, Text};

/// Edits a crypttab: `rest` has the lines for local disks rest, else those that rest come back. `None`: nothing to do.
pub fn edit_crypttab(text: &str, rest: bool) -> Option<String> {
    let mut lines = Text::split(text);
    for line in lines.iter_mut() {
        let body = line.body().to_string();
        if !rest {
            if let Some(original) = body.strip_prefix(DISABLED) {
                line.set_body(original);
            }
        } else if parse(&body).is_some_and(|entry| entry.waits_for_disk()) {
            line.set_body(&format!("{DISABLED}{body}"));
        }
    }
    let edited = lines.to_string();
    (edited != text).then_some(edited)
}

/// Returns a line as what is mounted; `None` for comments, blank lines, and what is no line: crypttab(5).
fn parse(line: &str) -> Option<Entry> {
    let mut fields = line
        .trim_end_matches('\r')
        .split([' ', '\t'])
        .filter(|f| !f.is_empty());
    let name = fields.next().filter(|f| !f.starts_with('#'))?;
    let device = fields.next()?;
    Some(Entry {
        spec: unquoted(unescape(device)),
        file: name.to_string(),
        fstype: "crypt".to_string(),
        options: fields.nth(1).unwrap_or_default().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encrypted_disks_rest_and_come_back() {
        let text = "# <name> <device> <key> <options>\n\
                    home\tUUID=0f7c2d0a-9a44 none luks,discard\n\
                    swap /dev/sda3 /dev/urandom swap\r\n\
                    later UUID=1 none luks,noauto\n\
                    net /dev/sdb1 none luks,_netdev\n\
                    file /srv/secret.img none luks\n\
                    \n\
                    data PARTLABEL=data";
        let resting = edit_crypttab(text, true).unwrap();
        let rested: Vec<&str> = resting
            .lines()
            .filter_map(|l| l.strip_prefix(DISABLED)?.split_whitespace().next())
            .collect();
        assert_eq!(rested, ["home", "swap", "data"]);
        assert_eq!(edit_crypttab(&resting, true), None);
        assert_eq!(edit_crypttab(&resting, false).as_deref(), Some(text));
        assert_eq!(edit_crypttab(text, false), None);
    }
}
