//! Alpine, for whose package manager there is only a stand-in here: its list of packages is as recorded.
//!
//! Of apk 2, which Alpine had up to 3.22, no program is to be had where these tests run: neither Debian nor a registry
//! of packages has one. What the stand-in does is what its source does (apk-tools 2.10, 2.12 and 2.14). The real one of
//! 3.0 is in `tests/real/alpine.rs`.

use std::fs;

use super::pool_of;
use crate::support::System;

/// Where Alpine 3.22 and newer keep it; older ones in `/lib`, which leads here.
const DATABASE: &str = "usr/lib/apk/db/installed";

/// Does what apk does with the list, and writes down how it was called.
const APK: &str = "#!/bin/sh
echo \"$*\" >> /var/log/apk-calls
case \" $* \" in
*' upgrade '*) sed -i -e 's/^V:1.36.1_rc1-r15/V:1.36.1-r2/' -e 's/^V:3.9.2-r0/V:3.9.1-r0/' /usr/lib/apk/db/installed ;;
esac
";

const INSTALLED: &str = "\
C:Q1pZKMDzjBSuv3tXG0DsDaQiHkTkA=
P:apk-tools
V:2.9.1-r2
A:x86_64

C:Q1KTAgsHfBI3lPbg2Pc9b5mFyBnIA=
P:busybox
V:1.36.1_rc1-r15
A:x86_64
D:so:libc.musl-x86_64.so.1
F:bin
R:busybox
a:0:0:755

P:libretls
V:3.9.2-r0
A:x86_64

P:musl
V:1.2.5-r1
A:x86_64

";

#[test]
fn an_alpine_is_upgraded_to_the_versions_of_its_repositories() {
    let pool = pool_of(
        &System::debian()
            .without("var/lib/dpkg/status")
            .file(
                "usr/lib/os-release",
                "ID=alpine\nPRETTY_NAME=\"Alpine Linux v3.22\"\n",
            )
            .file(DATABASE, INSTALLED)
            .program("usr/bin/apk", APK.as_bytes()),
    );
    let netbe = pool.netbe();
    let output = netbe.ok("upgrade --node nog --name new");
    let rows: Vec<Vec<&str>> = output
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect())
        .take(2)
        .collect();
    // The older one is what the repositories have; it is shown, and counts.
    assert_eq!(
        rows,
        [
            ["busybox", "1.36.1_rc1-r15", "1.36.1-r2"],
            ["libretls", "3.9.2-r0", "3.9.1-r0"]
        ],
        "{output}"
    );
    let root = pool.half("nog/new", "root");
    assert_eq!(
        fs::read_to_string(root.join("var/log/apk-calls")).unwrap(),
        "--wait 120 --no-progress update\n--wait 120 --no-progress upgrade --available\n"
    );
    let output = netbe.ok("upgrade nog/new");
    assert!(output.contains("Nothing to upgrade in nog/new"), "{output}");
    netbe.ok("check");
}
