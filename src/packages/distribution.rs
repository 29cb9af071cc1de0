//! Detects a distribution by its `os-release`.

use std::io;

use crate::fs::rooted::Tree;

/// A distribution, from its `os-release`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// Identifier, such as `debian`; `linux` by default, as in os-release(5).
    pub id: String,
    /// Display name (`PRETTY_NAME`, else `NAME`), such as `Debian GNU/Linux 12 (bookworm)`.
    pub name: String,
    /// Its package manager.
    pub family: Family,
}

/// Distributions with the same package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// apt and dpkg: Debian, Raspberry Pi OS, Ubuntu.
    Debian,
    /// pacman: Arch Linux, Arch Linux ARM.
    Arch,
    /// apk.
    Alpine,
    /// dnf and rpm.
    Fedora,
    /// zypper and rpm.
    Suse,
    /// None of these.
    Unknown,
}

/// Paths of os-release; the first that exists counts (os-release(5)).
const OS_RELEASE: &[&str] = &["etc/os-release", "usr/lib/os-release"];

/// Families by words of `ID` and `ID_LIKE`.
const FAMILIES: &[(&str, Family)] = &[
    ("debian", Family::Debian),
    ("raspbian", Family::Debian),
    ("ubuntu", Family::Debian),
    ("arch", Family::Arch),
    ("archarm", Family::Arch),
    ("alpine", Family::Alpine),
    ("fedora", Family::Fedora),
    ("rhel", Family::Fedora),
    ("centos", Family::Fedora),
    ("suse", Family::Suse),
    ("opensuse", Family::Suse),
    ("opensuse-leap", Family::Suse),
    ("opensuse-tumbleweed", Family::Suse),
];

/// Detects a distribution by the text of its `os-release`: by `ID`, then `ID_LIKE`.
pub fn recognise(os_release: &str) -> Distribution {
    let field = |key| assignment(os_release, key);
    let id = field("ID").unwrap_or_else(|| "linux".into());
    let like = field("ID_LIKE").unwrap_or_default();
    let family = std::iter::once(id.as_str())
        .chain(like.split_whitespace())
        .find_map(|word| FAMILIES.iter().find(|(name, _)| *name == word))
        .map_or(Family::Unknown, |(_, family)| *family);
    let name = field("PRETTY_NAME").or_else(|| field("NAME"));
    Distribution {
        name: name.unwrap_or_else(|| id.clone()),
        id,
        family,
    }
}

impl Distribution {
    /// Detects the distribution of an environment; `linux` without an os-release.
    pub fn read(root: &Tree) -> io::Result<Self> {
        for path in OS_RELEASE {
            if let Some(text) = root.read(path)? {
                return Ok(recognise(&String::from_utf8_lossy(&text)));
            }
        }
        Ok(recognise(""))
    }
}

/// Returns the value of a shell assignment; the last one of a key counts.
fn assignment(text: &str, key: &str) -> Option<String> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='))
        .next_back()
        .map(unquote)
        .filter(|value| !value.is_empty())
}

fn unquote(value: &str) -> String {
    let value = value.trim();
    let quoted = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
    if let Some(inner) = quoted('\'') {
        return inner.to_string();
    }
    let mut plain = String::new();
    let mut escaped = false;
    for c in quoted('"').unwrap_or(value).chars() {
        if c == '\\' && !escaped {
            escaped = true;
            continue;
        }
        // The node's text is shown to users: no control characters.
        if !c.is_control() {
            plain.push(c);
        }
        escaped = false;
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_are_detected_by_os_release() {
        for (text, id, family) in [
            ("ID=debian\n", "debian", Family::Debian),
            ("ID=raspbian\nID_LIKE=debian\n", "raspbian", Family::Debian),
            (
                "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n",
                "linuxmint",
                Family::Debian,
            ),
            ("ID=archarm\nID_LIKE=arch\n", "archarm", Family::Arch),
            ("ID=arch\n", "arch", Family::Arch),
            (
                "ID=endeavouros\nID_LIKE=arch\n",
                "endeavouros",
                Family::Arch,
            ),
            ("ID=fedora\nVERSION_ID=39\n", "fedora", Family::Fedora),
            (
                "ID=\"almalinux\"\nID_LIKE=\"rhel centos fedora\"\n",
                "almalinux",
                Family::Fedora,
            ),
            (
                "ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n",
                "opensuse-tumbleweed",
                Family::Suse,
            ),
            ("ID=\"sles\"\nID_LIKE=\"suse\"\n", "sles", Family::Suse),
            (
                "ID=postmarketos\nID_LIKE=\"alpine\"\n",
                "postmarketos",
                Family::Alpine,
            ),
            ("ID=alpine\n", "alpine", Family::Alpine),
            (
                "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n",
                "rocky",
                Family::Fedora,
            ),
            (
                "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n",
                "opensuse-leap",
                Family::Suse,
            ),
            ("ID=slackware\n", "slackware", Family::Unknown),
            ("", "linux", Family::Unknown),
            ("VARIANT_ID=debian\n", "linux", Family::Unknown),
        ] {
            let distribution = recognise(text);
            assert_eq!(distribution.id, id, "{text}");
            assert_eq!(distribution.family, family, "{text}");
        }
    }

    #[test]
    fn the_display_name_is_unquoted_as_by_a_shell() {
        let name = |text: &str| recognise(text).name;
        assert_eq!(
            name("PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=x\n"),
            "Debian GNU/Linux 12 (bookworm)"
        );
        assert_eq!(name("NAME='Arch Linux'\nID=arch\n"), "Arch Linux");
        assert_eq!(name("PRETTY_NAME=\"a \\\"b\\\" \\$c\"\n"), "a \"b\" $c");
        assert_eq!(name("PRETTY_NAME=\"\u{1b}[2Jx\"\n"), "[2Jx");
        assert_eq!(name("ID=alpine\n"), "alpine");
    }
}
