//! Alpine's packages and indexes, small ones, packed as abuild and apk do: gzip members one behind another.

use std::io::{Seek, Write};
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::output;

/// Signs the member that follows; what it returns counts only for an apk that knows the key.
pub type Sign<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;

/// The name of the key that everything here is signed with, below `etc/apk/keys`.
pub const KEY: &str = "test.rsa.pub";

/// A package, in parts.
#[derive(Debug, Clone)]
pub struct Package {
    pub name: String,
    pub version: String,
    pub signature: Vec<u8>,
    pub control: Vec<u8>,
    pub data: Vec<u8>,
}

impl Package {
    /// Makes a package with one file, `usr/share/NAME/version`.
    pub fn new(name: &str, version: &str, content: &str, sign: Sign<'_>) -> Self {
        let mut data = Tar::new();
        for directory in ["usr", "usr/share", &format!("usr/share/{name}")] {
            data.add(directory, tar::EntryType::Directory, b"");
        }
        let sum = sha1(content.as_bytes(), "od -An -v -tx1 | tr -d ' \\n'");
        // "LENGTH KEY=VALUE"; apk takes a header without a name for the end.
        let attribute = format!("68 APK-TOOLS.checksum.SHA1={sum}\n");
        data.add(
            "PaxHeaders/version",
            tar::EntryType::XHeader,
            attribute.as_bytes(),
        );
        let file = format!("usr/share/{name}/version");
        data.add(&file, tar::EntryType::Regular, content.as_bytes());
        let data = gzip(&data.whole());
        let sum = hex(&Sha256::digest(&data));
        let info = format!(
            "pkgname = {name}\npkgver = {version}\npkgdesc = {name}\nurl = http://example.org\nbuilddate = 1700000000\n\
             packager = nobody\nsize = 4096\narch = x86_64\norigin = {name}\nlicense = MIT\ndatahash = {sum}\n"
        );
        let control = gzip(&one(".PKGINFO", info.as_bytes()));
        Self {
            name: name.to_string(),
            version: version.to_string(),
            signature: signature(&control, sign),
            control,
            data,
        }
    }

    /// Returns what lies in a repository.
    pub fn whole(&self) -> Vec<u8> {
        [&self.signature[..], &self.control, &self.data].concat()
    }

    /// Returns its name in a repository.
    pub fn file(&self) -> String {
        format!("{}-{}.apk", self.name, self.version)
    }
}

/// Makes a repository's `APKINDEX.tar.gz`.
pub fn index(packages: &[Package], sign: Sign<'_>) -> Vec<u8> {
    let stanza = |package: &Package| {
        format!(
            "C:Q1{}\nP:{}\nV:{}\nA:x86_64\nS:{}\nI:4096\nT:{1}\nU:http://example.org\nL:MIT\no:{1}\nm:nobody\n\
             t:1700000000\n\n",
            sha1(&package.control, "base64"),
            package.name,
            package.version,
            package.whole().len()
        )
    };
    let list: String = packages.iter().map(stanza).collect();
    let mut tar = Tar::new();
    tar.add("DESCRIPTION", tar::EntryType::Regular, b"made by a test");
    tar.add("APKINDEX", tar::EntryType::Regular, list.as_bytes());
    let index = gzip(&tar.whole());
    [signature(&index, sign), index].concat()
}

/// Returns a SHA-1 as a program writes it.
fn sha1(content: &[u8], written_by: &str) -> String {
    let mut file = tempfile::tempfile().expect("it is writable");
    file.write_all(content)
        .and_then(|()| file.rewind())
        .expect("it is writable");
    let script = format!("openssl dgst -sha1 -binary | {written_by}");
    let sum = output(Command::new("sh").args(["-c", &script]).stdin(file));
    String::from_utf8(sum)
        .expect("it is ASCII")
        .trim()
        .to_string()
}

fn signature(of: &[u8], sign: Sign<'_>) -> Vec<u8> {
    gzip(&one(&format!(".SIGN.RSA.{KEY}"), &sign(of)))
}

struct Tar(tar::Builder<Vec<u8>>);

impl Tar {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn add(&mut self, name: &str, kind: tar::EntryType, content: &[u8]) {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_700_000_000);
        let added = self.0.append_data(&mut header, name, content);
        added.expect("it is in memory");
    }

    fn whole(self) -> Vec<u8> {
        self.0.into_inner().expect("it is in memory")
    }
}

/// Makes an archive of one file and cuts off its end, so that the next one is its continuation.
fn one(name: &str, content: &[u8]) -> Vec<u8> {
    let mut tar = Tar::new();
    tar.add(name, tar::EntryType::Regular, content);
    let mut tar = tar.whole();
    tar.truncate(tar.len() - 1024);
    tar
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::default());
    gz.write_all(plain)
        .and_then(|()| gz.finish())
        .expect("it is in memory")
}

fn hex(sum: &[u8]) -> String {
    sum.iter().map(|b| format!("{b:02x}")).collect()
}
