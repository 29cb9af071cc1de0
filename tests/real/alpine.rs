//! Alpine's package manager, the real one: apk 3.0, as Alpine has built it, with a repository of a few small packages.
//!
//! The system around it is a stand-in. Of apk 2 there is none to be had: `tests/upgrade/alpine.rs` has a stand-in for
//! it, which does what its source does.

// Tests say with a panic what went wrong; clippy knows only functions marked as tests.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use sha2::{Digest, Sha256};

use super::managers::{self, Dress};
use super::mirror::Mirror;
use super::support::alpine::{KEY, Package, index};
use super::support::{Pool, System, output};

const ALPINE: Dress = Dress {
    node: "alpine",
    os_release: "ID=alpine\nVERSION_ID=3.23.6\nPRETTY_NAME=\"Alpine Linux v3.23\"\n",
    files: &[("etc/apk/repositories", "MIRROR/1\n")],
    names_repository: "etc/apk/repositories",
    install: "apk add --initdb apk-tools hello world",
    table: &[["hello", "1.0_rc1-r0", "1.0-r0"], ["world", "2-r0", "1-r0"]],
    // One upgraded, one taken back to what the repository has.
    fetched: &["hello-1.0-r0.apk", "world-1-r0.apk"],
};

/// Makes, in a directory, repositories of a first and a second state, signed by a key of their own, and returns the
/// packages of the second.
fn repositories(top: &Path) -> Vec<Package> {
    let key = top.join("key");
    let openssl = |arguments: &[&str]| {
        let mut command = Command::new("openssl");
        command.args(arguments).current_dir(top);
        output(command.stderr(Stdio::null()))
    };
    fs::create_dir_all(top).unwrap();
    openssl(&["genrsa", "-out", "key", "2048"]);
    openssl(&["rsa", "-in", "key", "-pubout", "-out", KEY]);
    let sign = |content: &[u8]| {
        fs::write(top.join("signed"), content).unwrap();
        openssl(&["dgst", "-sha1", "-sign", key.to_str().unwrap(), "signed"])
    };
    // A version of apk-tools that is what really runs there.
    let tools = Package::new("apk-tools", "3.0.8-r0", "", &sign);
    let state = |number: &str, hello: &str, world: &str| {
        let packages = vec![
            tools.clone(),
            Package::new(
                "hello",
                &format!("{hello}-r0"),
                &format!("{hello}\n"),
                &sign,
            ),
            Package::new(
                "world",
                &format!("{world}-r0"),
                &format!("{world}\n"),
                &sign,
            ),
        ];
        let directory = top.join(number).join("x86_64");
        fs::create_dir_all(&directory).unwrap();
        for package in &packages {
            fs::write(directory.join(package.file()), package.whole()).unwrap();
        }
        let index = index(&packages, &sign);
        fs::write(directory.join("APKINDEX.tar.gz"), index).unwrap();
        packages
    };
    state("1", "1.0_rc1", "2");
    state("2", "1.0", "1")
}

/// Returns a system whose package manager is apk.
fn system(key: &str) -> System {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/apk");
    let made = output(Command::new(script).stderr(Stdio::inherit()));
    let apk = Path::new(std::str::from_utf8(&made).unwrap().trim());
    let mut system = System::debian()
        .without("var/lib/dpkg")
        .program("usr/sbin/apk", &fs::read(apk.join("usr/sbin/apk")).unwrap())
        .file("etc/apk/arch", "x86_64\n")
        .file(&format!("etc/apk/keys/{KEY}"), key);
    for entry in fs::read_dir(apk.join("usr/lib")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let library = format!("usr/lib/{name}");
        let content = fs::read(apk.join(&library)).unwrap();
        system = system.program(&library, &content);
    }
    system
}

#[test]
fn alpine_is_upgraded_by_the_real_apk() {
    let pool = Pool::new();
    let top = pool.beside().join("repositories");
    let packages = repositories(&top);
    let key = fs::read_to_string(top.join(KEY)).unwrap();
    system(&key).build(&pool.beside().join("system"));
    let netbe = pool.netbe();
    netbe.ok("import base/stock system");
    repositories_of_apk_3(&pool.beside().join("system"), &top);
    let mirror = Mirror::of(top);
    mirror.admit(&netbe);
    managers::upgrade(&pool, &ALPINE, &mirror);
    managers::each_package_is_downloaded_once(&pool, &ALPINE, &mirror);
    what_a_node_put_there_spoils_nothing(&pool, &packages, &mirror);
    what_is_of_apk_3s_own_format_is_downloaded(&pool, &mirror);
    netbe.ok("check");
}

