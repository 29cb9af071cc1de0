//! What a system's fstab says about where its parts come from, as far as bringing it in needs to know.
//!
//! Text in, values out. Not for editing one.

/// A line that mounts something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// What is mounted: `PARTUUID=…-01`, `/dev/sda1`.
    pub(super) what: String,
    /// Where, without a slash at the end.
    pub(super) place: String,
    /// The filesystem's type.
    pub(super) kind: String,
    /// The options, comma-separated.
    pub(super) options: String,
}

impl Line {
    /// Returns an option's value: `@home` of `subvol=@home`.
    pub(super) fn option(&self, key: &str) -> Option<&str> {
        self.options
            .split(',')
            .find_map(|o| o.strip_prefix(key)?.strip_prefix('='))
    }
}

/// Returns where a separate filesystem is mounted for the boot half, by what fstab says.
pub(super) fn boot_mount_of(fstab: &str) -> Option<String> {
    let lines = lines(fstab);
    ["/boot/firmware", "/boot"]
        .into_iter()
        .find(|place| {
            lines
                .iter()
                .any(|line| line.place == *place && !line.is_bind())
        })
        .map(str::to_string)
}

impl Line {
    fn is_bind(&self) -> bool {
        self.options.split(',').any(|o| o == "bind" || o == "rbind")
    }
}

/// Returns the lines that mount something somewhere, in order.
pub(super) fn lines(fstab: &str) -> Vec<Line> {
    fstab.lines().filter_map(line).collect()
}

fn line(text: &str) -> Option<Line> {
    let mut fields = text.split_whitespace();
    let what = fields.next().filter(|f| !f.starts_with('#'))?;
    let place = unescaped(fields.next()?);
    let trimmed = place.trim_end_matches('/');
    Some(Line {
        what: unescaped(what).replace('"', ""),
        place: if trimmed.is_empty() { "/" } else { trimmed }.to_string(),
        kind: fields.next().unwrap_or_default().to_string(),
        options: unescaped(fields.next().unwrap_or_default()),
    })
}

/// Takes the three-digit octal escapes of fstab(5) back: `\040` is a blank.
fn unescaped(field: &str) -> String {
    let bytes = field.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = (bytes[at] == b'\\')
            .then(|| field.get(at + 1..at + 4))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        out.push(code.unwrap_or(bytes[at]));
        at += if code.is_some() { 4 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_half_is_where_fstab_mounts_it() {
        for (text, place) in [
            ("", None),
            ("# PARTUUID=x /boot/firmware vfat defaults 0 2\n", None),
            ("PARTUUID=x-02 / ext4 defaults 0 1\nproc /proc proc\n", None),
            (
                "PARTUUID=x-01\t/boot/firmware\tvfat\tdefaults\t0\t2\n",
                Some("/boot/firmware"),
            ),
            (
                "PARTUUID=x-01 /boot/firmware/ vfat defaults 0 2\r\n",
                Some("/boot/firmware"),
            ),
            ("  LABEL=boot /boot vfat", Some("/boot")),
            ("UUID=a /boot ext4\nUUID=b /boot/efi vfat\n", Some("/boot")),
            (
                "UUID=a /boot ext4\nUUID=b /boot/firmware vfat\n",
                Some("/boot/firmware"),
            ),
            ("UUID=b /boot/efi vfat\n", None),
            ("UUID=b /b\\157ot vfat\n", Some("/boot")),
            ("/srv/boot /boot none bind 0 0\n", None),
            ("UUID=b\n", None),
        ] {
            assert_eq!(boot_mount_of(text).as_deref(), place, "{text:?}");
        }
    }

    #[test]
    fn fields_are_unescaped_and_unquoted() {
        let found = lines("LABEL=\"my\\040disk\" /mnt\\011x btrfs rw,subvol=@home 0 0");
        assert_eq!(found[0].what, "LABEL=my disk");
        assert_eq!(found[0].place, "/mnt\tx");
        assert_eq!(found[0].option("subvol"), Some("@home"));
        assert_eq!(found[0].option("sub"), None);
        assert_eq!(unescaped("\\04"), "\\04");
        assert_eq!(unescaped("\\999"), "\\999");
        assert_eq!(unescaped("ä\\040ö\\"), "ä ö\\");
    }
}
