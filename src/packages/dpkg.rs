//! dpkg's list of what is installed, `var/lib/dpkg/status`.

use super::Package;
use super::inventory::MOST;

/// Returns the packages whose files are there.
///
/// A package of which several architectures may be installed at once (`Multi-Arch: same`) goes under
/// `name:arch`, as dpkg itself shows it. Only configuration left over (`config-files`) is not installed;
/// half-installed and unpacked packages are.
pub(super) fn installed(status: &str) -> Vec<Package> {
    let mut packages = Vec::new();
    let mut stanza = Stanza::default();
    for line in status.lines().chain([""]) {
        if line.trim().is_empty() {
            packages.extend(std::mem::take(&mut stanza).finish());
            if packages.len() > MOST {
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
    several: bool,
    there: bool,
}

impl<'a> Stanza<'a> {
    fn read(&mut self, line: &'a str) {
        // Lines that go on another begin with a blank, and none of ours has any.
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
            self.several = value == "same";
        } else if is("Status") {
            // Three words: what is wanted, whether it is in order, what it is.
            let state = value.split_whitespace().nth(2);
            self.there = !matches!(state, None | Some("not-installed" | "config-files"));
        }
    }

    fn finish(self) -> Option<Package> {
        if self.name.is_empty() || self.version.is_empty() || !self.there {
            return None;
        }
        let name = if self.several {
            format!("{}:{}", self.name, self.architecture)
        } else {
            self.name.to_string()
        };
        Some(Package::new(name, "", self.version))
    }
}

#[cfg(test)]
mod tests {
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
}