/// One more node in the first state, where the pool has packages that apk would fail at: it does not come to see them.
fn what_a_node_put_there_spoils_nothing(pool: &Pool, packages: &[Package], mirror: &Mirror) {
    let netbe = pool.netbe();
    let cache = pool.path().join(".packages");
    for file in fs::read_dir(&cache).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    let plant = |content: &[u8]| {
        let name = Sha256::digest(content);
        let name: String = name.iter().map(|b| format!("{b:02x}")).collect();
        fs::write(cache.join(name), content).unwrap();
    };
    let [_, hello, world] = packages else {
        panic!("there are three");
    };
    // As long as it should be, known by what the index names, and other data in it.
    let mut other = hello.whole();
    *other.last_mut().unwrap() ^= 1;
    plant(&other);
    // Another signature: apk reads it although it does not count, and cannot.
    let mut other = world.whole();
    let at = world.signature.len() / 2;
    other[at] ^= 0xff;
    plant(&other);
    netbe.ok("create alpine-c/one --from alpine/one");
    let outcome = netbe.run("upgrade --node alpine-c --name two");
    assert_eq!(outcome.status, 0, "{outcome:#?}");
    // Where it cannot have from the pool what is there, it says why.
    assert!(!outcome.stderr.contains("downloaded"), "{outcome:#?}");
    let mut fetched = mirror.fetched();
    fetched.sort();
    assert_eq!(fetched, ALPINE.fetched);
    let root = pool.half("alpine-c/two", "root");
    let version = fs::read_to_string(root.join("usr/share/hello/version")).unwrap();
    assert_eq!(version, "1.0\n");
}

/// Makes, in a directory, repositories of one package in a first and a second state, in a format that only apk 3 knows
/// and makes.
fn repositories_of_apk_3(system: &Path, top: &Path) {
    const MAKE: &str = "cd /srv && mkdir -p files/usr/share/three
        for version in 1 2; do
            echo $version > files/usr/share/three/version
            apk mkpkg --sign-key key --files files --output three-$version-r0.apk --info name:three \\
                --info version:$version-r0 --info arch:x86_64 --info description:three --info license:MIT
            apk mkndx --sign-key key --output $version.adb three-$version-r0.apk
        done";
    fs::copy(top.join("key"), system.join("srv/key")).unwrap();
    let mut chroot = Command::new("chroot");
    output(chroot.arg(system).args(["/bin/sh", "-ec", MAKE]));
    for entry in fs::read_dir(system.join("srv")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, top.join(path.file_name().unwrap())).unwrap();
        }
    }
}

/// Two nodes one after another, of which each downloads for itself: what their index says is not known to netbe.
fn what_is_of_apk_3s_own_format_is_downloaded(pool: &Pool, mirror: &Mirror) {
    let netbe = pool.netbe();
    netbe.ok("create three/one --from alpine/one");
    let repository = |environment: &str, number: u8| {
        let file = pool.half(environment, "root").join("etc/apk/repositories");
        fs::write(file, format!("{}/{number}.adb\n", mirror.url())).unwrap();
    };
    repository("three/one", 1);
    let add = "apk del hello world && apk add three";
    let arguments = [
        "upgrade",
        "three/one",
        "--name",
        "two",
        "-a",
        "--",
        "sh",
        "-c",
        add,
    ];
    assert_eq!(netbe.run_with(&arguments).status, 0);
    repository("three/two", 2);
    netbe.ok("create more/two --from three/two");
    mirror.fetched();
    for node in ["three", "more"] {
        let outcome = netbe.run(&format!("upgrade --node {node} --name new"));
        assert_eq!(outcome.status, 0, "{outcome:#?}");
        assert!(!outcome.stderr.contains("downloaded"), "{outcome:#?}");
        let root = pool.half(&format!("{node}/new"), "root");
        let version = fs::read_to_string(root.join("usr/share/three/version")).unwrap();
        assert_eq!(version, "2\n");
        assert_eq!(mirror.fetched(), ["three-2-r0.apk"]);
    }
}
