//! `/etc/crypttab` of an environment: disabling encrypted disks while the root is not on the node's own disk.
//!
//! Each line is a unit that a node waits for, for ninety seconds if the disk is missing. As in fstab, such a line becomes a
//! comment with the prefix [`DISABLED`], and is restored byte for byte. Not for keys.

use super::entry::{Entry, entries, unescape, unquoted};
use super::{BOOT_PLACES, DISABLED, Text, disabled};

/// Options by which a disk is formatted whenever it is opened.
const WIPES: [&str; 2] = ["swap", "tmp"];

/// A line.
struct Line {
    /// The device that it opens, as a mount of `/dev/mapper/NAME`.
    entry: Entry,
    /// The file with its key; empty, `none` or `-` for a passphrase.
    key: String,
}

/// Edits a crypttab for a root on a disk: disabled lines are restored. `None` if unchanged.
pub fn restore_crypttab(text: &str) -> Option<String> {
    edit(text, |body| body.strip_prefix(DISABLED).map(str::to_string))
}

/// Edits a crypttab for any other root: with `rest`, lines for local disks are disabled; those of the disks that are `there`
/// are restored, if `fstab` needs them. `None` if unchanged.
pub fn edit_crypttab(text: &str, fstab: &str, rest: bool, there: &[String]) -> Option<String> {
    edit(text, |body| {
        if let Some(original) = body.strip_prefix(DISABLED) {
            return parse(original)
                .filter(|line| line.comes_back(fstab, there))
                .map(|_| original.to_string());
        }
        let line = parse(body)?;
        (rest && line.entry.waits_for_disk() && !line.comes_back(fstab, there))
            .then(|| format!("{DISABLED}{body}"))
    })
}

/// Returns the devices that a crypttab opens on the disks that are `there`: `/dev/mapper/NAME`.
pub fn opened(text: &str, fstab: &str, there: &[String]) -> Vec<String> {
    let lines = text.lines().filter_map(|body| {
        let (line, rests) = match body.strip_prefix(DISABLED) {
            Some(original) => (parse(original)?, true),
            None => (parse(body)?, false),
        };
        let is_opened = match rests {
            true => line.comes_back(fstab, there),
            false => line.entry.is_among(there),
        };
        is_opened.then(|| line.device())
    });
    lines.collect()
}

/// Returns the names that a crypttab opens and that its former text did not.
pub fn names_added(before: &str, after: &str) -> Vec<String> {
    let names = |text: &str| -> Vec<String> {
        let lines = text.lines().filter_map(parse);
        lines.map(|line| line.entry.file).collect()
    };
    let known = names(before);
    let mut added = names(after);
    added.retain(|name| !known.contains(name));
    added
}

fn edit(text: &str, of: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut lines = Text::split(text);
    for line in lines.iter_mut() {
        if let Some(body) = of(line.body()) {
            line.set_body(&body);
        }
    }
    let edited = lines.to_string();
    (edited != text).then_some(edited)
}

impl Line {
    fn device(&self) -> String {
        format!("/dev/mapper/{}", self.entry.file)
    }

    /// Returns whether the line is restored if its disk is there.
    ///
    /// A line that asks for a passphrase stops a boot until it is typed: it is restored only for a mount of fstab, and never for
    /// a former root. A line that formats its disk may find another filesystem there by now.
    fn comes_back(&self, fstab: &str, there: &[String]) -> bool {
        let mut options = self.entry.options.split(',');
        let wipes = self.key.ends_with("random") || options.any(|o| WIPES.contains(&o));
        self.entry.is_among(there) && !wipes && (!self.asks() || self.is_mounted_by(fstab))
    }

    fn asks(&self) -> bool {
        let mut options = self.entry.options.split(',');
        matches!(self.key.as_str(), "" | "none" | "-")
            && !options.any(|o| o.starts_with("tpm2-device="))
    }

    fn is_mounted_by(&self, fstab: &str) -> bool {
        let device = self.device();
        let all = entries(fstab).into_iter().chain(disabled(fstab));
        let mut its = all.filter(|entry| entry.spec == device);
        its.any(|entry| entry.file != "/" && !BOOT_PLACES.contains(&entry.file.as_str()))
    }
}

