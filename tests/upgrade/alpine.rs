//! Alpine, for whose package manager there is only a stand-in here: its list of packages is as recorded.
//!
//! Of apk 2, which Alpine had up to 3.22, no program is to be had where these tests run: neither Debian nor a registry
//! of packages has one. What the stand-in does is what its source does (apk-tools 2.10, 2.12 and 2.14). The real one of
//! 3.0 is in `tests/real/alpine.rs`.

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::pool_of;
use crate::support::alpine::{Package, index};
use crate::support::{Pool, System};

/// Where Alpine 3.22 and newer keep it; older ones in `/lib`, which leads here.
const DATABASE: &str = "usr/lib/apk/db/installed";

/// Does what apk does with the list, and writes down how it was called.
const APK: &str = "#!/bin/sh
echo \"$*\" >> /var/log/apk-calls
case \" $* \" in
*' upgrade '*) sed -i -e 's/^V:1.36.1_rc1-r15/V:1.36.1-r2/' -e 's/^V:3.9.2-r0/V:3.9.1-r0/' /usr/lib/apk/db/installed ;;
esac
";

/// With an apk of which it is not known whether it can be told where its cache is.
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
fn an_alpine_is_upgraded_to_what_its_repositories_have() {
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
    let said = netbe.ok("upgrade --node nog --name new");
    let rows: Vec<Vec<&str>> = said
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
        "{said}"
    );
    let root = pool.half("nog/new", "root");
    assert_eq!(
        fs::read_to_string(root.join("var/log/apk-calls")).unwrap(),
        "--wait 120 --no-progress update\n--wait 120 --no-progress upgrade --available\n"
    );
    let said = netbe.ok("upgrade nog/new");
    assert!(said.contains("Nothing to upgrade in nog/new"), "{said}");
    netbe.ok("check");
}

/// The name of the index in a cache: made of the address.
const INDEX: &str = "APKINDEX.0badcafe.tar.gz";

/// Does what apk 2.14 does: where packages lie in its cache it fetches none of those, and fails where one is not what
/// its index names; what it fetches it puts there, where it was told of a cache.
const APK_WITH_CACHE: &str = "#!/bin/sh
cache=/var/cache/apk keeps=false
case \" $* \" in *' --cache-dir /run/netbe/packages '*) cache=/run/netbe/packages keeps=true ;; esac
fetch() {
    echo \"$1\" >> /var/log/apk-fetched
    cp \"/srv/$1\" \"$2\"
}
case \" $* \" in
*' update '*) cp /srv/APKINDEX.tar.gz $cache/INDEX ;;
*' upgrade --available --simulate '*) echo '(1/1) Upgrading hello (1.0-r0 -> 1.1-r0)' ;;
*' fetch --output /run/netbe/packages hello '*) fetch hello-1.1-r0.apk /run/netbe/packages/hello-1.1-r0.apk ;;
*' upgrade --available '*)
    $keeps || exit 9
    [ -f $cache/INDEX ] || fetch APKINDEX.tar.gz $cache/INDEX
    busybox cmp /srv/APKINDEX.tar.gz $cache/INDEX || exit 1
    [ -f $cache/CACHED ] || fetch hello-1.1-r0.apk $cache/CACHED
    busybox cmp /srv/hello-1.1-r0.apk $cache/CACHED || exit 1
    sed -i s/^V:1.0-r0/V:1.1-r0/ /lib/apk/db/installed
    ;;
*) exit 8 ;;
esac
";

/// A pool whose nodes nog, ordo and werda are Alpines with a package to upgrade; and that package.
fn alpines() -> (Pool, Package) {
    let sign = |_: &[u8]| vec![7; 256];
    let hello = Package::new("hello", "1.1-r0", "1.1\n", &sign);
    let apk = APK_WITH_CACHE
        .replace("INDEX ]", &format!("{INDEX} ]"))
        .replace("/INDEX", &format!("/{INDEX}"))
        .replace("CACHED", &hello.cached());
    let installed = "P:apk-tools\nV:2.14.9-r3\n\nP:hello\nV:1.0-r0\n\n";
    let list = index(std::slice::from_ref(&hello), &sign);
    let pool = pool_of(
        &System::debian()
            .without("var/lib/dpkg/status")
            .file("usr/lib/os-release", "ID=alpine\n")
            .file("usr/lib/apk/db/installed", installed)
            .directory("var/cache/apk", 0o755)
            .with("srv/APKINDEX.tar.gz", &list, 0o644)
            .with(&format!("srv/{}", hello.file()), &hello.whole(), 0o644)
            .program("usr/bin/apk", apk.as_bytes()),
    );
    for node in ["ordo", "werda"] {
        pool.netbe().ok(&format!("create {node}/first --from base"));
    }
    (pool, hello)
}

