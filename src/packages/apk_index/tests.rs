//! What apk says, and what its indexes say.

use std::fs;
use std::io::Write;
use std::path::Path;

use proptest::prelude::*;

use super::*;

/// As Alpine 3.23 writes it.
const INDEX: &str = "\
C:Q1Uka+vENytwzifCY+lzVMztGiqKQ=
P:hello
V:1.1-r0
A:x86_64
S:868
I:4096
T:says: hello
D:so:libc.musl-x86_64.so.1

C:Q1GYk67M5Z7t0sh7xn5nP51I04AVY=
P:world
V:2.0_rc1-r3
S:864
";

/// Packs an index as abuild does: a signed part cut off before its end, then the list.
fn packed(text: &str) -> Vec<u8> {
    let part = |name: &str, content: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        let mut tar = tar::Builder::new(Vec::new());
        tar.append_data(&mut header, name, content).unwrap();
        let mut tar = tar.into_inner().unwrap();
        tar.truncate(512 + content.len().next_multiple_of(512));
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&tar).unwrap();
        gz.finish().unwrap()
    };
    let signature = part(".SIGN.RSA.test.rsa.pub", &[7; 256]);
    [signature, part("APKINDEX", text.as_bytes())].concat()
}

fn put(root: &Path, path: &str, content: &[u8]) {
    fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
    fs::write(root.join(path), content).unwrap();
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = |(a, b): &(&str, &str)| ((*a).to_string(), (*b).to_string());
    list.iter().map(own).collect()
}

#[test]
fn what_apk_says_it_would_do() {
    // apk 3.0.8's words; those of 2.14 are the same.
    let text = "\
WARNING: This simulation is not reliable as apk-tools upgrade is available.
( 1/10) Purging dhcpcd-openrc (10.5.2-r1)
( 2/10) Upgrading hello (1.0-r0 -> 1.1-r0)
(3/10) Installing so-what@edge (2.0_git20240101~abcdef-r0)
(4/10) Replacing busybox (1.37.0-r30 -> 1.37.0-r30)
(5/10) Downgrading libretls (3.9.2-r0 -> 3.9.1-r0)
(6/10) Reinstalling musl (1.2.5-r1)
(7/10) Updating pinning musl (1.2.5-r1)
(8/10) Installing --root (1)
(9/10) Installing ../../x (1)
(10/10) Installing x (1/../2)
Executing busybox-1.37.0-r30.trigger
OK: 67.8 MiB in 59 packages
";
    let want = pairs(&[
        ("hello", "1.1-r0"),
        ("so-what", "2.0_git20240101~abcdef-r0"),
        ("busybox", "1.37.0-r30"),
        ("libretls", "3.9.1-r0"),
        ("musl", "1.2.5-r1"),
    ]);
    assert_eq!(told(text), want);
}

#[test]
fn which_versions_of_apk_have_a_cache_that_is_known() {
    for (version, has) in [
        ("2.10.4-r3", true),
        ("2.14.9-r2", true),
        ("3.0.8-r0", true),
        ("3.1_rc1-r0", false),
        ("2.9.1-r2", false),
        ("4.0.0-r0", false),
        ("", false),
        ("3", false),
    ] {
        assert_eq!(has_cache(version), has, "{version}");
    }
}