/// Parses a line; `None` for comments, blank lines and invalid lines: crypttab(5).
fn parse(line: &str) -> Option<Line> {
    let mut fields = line
        .trim_end_matches('\r')
        .split([' ', '\t'])
        .filter(|f| !f.is_empty());
    let name = fields.next().filter(|f| !f.starts_with('#'))?;
    let device = fields.next()?;
    let key = fields.next().unwrap_or_default().to_string();
    Some(Line {
        entry: Entry {
            spec: unquoted(unescape(device)),
            file: name.to_string(),
            fstype: "crypt".to_string(),
            options: fields.next().unwrap_or_default().to_string(),
        },
        key,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# <name> <device> <key> <options>\n\
                        home\tUUID=0f7c2d0a-9a44 none luks,discard\n\
                        swap /dev/sda3 /dev/urandom swap\r\n\
                        later UUID=1 none luks,noauto\n\
                        net /dev/sdb1 none luks,_netdev\n\
                        file /srv/secret.img none luks\n\
                        \n\
                        data PARTLABEL=data";

    /// The names of lines that are comments.
    fn resting(text: &str) -> Vec<&str> {
        let lines = text.lines().filter_map(|l| l.strip_prefix(DISABLED));
        lines.filter_map(|l| l.split_whitespace().next()).collect()
    }

    #[test]
    fn encrypted_disks_rest_and_come_back() {
        let edited = edit_crypttab(TEXT, "", true, &[]).unwrap();
        assert_eq!(resting(&edited), ["home", "swap", "data"]);
        assert_eq!(edit_crypttab(&edited, "", true, &[]), None);
        assert_eq!(edit_crypttab(TEXT, "", false, &[]), None);
        assert_eq!(restore_crypttab(&edited).as_deref(), Some(TEXT));
        assert_eq!(restore_crypttab(TEXT), None);
    }

    #[test]
    fn a_present_encrypted_disk_is_enabled_unless_it_blocks_the_boot_or_loses_data() {
        let mounts = "/dev/mapper/d /data ext4\n";
        for (line, fstab, stays) in [
            ("d UUID=1 /etc/keys/d luks", "", false),
            ("d /dev/disk/by-uuid/1 /etc/keys/d luks", "", false),
            ("d UUID=2 /etc/keys/d luks", "", true),
            ("d UUID=1 none luks", "", true),
            ("d UUID=1", "", true),
            ("d UUID=1 none luks", mounts, false),
            (
                "d UUID=1 - luks",
                "#netbe# /dev/mapper/d /data ext4\n",
                false,
            ),
            ("d UUID=1 none luks", "#netbe# /dev/mapper/d / ext4\n", true),
            (
                "d UUID=1 none luks",
                "#netbe# /dev/mapper/d /boot ext4\n",
                true,
            ),
            ("d UUID=1 none luks,tpm2-device=auto", "", false),
            ("d UUID=1 /dev/urandom cipher=aes", mounts, true),
            ("d UUID=1 /etc/keys/d plain,swap", mounts, true),
        ] {
            let there = ["UUID=1".to_string()];
            let disabled = format!("{DISABLED}{line}\n");
            let kept = edit_crypttab(&disabled, fstab, false, &there).is_none();
            assert_eq!(kept, stays, "{line}, {fstab}");
            // A line that would not be enabled again is not left enabled either.
            let line = format!("{line}\n");
            let rested = edit_crypttab(&line, fstab, true, &there);
            assert_eq!(rested.is_some(), stays, "{line}, {fstab}");
            let devices = opened(&disabled, fstab, &there);
            assert_eq!(devices.is_empty(), stays, "{line}, {fstab}");
            assert!(devices.iter().all(|device| device == "/dev/mapper/d"));
        }
    }

    #[test]
    fn enabled_disks_are_named() {
        let before = edit_crypttab(TEXT, "", true, &[]).unwrap();
        assert_eq!(names_added(&before, TEXT), ["home", "swap", "data"]);
        assert_eq!(names_added(TEXT, &before), [""; 0]);
    }
}
