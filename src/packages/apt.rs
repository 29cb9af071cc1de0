//! apt and dpkg: the full upgrade, the packages it will fetch, and the installed ones (`var/lib/dpkg/status`).
//!
//! Checksums are from indexes whose signature apt has verified inside the environment. Text in, values out; fetches
//! nothing.

use super::Package;
use super::package::PACKAGES_MAX;
use super::step::{FETCHING, FINDING, LISTS, PACKAGES, Step, installing, removing};
use crate::fs::shown_path::quoted_word;
use crate::hex;

/// apt's directory of package lists.
pub const LISTS_DIRECTORY: &str = "var/lib/apt/lists";

/// A package file to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// Path in the download directory.
    pub file: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the content.
    pub sha256: [u8; 32],
}

/// Parses the output of `apt-get --print-uris` with `Acquire::ForceHash=SHA256`: `'URI' FILE SIZE SHA256:HEX`.
///
/// Skips local files (`file:`), files without SHA-256, and other lines.
pub(super) fn to_fetch(text: &str) -> Vec<Archive> {
    text.lines().filter_map(archive).collect()
}

/// Returns a shell command line that updates apt's package lists before `command` installs; `None` if `command` is another
/// one, or the root has lists: `names` are the names in [`LISTS_DIRECTORY`].
pub fn with_lists(command: &[String], names: &[String]) -> Option<String> {
    let program = command.first()?.rsplit('/').next()?;
    let is_apt = ["apt", "apt-get"].contains(&program);
    let installs = command.iter().any(|word| word == "install");
    let has_lists = names.iter().any(|name| name.contains("_Packages"));
    let words: Vec<String> = command.iter().map(|word| quoted_word(word)).collect();
    (is_apt && installs && !has_lists).then(|| format!("apt-get update && {}", words.join(" ")))
}

fn archive(line: &str) -> Option<Archive> {
    let (uri, rest) = line.strip_prefix('\'')?.split_once("' ")?;
    let words: Vec<&str> = rest.split_whitespace().collect();
    let [file, size, checksum] = words[..] else {
        return None;
    };
    if uri.starts_with("file:") || !is_file_name(file) {
        return None;
    }
    Some(Archive {
        file: file.to_string(),
        size: size.parse().ok()?,
        sha256: sha256(checksum.strip_prefix("SHA256:")?)?,
    })
}

/// Returns whether a text is a Debian package's file name: `NAME_VERSION_ARCH.deb`, an epoch's colon escaped or not.
fn is_file_name(name: &str) -> bool {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b"._+~-%:".contains(&c);
    name.len() < 256
        && name.ends_with(".deb")
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(allowed)
}

/// Parses a SHA-256 of 64 hexadecimal digits.
pub fn sha256(digits: &str) -> Option<[u8; 32]> {
    hex::bytes(digits)?.try_into().ok()
}

/// Parses the installed packages.
///
/// A package that may be installed for several architectures (`Multi-Arch: same`) is named `name:arch`, as in dpkg.
/// Packages with only configuration left (`config-files`) are not installed; half-installed and unpacked ones are.
pub(super) fn installed(status: &str) -> Vec<Package> {
    let mut packages = Vec::new();
    let mut stanza = Stanza::default();
    for line in status.lines().chain([""]) {
        if line.trim().is_empty() {
            packages.extend(std::mem::take(&mut stanza).finish());
            if packages.len() > PACKAGES_MAX {
                break;
            }
            continue;
        }
        stanza.read(line);
    }
    packages
}

#[derive(Default)]
struct Stanza<'a> {
    name: &'a str,
    version: &'a str,
    architecture: &'a str,
    is_multi_arch: bool,
    is_installed: bool,
}

impl<'a> Stanza<'a> {
    fn read(&mut self, line: &'a str) {
        // Continuation lines begin with a blank; none of these fields has any.
        let Some((key, value)) = line.split_once(':') else {
            return;
        };
        let value = value.trim();
        let is = |name: &str| key.eq_ignore_ascii_case(name);
        if is("Package") {
            self.name = value;
        } else if is("Version") {
            self.version = value;
        } else if is("Architecture") {
            self.architecture = value;
        } else if is("Multi-Arch") {
            self.is_multi_arch = value == "same";
        } else if is("Status") {
            // Three words: wanted, error state, state.
            let state = value.split_whitespace().nth(2);
            self.is_installed = !matches!(state, None | Some("not-installed" | "config-files"));
        }
    }

    fn finish(self) -> Option<Package> {
        if self.name.is_empty() || self.version.is_empty() || !self.is_installed {
            return None;
        }
        let name = if self.is_multi_arch {
            format!("{}:{}", self.name, self.architecture)
        } else {
            self.name.to_string()
        };
        Some(Package::new(name, "", self.version))
    }
}

/// Package scripts ask nothing, show no news, and restart nothing.
const DEBIAN_ENV: &[(&str, &str)] = &[
    ("DEBIAN_FRONTEND", "noninteractive"),
    ("DEBIAN_PRIORITY", "critical"),
    ("DEBCONF_NONINTERACTIVE_SEEN", "true"),
    ("APT_LISTCHANGES_FRONTEND", "none"),
    ("NEEDRESTART_SUSPEND", "1"),
    // ucf keeps changed configuration files that are not dpkg's.
    ("UCF_FORCE_CONFFOLD", "1"),
];

/// Common arguments: wait for the lock; plain output.
const APT: &[&str] = &[
    "apt-get",
    "-o",
    "DPkg::Lock::Timeout=120",
    "-o",
    "Dpkg::Use-Pty=0",
    "-o",
    "quiet::NoProgress=1",
];

