//! Other distributions' package managers, the real ones: Debian has them packaged.
//!
//! One Debian with all of them in it, dressed as one distribution after the other, with a repository of a
//! few small packages inside. What is theirs alone (their kernels, hooks and key rings) is not in it.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::mirror::Mirror;
use super::support::{Netbe, Pool};

/// What the system has besides what every one has.
pub(super) const INCLUDE: &str = "pacman-package-manager,rpm,dnf,createrepo-c,zypper,db5.3-util";

/// Makes, in `/srv`, repositories of a first and a second state: `arch/1`, `arch/2`, `rpm/1`, `rpm/2`.
pub(super) const REPOSITORIES: &str = include_str!("repositories");

/// A distribution to be.
pub(super) struct Dress {
    pub(super) node: &'static str,
    pub(super) os_release: &'static str,
    /// Files of its own, from its root.
    pub(super) files: &'static [(&'static str, &'static str)],
    /// The one of them that names the repository, its first state.
    pub(super) names_repository: &'static str,
    /// Installs the packages of the first state.
    pub(super) install: &'static str,
    /// What the second state changes, as the table shows it.
    pub(super) table: &'static [[&'static str; 3]],
    /// The packages of the second state that the upgrade itself fetches.
    pub(super) fetched: &'static [&'static str],
}

const ARCH: Dress = Dress {
    node: "arch",
    os_release: "ID=arch\nPRETTY_NAME=\"Arch Linux\"\n",
    files: &[(
        "etc/pacman.conf",
        "[options]\nArchitecture = auto\nCheckSpace\nSigLevel = Never\n\n[ours]\nServer = MIRROR/arch/1\n",
    )],
    names_repository: "etc/pacman.conf",
    install: "pacman -Sy --noconfirm hello archlinux-keyring",
    table: &[
        ["archlinux-keyring", "20260101-1", "20260701-1"],
        ["hello", "1.0rc-1", "1.0-1"],
    ],
    // With the lists comes the one with the keys, before anything else.
    fetched: &["hello-1.0-1-any.pkg.tar.zst"],
};

const FEDORA: Dress = Dress {
    node: "fedora",
    os_release: "ID=fedora\nVERSION_ID=40\nPRETTY_NAME=\"Fedora Linux 40\"\n",
    files: &[
        ("etc/rpm/macros", "%_dbpath /usr/lib/sysimage/rpm\n"),
        (
            "etc/yum.repos.d/local.repo",
            "[local]\nname=local\nbaseurl=MIRROR/rpm/1\nenabled=1\ngpgcheck=0\n",
        ),
    ],
    names_repository: "etc/yum.repos.d/local.repo",
    install: "rpm --initdb && dnf -y install hello kernel-core",
    // A new kernel stands beside the old one.
    table: &[
        ["hello", "1.0~rc1-1", "1.0-1"],
        ["kernel-core", "-", "6.6.9-1"],
    ],
    fetched: &["hello-1.0-1.noarch.rpm", "kernel-core-6.6.9-1.noarch.rpm"],
};

const SUSE: Dress = Dress {
    node: "suse",
    os_release: "ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\nPRETTY_NAME=\"openSUSE Tumbleweed\"\n",
    files: &[
        // Its own kind of database is one Debian's rpm was built without.
        ("etc/rpm/macros", "%_dbpath /var/lib/rpm\n"),
        (
            "etc/zypp/repos.d/local.repo",
            "[local]\nname=local\nbaseurl=MIRROR/rpm/1\ntype=rpm-md\nenabled=1\ngpgcheck=0\n",
        ),
    ],
    names_repository: "etc/zypp/repos.d/local.repo",
    install: "rpm --initdb && zypper --non-interactive install hello",
    table: &[["hello", "1.0~rc1-1", "1.0-1"]],
    fetched: &["hello-1.0-1.noarch.rpm"],
};

#[test]
fn arch_fedora_and_opensuse_are_upgraded_by_their_own_package_managers() {
    let pool = Pool::new();
    let netbe = pool.netbe();
    let system = super::real(&["--include", INCLUDE]);
    netbe.ok(&format!("import base/stock {}", system.display()));
    ok(
        &netbe,
        &["run", "base/stock", "--", "sh", "-ec", REPOSITORIES],
    );
    let mirror = Mirror::of(pool.half("base/stock", "root").join("srv"));
    mirror.admit(&netbe);
    for dress in [ARCH, FEDORA, SUSE] {
        upgrade(&pool, &dress, &mirror);
        each_package_is_downloaded_once(&pool, &dress, &mirror);
        // The next would have some of its packages from here: they are the same.
        empty_the_cache(&pool);
    }
    the_old_kind_of_database_says_the_same(&pool);
    netbe.ok("check");
}

/// Runs arguments that may hold blanks, and returns the answer.
pub(super) fn ok(netbe: &Netbe, arguments: &[&str]) -> String {
    let outcome = netbe.run_with(arguments);
    assert_eq!(outcome.status, 0, "{arguments:?}\n{outcome:#?}");
    outcome.stdout
}

