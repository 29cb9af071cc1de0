//! What a distribution's repositories offer, by the indexes that its package manager has fetched.
//!
//! pacman's sync databases and rpm-md's `primary.xml`: each names the file of a package, its size and its SHA-256.
//! Read from a stream, bounded, a package at a time. What an index says holds for the environment it lies in and for
//! nobody else. Fetches nothing.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::apt::{Archive, sha256};
use super::distribution::Family;
use crate::formats::compression::Compression;
use crate::fs::interrupt;
use crate::fs::rooted::Tree;

/// How much is read of all indexes together, in bytes, unpacked: ten times what Fedora has.
const LIMIT: u64 = 4 << 30;
/// How many indexes are read: more than anybody has repositories, and not as many as a directory may hold.
const INDEXES: usize = 256;
/// How deep an index may nest its tags, which are remembered until they end; theirs go to five.
const DEPTH: usize = 64;
/// How much of one package's description is read at once, in bytes.
const DESCRIPTION_LIMIT: u64 = 1 << 20;

/// Where dnf is told to keep what it fetches, beneath the directory for packages.
pub(super) const DNF: &str = "dnf";
/// Where zypper is told to keep packages, beneath the directory for packages.
pub(super) const ZYPP: &str = "zypp";

/// Returns which of the packages that the repositories offer are wanted, and where their package manager looks for
/// each beneath the directory for packages.
///
/// # Errors
/// When an index cannot be read, or makes no sense.
pub(super) fn offered(
    family: Family,
    root: &Tree,
    packages: &Tree,
    wanted: &dyn Fn(&[u8; 32]) -> bool,
) -> io::Result<Vec<Archive>> {
    let ration = Ration::new();
    let mut found = Vec::new();
    let mut offer = |archive: Archive| {
        if wanted(&archive.sha256) && is_inside(&archive.file) {
            found.push(archive);
        }
    };
    match family {
        Family::Arch => {
            const SYNC: &str = "var/lib/pacman/sync";
            for name in root.names(SYNC)?.into_iter().take(INDEXES) {
                if name.ends_with(".db")
                    && let Some(index) = open(root, &format!("{SYNC}/{name}"), &ration)?
                {
                    pacman(index, &mut offer)?;
                }
            }
        }
        Family::Fedora => {
            for repository in packages.names(DNF)?.into_iter().take(INDEXES) {
                let metadata = format!("{DNF}/{repository}/repodata");
                each_primary(packages, &metadata, &ration, &mut |path, mut archive| {
                    let (_, file) = path.rsplit_once('/').unwrap_or(("", path));
                    archive.file = format!("{DNF}/{repository}/packages/{file}");
                    offer(archive);
                })?;
            }
        }
        Family::Suse => {
            const RAW: &str = "var/cache/zypp/raw";
            for repository in root.names(RAW)?.into_iter().take(INDEXES) {
                let metadata = format!("{RAW}/{repository}/repodata");
                each_primary(root, &metadata, &ration, &mut |path, mut archive| {
                    archive.file = format!("{ZYPP}/{repository}/{path}");
                    offer(archive);
                })?;
            }
        }
        Family::Debian | Family::Alpine | Family::Unknown => {}
    }
    Ok(found)
}

/// An index is a node's own: a path in it can say anything.
fn is_inside(path: &str) -> bool {
    path.len() < 1024
        && !path.contains('\0')
        && path
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
}

/// How much may still be read of the indexes that are looked through, in bytes.
#[derive(Debug, Clone)]
struct Ration(Rc<Cell<u64>>);

impl Ration {
    fn new() -> Self {
        Self(Rc::new(Cell::new(LIMIT)))
    }
}

/// Reads until a ration is used up.
struct Rationed<R> {
    inner: R,
    ration: Ration,
}

impl<R: Read> Read for Rationed<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        interrupt::check_io()?;
        let left = self.ration.0.get();
        let most = usize::try_from(left).map_or(buf.len(), |left| buf.len().min(left));
        if most == 0 && !buf.is_empty() {
            return Err(io::Error::other(
                "the indexes are larger than 4 GiB together",
            ));
        }
        let count = self.inner.read(&mut buf[..most])?;
        self.ration.0.set(left - count as u64);
        Ok(count)
    }
}

/// Opens an index, packed or not, to read it unpacked; `None` where there is none.
fn open(tree: &Tree, path: &str, ration: &Ration) -> io::Result<Option<Box<dyn BufRead>>> {
    let Some(file) = tree.open_file(path)? else {
        return Ok(None);
    };
    let mut file = BufReader::new(interrupt::Reader::new(file));
    let plain: Box<dyn Read> = match Compression::of(file.fill_buf()?) {
        Some(how) => how.reader(file).map_err(io::Error::other)?,
        None => Box::new(file),
    };
    Ok(Some(Box::new(BufReader::new(Rationed {
        inner: plain,
        ration: ration.clone(),
    }))))
}

fn each_primary(
    tree: &Tree,
    metadata: &str,
    ration: &Ration,
    offer: &mut dyn FnMut(&str, Archive),
) -> io::Result<()> {
    let is_one = |name: &String| name.contains("primary.xml");
    for name in tree.names(metadata)?.into_iter().filter(is_one).take(4) {
        if let Some(index) = open(tree, &format!("{metadata}/{name}"), ration)? {
            rpm_md(index, offer)?;
        }
    }
    Ok(())
}

