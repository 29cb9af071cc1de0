//! Recognising a distribution by its `os-release`.
//!
//! Not for what is run to upgrade it.

use std::io;

use crate::fs::rooted::Tree;

/// A distribution, as its own `os-release` describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// The name for programs, such as `debian`; `linux` where none is given, as os-release(5) says.
    pub id: String,
    /// The name for people (`PRETTY_NAME`, else `NAME`), such as `Debian GNU/Linux 12 (bookworm)`.
    pub name: String,
    /// Which package manager it lives by.
    pub family: Family,
}

/// Distributions that are upgraded alike.
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

/// Where it says what it is; the first one there counts (os-release(5)).
const PLACES: &[&str] = &["etc/os-release", "usr/lib/os-release"];

/// Family names in `ID` and `ID_LIKE`.
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

/// Recognises a distribution by the text of its `os-release`: its own `ID` first, then `ID_LIKE`.
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
    /// Recognises the distribution of an environment; one that does not say what it is has no name.
    pub fn read(root: &Tree) -> io::Result<Self> {
        for path in PLACES {
            if let Some(text) = root.read(path)? {
                return Ok(recognise(&String::from_utf8_lossy(&text)));
            }
        }
        Ok(recognise(""))
    }
}

/// Returns the value of an assignment as a shell would read it; the last one of a key counts.
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
        // Shown to people, and this file is the node's to write: nothing that moves a cursor.
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
    fn distributions_are_recognised_by_what_they_say_of_themselves() {
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
    fn the_name_for_people_is_read_as_a_shell_reads_it() {
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
