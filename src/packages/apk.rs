//! apk: the full upgrade, and the list of installed packages.

use super::Package;
use super::owned::{Owned, Owners};
use super::package::PACKAGES_MAX;
use super::step::{LISTS, PACKAGES, Step, installing, removing};

/// Paths of the list, the older first.
pub(super) const DATABASES: &[&str] = &["lib/apk/db/installed", "usr/lib/apk/db/installed"];

/// Parses the list: stanzas of `P:name`, `V:version` and other fields, separated by empty lines.
pub(super) fn installed(text: &str) -> Vec<Package> {
    let mut packages = Vec::new();
    let (mut name, mut version) = ("", "");
    for line in text.lines().chain([""]) {
        if line.is_empty() {
            if !name.is_empty() && !version.is_empty() {
                packages.push(Package::new(name, "", version));
            }
            if packages.len() > PACKAGES_MAX {
                break;
            }
            (name, version) = ("", "");
        } else if let Some(value) = line.strip_prefix("P:") {
            name = value;
        } else if let Some(value) = line.strip_prefix("V:") {
            version = value;
        }
    }
    packages
}

/// Notes the files of the list: `F:` a directory, `R:` a file in it. Files in `etc` are configuration: an upgrade keeps
/// changed ones (protected paths, apk(8)).
pub(super) fn owners(text: &str, owners: &mut Owners) {
    let mut directory = "";
    for line in text.lines() {
        if let Some(path) = line.strip_prefix("F:") {
            directory = path;
        } else if let Some(name) = line.strip_prefix("R:") {
            let is_configuration = directory == "etc" || directory.starts_with("etc/");
            let owned = match is_configuration {
                true => Owned::Configuration,
                false => Owned::File,
            };
            owners.add(&format!("{directory}/{name}"), owned);
        }
    }
}

/// Common arguments: wait for the lock up to 120 seconds; no progress bar.
const APK: &[&str] = &["apk", "--wait", "120", "--no-progress"];

/// Returns the commands of the full upgrade.
pub(super) fn full_upgrade() -> Vec<Step> {
    vec![
        // Its exit status is the number of indexes that could not be fetched.
        apk(LISTS, &["update"]),
        // The repositories' versions, also if older, or another build of the same version.
        apk(PACKAGES, &["upgrade", "--available"]),
    ]
}

/// Returns the commands that install and remove packages.
pub(super) fn install_and_remove(added: &[String], removed: &[String]) -> Vec<Step> {
    vec![
        apk(LISTS, &["update"]),
        removing(apk, &["del"], removed),
        installing(apk, &["add"], added),
    ]
}

fn apk(what: &'static str, arguments: &[&str]) -> Step {
    Step::new(what, &[APK, arguments].concat(), &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_have_a_name_and_a_version() {
        // As on Alpine 3.20, most files omitted.
        let text = "\
C:Q1Ci6W8aMSNTu0ZHVGEUSvZvM5NDs=
P:alpine-baselayout
V:3.6.5-r0
A:x86_64
S:8515
T:Alpine base dir structure and init scripts
D:alpine-baselayout-data=3.6.5-r0 /bin/sh
F:etc
R:motd
Z:Q1SLkS9hBidUbPwwrw+XR0Whv3ww8=

C:Q1KTAgsHfBI3lPbg2Pc9b5mFyBnIA=
P:musl
V:1.2.5-r1
A:x86_64
F:lib
R:ld-musl-x86_64.so.1
a:0:0:755
";
        assert_eq!(
            installed(text),
            [
                Package::new("alpine-baselayout", "", "3.6.5-r0"),
                Package::new("musl", "", "1.2.5-r1")
            ]
        );
    }

    #[test]
    fn garbage_is_no_package() {
        for text in ["", "\n\n", "P:\nV:\n", "P:a", "V:1\n\nP:a\n", "\u{0}:\r\n"] {
            assert!(installed(text).is_empty(), "{text:?}");
        }
    }
}