/// Reads a sync database: an archive with a file `NAME-VERSION/desc` for each package.
fn pacman(index: impl Read, offer: &mut dyn FnMut(Archive)) -> io::Result<()> {
    // Raw: names are short, and a long one would be held in memory whatever its length.
    for entry in tar::Archive::new(index).entries()?.raw(true) {
        let entry = entry?;
        if !entry.path_bytes().ends_with(b"/desc") {
            continue;
        }
        let mut text = Vec::new();
        entry.take(DESCRIPTION_LIMIT).read_to_end(&mut text)?;
        if let Some(archive) = described(&String::from_utf8_lossy(&text)) {
            offer(archive);
        }
    }
    Ok(())
}

/// Reads one package's `desc`: a line `%NAME%`, the lines that it stands for, an empty line.
fn described(text: &str) -> Option<Archive> {
    let field = |name: &str| {
        let mut lines = text.lines().skip_while(|line| *line != name);
        lines.nth(1).map(str::trim)
    };
    let file = field("%FILENAME%")?;
    (!file.contains('/')).then_some(Archive {
        file: file.to_string(),
        size: field("%CSIZE%")?.parse().ok()?,
        sha256: sha256(field("%SHA256SUM%")?)?,
    })
}

/// What is said of one package of a `primary.xml`.
#[derive(Debug, Default)]
struct Said {
    path: Option<String>,
    size: Option<u64>,
    sha256: Option<[u8; 32]>,
}

/// Reads a `primary.xml`; each package comes with its path in the repository.
fn rpm_md(index: impl BufRead, offer: &mut dyn FnMut(&str, Archive)) -> io::Result<()> {
    let mut reader = Reader::from_reader(index.take(0));
    let (mut buffer, mut said, mut in_checksum) = (Vec::new(), Said::default(), false);
    let mut depth = 0usize;
    loop {
        buffer.clear();
        // A tag or a text is held in memory.
        reader.get_mut().set_limit(DESCRIPTION_LIMIT);
        let event = reader.read_event_into(&mut buffer);
        let event = event.map_err(io::Error::other)?;
        match event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH {
            return Err(io::Error::other("its tags are nested too deep"));
        }
        match event {
            Event::Start(tag) | Event::Empty(tag) => match tag.local_name().as_ref() {
                "package" => said = Said::default(),
                "checksum" => in_checksum = attribute(&tag, "type").as_deref() == Some("sha256"),
                "size" => said.size = attribute(&tag, "package").and_then(|n| n.parse().ok()),
                "location" => said.path = attribute(&tag, "href"),
                _ => {}
            },
            Event::Text(text) if in_checksum => {
                said.sha256 = sha256(text.trim());
            }
            Event::End(tag) => match tag.local_name().as_ref() {
                "checksum" => in_checksum = false,
                "package" => {
                    if let Said {
                        path: Some(path),
                        size: Some(size),
                        sha256: Some(sha256),
                    } = std::mem::take(&mut said)
                    {
                        let archive = Archive {
                            file: String::new(),
                            size,
                            sha256,
                        };
                        offer(&path, archive);
                    }
                }
                _ => {}
            },
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = tag.try_get_attribute(name).ok()??;
    let value = found.normalized_value(XmlVersion::Implicit1_0).ok()?;
    Some(value.into_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use proptest::prelude::*;

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

    /// What is offered where root and packages are one directory.
    fn of(family: Family, files: &[(&str, Vec<u8>)]) -> Vec<(String, u64)> {
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
    fn what_dnf_and_zypper_are_offered() {
        let packed = zstd::encode_all(primary().as_bytes(), 1).unwrap();
        let dnf = "dnf/fedora-0a1b/repodata/ff-primary.xml.zst";
        assert_eq!(
            of(Family::Fedora, &[(dnf, packed.clone())]),
            [
                ("dnf/fedora-0a1b/packages/a-1&2-1.noarch.rpm".into(), 1234),
                ("dnf/fedora-0a1b/packages/x.rpm".into(), 1),
            ]
        );
        let zypp = "var/cache/zypp/raw/repo-oss/repodata/ff-primary.xml.zst";
        assert_eq!(
            of(Family::Suse, &[(zypp, packed)]),
            [("zypp/repo-oss/Packages/a/a-1&2-1.noarch.rpm".into(), 1234)]
        );
    }

    #[test]
    fn what_pacman_is_offered() {
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
            of(Family::Arch, &[("var/lib/pacman/sync/core.db", db)]),
            [("hello-1-1-any.pkg.tar.zst".into(), 77)]
        );
    }

    #[test]
    fn what_nests_without_end_is_refused() {
        let text = "<a>".repeat(1 << 20);
        let said = rpm_md(text.as_bytes(), &mut |_, _| {}).unwrap_err();
        assert!(said.to_string().contains("nested too deep"), "{said}");
    }

    #[test]
    fn all_indexes_together_have_an_end() {
        let dir = tempfile::tempdir().unwrap();
        fs::File::create(dir.path().join("index"))
            .unwrap()
            .set_len(1 << 42)
            .unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        let ration = Ration(Rc::new(Cell::new(3 << 20)));
        for (want, ends) in [(2 << 20, false), (1 << 20, true)] {
            let index = open(&tree, "index", &ration).unwrap().unwrap();
            let mut index = index.take(2 << 20);
            let read = io::copy(&mut index, &mut io::sink());
            assert_eq!(read.is_err(), ends, "{want}");
        }
    }

    proptest! {
        #[test]
        fn any_index_is_read_without_harm(at in 0..900_usize, what: Vec<u8>) {
            let mut text = primary().into_bytes();
            let at = at.min(text.len());
            text.splice(at..(at + what.len()).min(text.len()), what);
            let _ = rpm_md(&text[..], &mut |_, _| {});
            let _ = pacman(&text[..], &mut |_| {});
        }
    }
}