/// Returns what was fetched in the making of an environment.
fn fetched(pool: &Pool, environment: &str) -> String {
    let log = pool.half(environment, "root").join("var/log/apk-fetched");
    fs::read_to_string(log).unwrap_or_default()
}

/// Puts something into the pool's cache, under the name that is its checksum.
fn plant(pool: &Pool, content: &[u8]) {
    let name: String = Sha256::digest(content)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let cache = pool.path().join(".packages");
    fs::create_dir_all(&cache).unwrap();
    fs::write(cache.join(name), content).unwrap();
}

fn is_kept(root: &Path, name: &str) -> bool {
    ["var/cache/apk", "run/netbe"]
        .iter()
        .any(|directory| root.join(directory).join(name).exists())
}

#[test]
fn what_one_alpine_has_downloaded_the_next_has_from_the_pool() {
    let (pool, hello) = alpines();
    let netbe = pool.netbe();
    netbe.ok("upgrade --node nog --name new");
    assert_eq!(fetched(&pool, "nog/new"), "hello-1.1-r0.apk\n");
    netbe.ok("upgrade --node ordo --name new");
    assert_eq!(fetched(&pool, "ordo/new"), "");
    for node in ["nog", "ordo"] {
        let root = pool.half(&format!("{node}/new"), "root");
        assert!(!is_kept(&root, &hello.cached()));
        // Where the environment's own apk looks for it.
        assert!(is_kept(&root, INDEX));
    }
    netbe.ok("check");
}

#[test]
fn of_alpines_upgraded_side_by_side_one_downloads() {
    let (pool, _) = alpines();
    pool.netbe().ok("upgrade --all -j 3 --name new");
    let all: String = ["nog/new", "ordo/new", "werda/new"]
        .map(|environment| fetched(&pool, environment))
        .concat();
    assert_eq!(all, "hello-1.1-r0.apk\n");
}

#[test]
fn an_apk_that_is_not_what_it_says_is_not_given() {
    let (pool, hello) = alpines();
    let other = Package::new("hello", "1.1-r0", "1.2\n", &|_: &[u8]| vec![7; 256]);
    let mut data = hello.data.clone();
    *data.last_mut().unwrap() ^= 1;
    let mut control = hello.control.clone();
    *control.last_mut().unwrap() ^= 1;
    let signature = other.data.clone();
    for part in [
        Package {
            data,
            ..hello.clone()
        },
        Package {
            control,
            ..hello.clone()
        },
        Package {
            signature,
            ..hello.clone()
        },
        other,
    ] {
        plant(&pool, &part.whole());
    }
    pool.netbe().ok("upgrade --node nog --name new");
    assert_eq!(fetched(&pool, "nog/new"), "hello-1.1-r0.apk\n");
    pool.netbe().ok("upgrade --node ordo --name new");
    assert_eq!(fetched(&pool, "ordo/new"), "");
}

#[test]
fn an_index_that_makes_no_sense_fails_no_upgrade() {
    let (pool, hello) = alpines();
    plant(&pool, &hello.whole());
    for (node, list) in [("nog", &b"ADBd and what there is in it"[..]), ("ordo", b"")] {
        let root = pool.half(&format!("{node}/first"), "root");
        fs::write(root.join("srv/APKINDEX.tar.gz"), list).unwrap();
        let said = pool
            .netbe()
            .run(&format!("upgrade --node {node} --name new"));
        assert_eq!(said.status, 0, "{said:#?}");
        assert!(!said.stderr.contains("downloaded"), "{said:#?}");
        let fetched = fetched(&pool, &format!("{node}/new"));
        assert_eq!(fetched, "hello-1.1-r0.apk\n");
    }
}