/// Gets the lists; by default apt-get succeeds when an index could not be fetched, with an old one.
const UPDATE: &[&str] = &["-o", "APT::Update::Error-Mode=any", "update"];

/// Asks nothing, and keeps changed configuration files.
const KEEP: &[&str] = &[
    "-y",
    "-o",
    "Dpkg::Options::=--force-confdef",
    "-o",
    "Dpkg::Options::=--force-confold",
];

/// Returns the commands of the full upgrade.
pub(super) fn full_upgrade() -> Vec<Step> {
    let upgrade = [KEEP, &["dist-upgrade"]].concat();
    vec![apt(LISTS, UPDATE), apt(PACKAGES, &upgrade)]
}

/// Returns the commands that install and remove packages.
pub(super) fn install_and_remove(added: &[String], removed: &[String]) -> Vec<Step> {
    vec![
        apt(LISTS, UPDATE),
        removing(apt, &[KEEP, &["remove"]].concat(), removed),
        installing(apt, &[KEEP, &["install"]].concat(), added),
    ]
}

fn apt(what: &'static str, arguments: &[&str]) -> Step {
    Step::new(what, &[APT, arguments].concat(), DEBIAN_ENV)
}

/// Returns the command that lists the packages to fetch, for [`to_fetch`].
pub(super) fn list() -> Step {
    let arguments = [
        "-qq",
        "-y",
        // By default it prints MD5 sums, and none if the index has only better ones.
        "-o",
        "Acquire::ForceHash=SHA256",
        "--print-uris",
        "dist-upgrade",
    ];
    apt(FINDING, &arguments)
}

/// Returns the command that only downloads the packages of a full upgrade.
pub(super) fn fetch() -> Step {
    apt(FETCHING, &["-y", "--download-only", "dist-upgrade"])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STATUS: &str = "\
Package: bash
Essential: yes
Status: install ok installed
Architecture: amd64
Version: 5.2.15-2+b8
Description: GNU Bourne Again SHell
 Version: 9.9 of a line that goes on
 .
 Package: neither

Package: libc6
Status: install ok installed
Architecture: amd64
Multi-Arch: same
Version: 2.36-9

Package: libc6
Status: install ok installed
Architecture: i386
Multi-Arch: same
Version: 2.36-8

Package: gone
Status: deinstall ok config-files
Version: 1.0

Package: broken
Status: install reinstreq half-installed
Version: 2.0

Package: wanted
Status: install ok not-installed
";

    #[test]
    fn installed_packages_have_a_name_and_a_version() {
        let packages = installed(STATUS);
        let shown: Vec<String> = packages
            .iter()
            .map(|p| format!("{}={}", p.name, p.version))
            .collect();
        assert_eq!(
            shown,
            [
                "bash=5.2.15-2+b8",
                "libc6:amd64=2.36-9",
                "libc6:i386=2.36-8",
                "broken=2.0"
            ]
        );
    }

    #[test]
    fn garbage_is_no_package() {
        assert!(installed("").is_empty());
        assert!(installed("\u{0}\u{1}\n\n:::\nStatus:\nVersion\n").is_empty());
    }

    const HEX: &str = "0123456789abcdefABCDEF0123456789abcdef0123456789abcdef0123456789";

    #[test]
    fn apts_output_is_parsed() {
        let text = format!(
            "Reading package lists...\n\
             'http://deb.example/pool/v/vim/vim_9.0.1378-2%2bdeb12u2_amd64.deb' vim_2%3a9.0.1378-2+deb12u2_amd64.deb 1567724 SHA256:{HEX}\n\
             W: something else\n"
        );
        let [vim] = to_fetch(&text).try_into().unwrap();
        assert_eq!(vim.file, "vim_2%3a9.0.1378-2+deb12u2_amd64.deb");
        assert_eq!(vim.size, 1_567_724);
        assert_eq!(vim.sha256[..4], [1, 0x23, 0x45, 0x67]);
        assert_eq!(vim.sha256[8..11], [0xab, 0xcd, 0xef]);
    }

    #[test]
    fn other_lines_are_skipped() {
        for line in [
            format!("'file:/srv/debs/a_1_all.deb' a_1_all.deb 10 SHA256:{HEX}"),
            format!("'http://d/a_1_all.deb' ../a_1_all.deb 10 SHA256:{HEX}"),
            format!("'http://d/a_1_all.deb' .a_1_all.deb 10 SHA256:{HEX}"),
            format!("'http://d/a_1_all.deb' a/b.deb 10 SHA256:{HEX}"),
            format!("'http://d/a_1_all.deb' a_1_all.rpm 10 SHA256:{HEX}"),
            format!("'http://d/a_1_all.deb' a_1_all.deb ten SHA256:{HEX}"),
            format!("'http://d/a_1_all.deb' a_1_all.deb 10 MD5Sum:{HEX}"),
            format!("'http://d/a_1_all.deb' a_1_all.deb 10 SHA256:{}", &HEX[1..]),
            "'http://d/a_1_all.deb' a_1_all.deb 10".to_string(),
            "'http://d/a_1_all.deb".to_string(),
            "'".to_string(),
        ] {
            assert_eq!(to_fetch(&line), [], "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_without_panic(text in "['a-z0-9:/ ._\n%\u{e9}]{0,200}") {
            for archive in to_fetch(&text) {
                prop_assert!(!archive.file.contains('/'));
            }
        }
    }
}
