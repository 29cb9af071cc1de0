//! Alpine's package manager, the real one: apk 3.0, as Alpine has built it, with a repository of a few small packages.
//!
//! The system around it is a stand-in. Of apk 2 there is none to be had: `tests/upgrade/alpine.rs` has a stand-in for
//! it, which does what its source does.

// Tests say with a panic what went wrong; clippy knows only functions marked as tests.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

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

/// Makes, in a directory, repositories of a first and a second state, signed by a key of their own.
fn repositories(top: &Path) {
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
    };
    state("1", "1.0_rc1", "2");
    state("2", "1.0", "1");
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
    repositories(&top);
    let key = fs::read_to_string(top.join(KEY)).unwrap();
    system(&key).build(&pool.beside().join("system"));
    let netbe = pool.netbe();
    netbe.ok("import base/stock system");
    let mirror = Mirror::of(top);
    mirror.admit(&netbe);
    managers::upgrade(&pool, &ALPINE, &mirror);
    netbe.ok("check");
}