#[test]
fn what_is_wanted_is_what_an_index_has() {
    let dir = tempfile::tempdir().unwrap();
    let root = Tree::open(dir.path()).unwrap();
    let told = || {
        pairs(&[
            ("hello", "1.1-r0"),
            ("world", "2.0_rc1-r3"),
            ("none", "1-r0"),
        ])
    };
    assert_eq!(wanted(&root, told(), SystemTime::UNIX_EPOCH).unwrap(), []);
    put(
        dir.path(),
        "var/cache/apk/APKINDEX.01234567.tar.gz",
        &packed(INDEX),
    );
    put(
        dir.path(),
        "var/cache/apk/APKINDEX.11234567.tar.gz",
        b"ADBd and more",
    );
    let [hello, world] = wanted(&root, told(), SystemTime::UNIX_EPOCH)
        .unwrap()
        .try_into()
        .unwrap();
    assert_eq!((hello.name.as_str(), hello.size), ("hello", 868));
    // The name apk 3.0.8 gave it in its cache.
    assert_eq!(hello.file, "hello-1.1-r0.5246bebc.apk");
    assert_eq!(world.file, "world-2.0_rc1-r3.19893aec.apk");
    assert!(hello.alone && world.alone);
    // Another repository's, which apk would take only if it were asked to.
    let newer = INDEX
        .replace("V:1.1-r0", "V:1.2-r0")
        .replace("Q1Uka", "Q1Wka");
    put(
        dir.path(),
        "var/cache/apk/APKINDEX.31234567.tar.gz",
        &packed(&newer),
    );
    let found = wanted(&root, told(), SystemTime::UNIX_EPOCH).unwrap();
    let alone: Vec<_> = found
        .iter()
        .map(|apk| (apk.name.as_str(), apk.alone))
        .collect();
    assert_eq!(alone, [("hello", false), ("world", true)]);
    fs::remove_file(dir.path().join("var/cache/apk/APKINDEX.31234567.tar.gz")).unwrap();
    // Two that are called the same: which apk takes is its affair.
    let other = INDEX.replace("Q1Uka", "Q1Vka");
    put(
        dir.path(),
        "var/cache/apk/APKINDEX.21234567.tar.gz",
        &packed(&other),
    );
    let [only] = wanted(&root, told(), SystemTime::UNIX_EPOCH)
        .unwrap()
        .try_into()
        .unwrap();
    assert_eq!(only.name, "world");
    // Of a repository that it has no more.
    let path = dir.path().join("var/cache/apk/APKINDEX.21234567.tar.gz");
    let hour = Duration::from_secs(3600);
    let old = fs::File::options().write(true).open(path).unwrap();
    old.set_modified(SystemTime::now() - hour).unwrap();
    let since = SystemTime::now() - hour / 2;
    assert_eq!(wanted(&root, told(), since).unwrap().len(), 2);
    assert_eq!(wanted(&root, told(), SystemTime::now() + hour).unwrap(), []);
    // A cache of the environment's own: apk looks nowhere else.
    fs::create_dir(dir.path().join("own")).unwrap();
    fs::create_dir_all(dir.path().join("etc/apk")).unwrap();
    std::os::unix::fs::symlink("/own", dir.path().join("etc/apk/cache")).unwrap();
    assert_eq!(wanted(&root, told(), SystemTime::UNIX_EPOCH).unwrap(), []);
    put(dir.path(), "own/APKINDEX.01234567.tar.gz", &packed(INDEX));
    assert_eq!(
        indexes(&root, SystemTime::UNIX_EPOCH).unwrap(),
        ["etc/apk/cache/APKINDEX.01234567.tar.gz"]
    );
    assert_eq!(
        wanted(&root, told(), SystemTime::UNIX_EPOCH).unwrap().len(),
        2
    );
}

#[test]
fn what_makes_no_sense_is_left_out() {
    let read = |text: &str| {
        let mut found = Vec::new();
        let ended = stanzas(text.as_bytes(), &mut |_, apk| found.push(apk.file));
        (found.len(), ended.is_ok())
    };
    assert_eq!(read(INDEX), (2, true));
    for (from, to, left) in [
        ("P:hello", "P:../hello", 1),
        ("P:hello", "P:-hello", 1),
        ("V:1.1-r0", "V:1/1", 1),
        ("S:868", "S:-868", 1),
        ("C:Q1U", "C:Q2U", 1),
        ("C:Q1U", "C:Q1", 1),
        ("C:Q1U", "C:Q1UU", 1),
        ("\n\n", "\n", 1),
        (":", "=", 0),
    ] {
        assert_eq!(read(&INDEX.replace(from, to)), (left, true), "{from} {to}");
    }
    assert_eq!(read(&"x".repeat(2 << 20)), (0, false));
}

proptest! {
    #[test]
    fn any_index_is_read_without_harm(at in 0..900_usize, what: Vec<u8>) {
        let mut index = packed(INDEX);
        let end = index.len();
        index.splice(at.min(end)..(at + what.len()).min(end), what.clone());
        let _ = each(&index[..], &mut |_, _| {});
        let mut text = INDEX.as_bytes().to_vec();
        let end = text.len();
        text.splice(at.min(end)..(at + what.len()).min(end), what);
        let _ = stanzas(&text[..], &mut |_, apk| assert!(!apk.file.contains('/')));
        for (name, version) in told(&String::from_utf8_lossy(&text)) {
            prop_assert!(is_word(&name) && is_word(&version));
        }
    }
}
