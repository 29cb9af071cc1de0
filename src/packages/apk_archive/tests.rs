//! What is taken for a package of Alpine's, and what is not.

use std::io::Write;

use proptest::prelude::*;

use super::*;

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gz.write_all(plain).unwrap();
    gz.finish().unwrap()
}

/// Makes an archive of one file, cut off before its end.
fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_700_000_000);
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_data(&mut header, name, content).unwrap();
    let mut tar = tar.into_inner().unwrap();
    tar.truncate(BLOCK + content.len().next_multiple_of(BLOCK));
    tar
}

fn hex(sum: impl AsRef<[u8]>) -> String {
    sum.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

const SIGNATURE: &str = ".SIGN.RSA.test@example.org-0123.rsa.pub";

/// A package in its three parts.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) signature: Vec<u8>,
    pub(crate) control: Vec<u8>,
    pub(crate) data: Vec<u8>,
}

impl Parts {
    /// Packs one as abuild does.
    pub(crate) fn new(content: &[u8]) -> Self {
        let data = gzip(&[tar("usr", content), vec![0; 1024]].concat());
        let sum = hex(Sha256::digest(&data));
        let info = format!("# made by hand\npkgname = hello\ndatahash = {sum}\n");
        let script = tar(".post-install", b"#!/bin/sh\n");
        Self {
            signature: gzip(&tar(SIGNATURE, &[7; 256])),
            control: gzip(&[tar(".PKGINFO", info.as_bytes()), script].concat()),
            data,
        }
    }

    pub(crate) fn whole(&self) -> Vec<u8> {
        [&self.signature[..], &self.control, &self.data].concat()
    }

    pub(crate) fn sum(&self) -> [u8; 20] {
        Sha1::digest(&self.control).into()
    }
}

/// Returns the checksum by which a package is known, where apk would find nothing wrong with it.
fn known(package: &[u8]) -> Option<[u8; 20]> {
    let mut package = package;
    let head = ApkHead::read(&mut package)?;
    head.holds(&mut package).unwrap().then_some(head.control)
}

#[test]
fn a_package_is_known_by_its_control_part() {
    let parts = Parts::new(b"content");
    assert_eq!(known(&parts.whole()), Some(parts.sum()));
    // apk asks nothing of signatures of what its index names, nor that there is one.
    let unsigned = [&parts.control[..], &parts.data].concat();
    assert_eq!(known(&unsigned), Some(parts.sum()));
    let twice = [&parts.signature[..], &parts.whole()].concat();
    assert_eq!(known(&twice), Some(parts.sum()));
    let two = gzip(&[tar(SIGNATURE, &[1; 512]), tar(SIGNATURE, b"2")].concat());
    assert_eq!(known(&[two, unsigned].concat()), Some(parts.sum()));
    // Read in small bites, as from a file.
    let whole = parts.whole();
    for bite in [1, 2, 7, 100] {
        let mut file = io::BufReader::with_capacity(bite, &whole[..]);
        let head = ApkHead::read(&mut file);
        // Of what a signature begins with that much must be seen at once.
        assert_eq!(head.is_some(), bite > 3, "{bite}");
        assert!(head.is_none_or(|head| head.holds(&mut file).unwrap()));
    }
}

