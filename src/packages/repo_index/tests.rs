use std::fs;
use std::path::Path;

use proptest::prelude::*;

use super::super::apt::sha256;
use super::*;

const HEX: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

const PRIMARY: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="2">
<package type="rpm">
  <name>a</name><arch>noarch</arch><version epoch="0" ver="1" rel="1"/>
  <checksum type="sha256" pkgid="YES">HEX</checksum>
  <summary>one &amp; only</summary>
  <size package="1234" installed="5" archive="6"/>
  <location href="Packages/a/a-1&amp;2-1.noarch.rpm"/>
  <format><rpm:license>MIT</rpm:license></format>
</package>
<package type="rpm">
  <name>old</name><checksum type="sha" pkgid="YES">da39a3ee5e6b4b0d3255bfef95601890afd80709</checksum>
  <size package="1"/><location href="old.rpm"/>
</package>
<package type="rpm"><name>out</name><checksum type="sha256">HEX</checksum>
  <size package="1"/><location href="../../../etc/x.rpm"/></package>
</metadata>
"#;

fn primary() -> String {
    PRIMARY.replace("HEX", HEX)
}

fn put(root: &Path, path: &str, content: &[u8]) {
    fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
    fs::write(root.join(path), content).unwrap();
}

/// Returns the packages found with root and download directory in one.
fn offers(family: Family, files: &[(&str, Vec<u8>)]) -> Vec<(String, u64)> {
    let dir = tempfile::tempdir().unwrap();
    for (path, content) in files {
        put(dir.path(), path, content);
    }
    let tree = Tree::open(dir.path()).unwrap();
    let found = offered(family, &tree, &tree, &|_| true).unwrap();
    let what = |a: Archive| {
        assert_eq!(Some(a.sha256), sha256(HEX));
        (a.file, a.size)
    };
    found.into_iter().map(what).collect()
}

#[test]
fn the_number_of_packages_is_limited() {
    let (head, rest) = PRIMARY.split_once("<package").unwrap();
    let (one, _) = rest.split_once("</package>").unwrap();
    let many = format!("<package{one}</package>").repeat(OFFERS + 1);
    let many = format!("{head}{many}</metadata>").replace("HEX", HEX);
    let found = offers(
        Family::Fedora,
        &[("dnf/r-1/repodata/primary.xml", many.into_bytes())],
    );
    assert_eq!(found.len(), OFFERS);
}

#[test]
fn indexes_of_dnf_and_zypper_are_parsed() {
    let packed = zstd::encode_all(primary().as_bytes(), 1).unwrap();
    let dnf = "dnf/fedora-0a1b/repodata/ff-primary.xml.zst";
    assert_eq!(
        offers(Family::Fedora, &[(dnf, packed.clone())]),
        [
            ("dnf/fedora-0a1b/packages/a-1&2-1.noarch.rpm".into(), 1234),
            ("dnf/fedora-0a1b/packages/x.rpm".into(), 1),
        ]
    );
    let zypp = "var/cache/zypp/raw/repo-oss/repodata/ff-primary.xml.zst";
    assert_eq!(
        offers(Family::Suse, &[(zypp, packed)]),
        [("zypp/repo-oss/Packages/a/a-1&2-1.noarch.rpm".into(), 1234)]
    );
}

#[test]
fn indexes_of_pacman_are_parsed() {
    let mut db = tar::Builder::new(Vec::new());
    for (name, text) in [
        (
            "hello-1-1/desc",
            format!(
                "%FILENAME%\nhello-1-1-any.pkg.tar.zst\n\n%NAME%\nhello\n\n%CSIZE%\n77\n\n%SHA256SUM%\n{HEX}\n\n"
            ),
        ),
        ("hello-1-1/files", "%FILES%\nusr/\n".to_string()),
        (
            "bad-1-1/desc",
            format!("%FILENAME%\n../x.pkg.tar.zst\n\n%CSIZE%\n77\n\n%SHA256SUM%\n{HEX}\n"),
        ),
        ("cut-1-1/desc", "%FILENAME%\n".to_string()),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        db.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    let db = db.into_inner().unwrap();
    assert_eq!(
        offers(Family::Arch, &[("var/lib/pacman/sync/core.db", db)]),
        [("hello-1-1-any.pkg.tar.zst".into(), 77)]
    );
}

#[test]
fn deep_nesting_is_refused() {
    let text = "<a>".repeat(1 << 20);
    let said = rpm_md::offered(text.as_bytes(), &mut |_, _| {}).unwrap_err();
    assert!(said.to_string().contains("nested too deep"), "{said}");
}

#[test]
fn the_size_of_all_indexes_is_limited() {
    let dir = tempfile::tempdir().unwrap();
    fs::File::create(dir.path().join("index"))
        .unwrap()
        .set_len(1 << 42)
        .unwrap();
    let tree = Tree::open(dir.path()).unwrap();
    let budget = Budget(Rc::new(Cell::new(3 << 20)));
    for (want, ends) in [(2 << 20, false), (1 << 20, true)] {
        let index = open(&tree, "index", &budget).unwrap().unwrap();
        let mut index = index.take(2 << 20);
        let read = io::copy(&mut index, &mut io::sink());
        assert_eq!(read.is_err(), ends, "{want}");
    }
}

proptest! {
    #[test]
    fn any_index_is_parsed_without_panic(at in 0..900_usize, what: Vec<u8>) {
        let mut text = primary().into_bytes();
        let at = at.min(text.len());
        text.splice(at..(at + what.len()).min(text.len()), what);
        let _ = rpm_md::offered(&text[..], &mut |_, _| {});
        let _ = pacman::offered(&text[..], &mut |_| {});
    }
}
