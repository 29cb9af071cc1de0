//! apk: the full upgrade, and the list of what is installed.

use super::Package;
use super::package::MOST;
use super::step::{LISTS, PACKAGES, Step};

/// Where it is, the older place first.
pub(super) const DATABASES: &[&str] = &["lib/apk/db/installed", "usr/lib/apk/db/installed"];

/// Returns the packages of the list: stanzas of `P:name`, `V:version` and much else, with empty lines between.
pub(super) fn installed(text: &str) -> Vec<Package> {
    let mut packages = Vec::new();
    let (mut name, mut version) = ("", "");
    for line in text.lines().chain([""]) {
        if line.is_empty() {
            if !name.is_empty() && !version.is_empty() {
                packages.push(Package::new(name, "", version));
            }
            if packages.len() > MOST {
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

/// For every apk: wait for another one's lock, for so many seconds; no bar.
const APK: &[&str] = &["apk", "--wait", "120", "--no-progress"];

/// Returns the commands of the full upgrade.
pub(super) fn full_upgrade() -> Vec<Step> {
    vec![
        // Ends with the number of indexes that could not be fetched.
        apk(LISTS, &["update"]),
        // What the repositories have, also where that is older, or another build of the same version.
        apk(PACKAGES, &["upgrade", "--available"]),
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
        // As Alpine 3.20 writes it, most files left out.
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