#[test]
fn what_apk_would_find_wrong_is_not_known() {
    let parts = Parts::new(b"content");
    let other = Parts::new(b"another");
    let signed = |signature: Vec<u8>| {
        let signature = gzip(&signature);
        let parts = parts.clone();
        Parts { signature, ..parts }.whole()
    };
    let good = tar(SIGNATURE, &[7; 256]);
    let changed = |at: usize, byte: u8| {
        let mut tar = good.clone();
        tar[at] = byte;
        let mut header = tar::Header::new_old();
        header.as_mut_bytes().copy_from_slice(&tar[..BLOCK]);
        header.set_cksum();
        tar[..BLOCK].copy_from_slice(header.as_bytes());
        signed(tar)
    };
    let mut wrong = good.clone();
    wrong[100] = b'1';
    assert!(known(&signed(good.clone())).is_some());
    assert!(known(&changed(100, b'1')).is_some());
    let mixed = Parts {
        data: other.data.clone(),
        ..parts.clone()
    };
    let cut = parts.whole().len() - 1;
    for (what, package) in [
        ("nothing", vec![]),
        ("other data", mixed.whole()),
        ("data cut short", parts.whole()[..cut].to_vec()),
        (
            "something behind the data",
            [parts.whole(), vec![0]].concat(),
        ),
        ("no data", [&parts.signature[..], &parts.control].concat()),
        ("a signature alone", parts.signature.clone()),
        ("a signature without end", signed(good[..700].to_vec())),
        (
            "an end in the signature",
            signed([&good[..], &[0; 1024]].concat()),
        ),
        (
            "something more in it",
            signed([good.clone(), tar("x", b"x")].concat()),
        ),
        (
            "a name with a slash",
            signed(tar(".SIGN.RSA./x", &[7; 256])),
        ),
        (
            "a name that is long",
            signed(tar(&format!(".SIGN.{}", "x/".repeat(60)), b"")),
        ),
        ("a wrong checksum", signed(wrong)),
        ("a link", changed(156, b'2')),
        ("another magic", changed(257, b'v')),
        ("a second half of a name", changed(345, b'x')),
        ("something behind its name", changed(99, b'x')),
        ("a device without a number", changed(330, b'1')),
        ("an owner nobody can be called", changed(265, 0xff)),
        ("a size of another kind", changed(124, 0x80)),
        (
            "five signatures",
            [parts.signature.repeat(5), parts.whole()].concat(),
        ),
        ("no gzip", b"!<arch>\ndebian-binary".to_vec()),
        ("apk 3's own", b"ADBd....".to_vec()),
    ] {
        assert_eq!(known(&package), None, "{what}");
    }
    let mut flagged = parts.whole();
    flagged[3] = 2;
    assert_eq!(
        known(&flagged),
        None,
        "a gzip header that is read in two ways"
    );
}

#[test]
fn control_that_says_nothing_or_two_things_of_the_data_is_not_known() {
    let parts = Parts::new(b"content");
    let sum = hex(Sha256::digest(&parts.data));
    for (info, is_known) in [
        (format!("datahash = {sum}\n"), true),
        (format!("datahash = {sum}"), true),
        (String::new(), false),
        (format!("datahash={sum}\n"), false),
        (format!("datahash = {}\n", &sum[1..]), false),
        (format!("datahash = {sum}\ndatahash = {sum}\n"), false),
    ] {
        let control = gzip(&tar(".PKGINFO", info.as_bytes()));
        let package = [control, parts.data.clone()].concat();
        assert_eq!(known(&package).is_some(), is_known, "{info}");
    }
    let control = gzip(&tar(".pkginfo", format!("datahash = {sum}\n").as_bytes()));
    assert_eq!(known(&[control, parts.data].concat()), None);
}

#[test]
fn a_control_part_of_any_size_takes_no_more_memory_than_one_may() {
    let bomb = gzip(&vec![b'.'; usize::try_from(CONTROL_LIMIT).unwrap() + 1]);
    assert!(bomb.len() < 100_000);
    assert_eq!(known(&bomb), None);
}

proptest! {
    #[test]
    fn what_was_changed_is_not_known_by_the_same_checksum(at in 0..2000_usize, to: u8) {
        let parts = Parts::new(b"content");
        let mut package = parts.whole();
        let at = at % package.len();
        let same = package[at] == to;
        package[at] = to;
        // The time in a signature's gzip header, and what is in the signature, mean nothing.
        if at >= parts.signature.len() {
            prop_assert_eq!(known(&package) == Some(parts.sum()), same);
        } else {
            let _ = known(&package);
        }
    }

    #[test]
    fn anything_is_read_without_harm(at in 0..2000_usize, what: Vec<u8>) {
        let mut package = Parts::new(b"content").whole();
        let end = package.len();
        package.splice(at.min(end)..(at + what.len()).min(end), what.clone());
        let _ = known(&package);
        let _ = known(&what);
        let mut tar = tar(SIGNATURE, &[7; 256]);
        let end = tar.len();
        tar.splice(at.min(end)..(at + what.len()).min(end), what);
        let _ = (is_signatures(&tar), data_checksum(&tar));
    }
}
