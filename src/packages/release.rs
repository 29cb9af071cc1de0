//! Recognising a distribution by its `os-release`, and the commands of its full upgrade.

use super::archives::{self, Archive};

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

/// One command of a full upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What it does, as progress is told: `updating package lists`.
    pub what: &'static str,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Variables it wants.
    pub env: Vec<(String, String)>,
}

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

/// Package scripts ask nothing, list no news, and restart nothing.
const DEBIAN_ENV: &[(&str, &str)] = &[
    ("DEBIAN_FRONTEND", "noninteractive"),
    ("DEBIAN_PRIORITY", "critical"),
    ("DEBCONF_NONINTERACTIVE_SEEN", "true"),
    ("APT_LISTCHANGES_FRONTEND", "none"),
    ("NEEDRESTART_SUSPEND", "1"),
    // ucf keeps conffiles that dpkg knows nothing of.
    ("UCF_FORCE_CONFFOLD", "1"),
];

/// For every apt-get: wait for another one's lock, and write plain lines.
const APT_OPTIONS: &[&str] = &[
    "-o",
    "DPkg::Lock::Timeout=120",
    "-o",
    "Dpkg::Use-Pty=0",
    "-o",
    "quiet::NoProgress=1",
];

/// How the packages of a full upgrade are had before it: from elsewhere, by whoever knows them.
#[derive(Debug, Clone)]
pub struct Downloads {
    /// Tells which packages are wanted and not there yet.
    pub list: Step,
    /// Reads what that says.
    pub read: fn(&str) -> Vec<Archive>,
    /// Downloads them, and no more.
    pub fetch: Step,
}

impl Distribution {
    /// Returns how the packages of the last step of the full upgrade can be had before it; `None` where
    /// that is not known.
    pub fn downloads(&self) -> Option<Downloads> {
        match self.family {
            Family::Debian => Some(Downloads {
                list: apt(
                    "finding out what is wanted",
                    &[
                        "-qq",
                        "-y",
                        // Otherwise it prints MD5 sums, and none where the index has only better ones.
                        "-o",
                        "Acquire::ForceHash=SHA256",
                        "--print-uris",
                        "dist-upgrade",
                    ],
                ),
                read: archives::of_apt,
                fetch: apt(
                    "downloading packages",
                    &["-y", "--download-only", "dist-upgrade"],
                ),
            }),
            _ => None,
        }
    }

    /// Returns the commands of its full upgrade, in order; `None` where `upgrade.command` has to say.
    ///
    /// For the Debian family: files of configuration that were changed are kept, apt's own settings in
    /// the environment hold, nothing is removed that the upgrade itself does not have to remove.
    pub fn full_upgrade(&self) -> Option<Vec<Step>> {
        match self.family {
            Family::Debian => Some(debian()),
            Family::Arch | Family::Alpine | Family::Fedora | Family::Suse | Family::Unknown => None,
        }
    }
}

fn debian() -> Vec<Step> {
    let update = [
        // Without it apt-get ends with 0 when an index could not be fetched, and an old one is used.
        "-o",
        "APT::Update::Error-Mode=any",
        "update",
    ];
    let upgrade = [
        "-y",
        "-o",
        "Dpkg::Options::=--force-confdef",
        "-o",
        "Dpkg::Options::=--force-confold",
        "dist-upgrade",
    ];
    vec![
        apt("updating package lists", &update),
        apt("upgrading packages", &upgrade),
    ]
}

fn apt(what: &'static str, arguments: &[&str]) -> Step {
    Step {
        what,
        argv: ["apt-get"]
            .iter()
            .chain(APT_OPTIONS)
            .chain(arguments)
            .map(|word| (*word).to_string())
            .collect(),
        env: DEBIAN_ENV
            .iter()
            .map(|(k, v)| ((*k).to_string(), (*v).to_string()))
            .collect(),
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

    #[test]
    fn debians_upgrade_asks_nothing_and_keeps_configuration() {
        let steps = recognise("ID=debian\n").full_upgrade().unwrap();
        assert_eq!(steps.len(), 2);
        let line = steps[1].argv.join(" ");
        for part in ["apt-get ", " -y ", "--force-confold", " dist-upgrade"] {
            assert!(line.contains(part), "{line}");
        }
        assert!(!line.contains("autoremove"));
        assert!(steps[0].argv.join(" ").contains("Error-Mode=any update"));
        assert!(steps.iter().all(|s| {
            s.env
                .contains(&("DEBIAN_FRONTEND".into(), "noninteractive".into()))
        }));
        assert_eq!(recognise("ID=alpine\n").full_upgrade(), None);
    }
}