/// Returns the words of the lines of a table below its head, as far as it goes.
fn rows(table: &str) -> Vec<Vec<&str>> {
    table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .take_while(|words| words.len() == 3)
        .collect()
}

pub(super) fn upgrade(pool: &Pool, dress: &Dress, mirror: &Mirror) {
    let (netbe, node) = (pool.netbe(), dress.node);
    netbe.ok(&format!("create {node}/first"));
    let first = pool.half(&format!("{node}/first"), "root");
    put(&first.join("usr/lib/os-release"), dress.os_release);
    for (path, content) in dress.files {
        put(&first.join(path), &content.replace("MIRROR", &mirror.url()));
    }
    let (source, name) = (format!("{node}/first"), format!("{node}/one"));
    ok(
        &netbe,
        &[
            "upgrade",
            &source,
            "--name",
            "one",
            "-a",
            "--",
            "sh",
            "-c",
            dress.install,
        ],
    );

    let output = netbe.run(&format!("upgrade --node {node}"));
    assert!(
        output.stdout.contains("Nothing to upgrade in "),
        "{output:#?}"
    );

    let config = pool.half(&name, "root").join(dress.names_repository);
    put(&config, &read(&config).replace("/1\n", "/2\n"));
    let output = netbe.ok(&format!("upgrade --node {node} --name two"));
    assert_eq!(rows(&output), dress.table, "{output}");
    let two = pool.half(&format!("{node}/two"), "root");
    let version = |root: &Path| read(&root.join("usr/share/hello/version"));
    assert_eq!(version(&two), "1.0\n");
    assert_ne!(version(&pool.half(&name, "root")), "1.0\n");
    let differ = netbe.ok(&format!("diff --packages {node}/two"));
    assert_eq!(rows(&differ), dress.table, "{differ}");

    let output = netbe.run(&format!("upgrade {node}/two"));
    assert!(
        output.stdout.contains("Nothing to upgrade in "),
        "{output:#?}"
    );
}

/// Two more nodes in the first state, upgraded side by side to the second, which one alone has come to before; and
/// two where nobody has.
pub(super) fn each_package_is_downloaded_once(pool: &Pool, dress: &Dress, mirror: &Mirror) {
    let (netbe, node) = (pool.netbe(), dress.node);
    let fetched = || -> Vec<String> {
        let mut packages = mirror.fetched();
        packages.retain(|name| dress.fetched.contains(&name.as_str()));
        packages.sort();
        packages
    };
    assert_eq!(fetched(), dress.fetched);
    let twins = [format!("{node}-a"), format!("{node}-b")];
    for twin in &twins {
        netbe.ok(&format!("create {twin}/one --from {node}/one"));
    }
    let upgrade = |name: &str| {
        netbe.ok(&format!(
            "upgrade --node {} --node {} -j 2 --name {name}",
            twins[0], twins[1]
        ));
        for twin in &twins {
            let root = pool.half(&format!("{twin}/{name}"), "root");
            assert_eq!(read(&root.join("usr/share/hello/version")), "1.0\n");
        }
    };
    upgrade("two");
    assert_eq!(fetched(), [""; 0], "the pool had them");
    empty_the_cache(pool);
    upgrade("again");
    assert_eq!(fetched(), dress.fetched, "one of the two fetches each");
    // None stays in an environment.
    let cache = pool
        .half(&format!("{}/again", twins[0]), "root")
        .join("var/cache");
    for name in dress.fetched {
        let found = Command::new("find")
            .arg(&cache)
            .args(["-name", name])
            .output()
            .expect("find is there");
        assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    }
}

fn empty_the_cache(pool: &Pool) {
    fs::remove_dir_all(pool.path().join(".packages")).expect("there are packages");
}

/// Puts the headers rpm wrote into a database as Berkeley DB itself makes it, and away what there was.
const TO_BERKELEY: &str = "
cd /usr/lib/sysimage/rpm
{
    printf 'VERSION=3\\nformat=bytevalue\\ntype=hash\\ndb_pagesize=4096\\nHEADER=END\\n'
    printf ' 00000000\\n 09000000\\n'
    sqlite3 rpmdb.sqlite \"SELECT printf(' %02x000000', hnum) || char(10) || ' ' || lower(hex(blob)) FROM Packages\"
    echo DATA=END
} | db5.3_load Packages
rm rpmdb.sqlite*
";

fn the_old_kind_of_database_says_the_same(pool: &Pool) {
    let netbe = pool.netbe();
    let before = netbe.ok("diff --packages fedora/two");
    ok(
        &netbe,
        &["run", "fedora/two", "--", "sh", "-ec", TO_BERKELEY],
    );
    let rpm = pool.half("fedora/two", "root").join("usr/lib/sysimage/rpm");
    assert!(rpm.join("Packages").exists() && !rpm.join("rpmdb.sqlite").exists());
    assert_eq!(netbe.ok("diff --packages fedora/two"), before);
}

pub(super) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

pub(super) fn put(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().expect("it is below the root"))
        .and_then(|()| fs::write(path, content))
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}
