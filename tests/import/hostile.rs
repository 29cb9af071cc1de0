//! Archives that want out.

use std::io::Write;
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};

use crate::pool::Pool;
use crate::{system, tree};

/// An archive made member by member, with names no tar program would write.
pub(crate) struct Archive {
    builder: Builder<Vec<u8>>,
}

impl Archive {
    pub(crate) fn new() -> Self {
        let mut builder = Builder::new(Vec::new());
        builder.follow_symlinks(false);
        Self { builder }
    }

    /// Adds a whole directory.
    pub(crate) fn tree(&mut self, from: &Path) {
        self.builder.append_dir_all(".", from).unwrap();
    }

    fn member(&mut self, name: &str, kind: EntryType, target: &str, data: &[u8]) {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_600_000_000);
        header.set_size(data.len() as u64);
        if matches!(kind, EntryType::Char | EntryType::Block) {
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
        }
        header.set_cksum();
        self.builder.append(&header, data).unwrap();
    }

    pub(crate) fn file(&mut self, name: &str, data: &[u8]) {
        self.member(name, EntryType::Regular, "", data);
    }

    pub(crate) fn directory(&mut self, name: &str) {
        self.member(name, EntryType::Directory, "", b"");
    }

    pub(crate) fn link(&mut self, name: &str, target: &str) {
        self.member(name, EntryType::Symlink, target, b"");
    }

    pub(crate) fn hard_link(&mut self, name: &str, target: &str) {
        self.member(name, EntryType::Link, target, b"");
    }

    /// Adds a file with extended records.
    pub(crate) fn extended(&mut self, records: &[(&str, &[u8])], name: &str, data: &[u8]) {
        self.builder
            .append_pax_extensions(records.iter().copied())
            .unwrap();
        self.file(name, data);
    }

    pub(crate) fn finish(self, work: &Path) -> PathBuf {
        let path = work.join("made.tar");
        let bytes = self.builder.into_inner().unwrap();
        std::fs::File::create(&path)
            .unwrap()
            .write_all(&bytes)
            .unwrap();
        path
    }
}

/// Brings in a system with more members, and returns the error; nothing outside may have changed.
fn refused(add: impl Fn(&mut Archive, &Path)) -> String {
    let pool = Pool::new();
    let outside = pool.work.join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("victim"), "safe").unwrap();
    let from = pool.work.join("system");
    std::fs::create_dir(&from).unwrap();
    system::minimal(&from);
    let before = tree::read(&outside);
    let mut archive = Archive::new();
    archive.tree(&from);
    add(&mut archive, &outside);
    let result = pool.import_file(&archive.finish(&pool.work));
    tree::assert_same(&before, &tree::read(&outside));
    match result {
        Ok(_) => String::new(),
        Err(e) => format!("{e:#}"),
    }
}

#[test]
fn names_that_climb_fail_the_import() {
    for name in [
        "../evil",
        "usr/../../evil",
        "..",
        "./../evil",
        "/../evil",
        "usr/..",
    ] {
        let error = refused(|archive, _| archive.file(name, b"evil"));
        assert!(error.contains("'..'"), "{name}: {error}");
        let error = refused(|archive, _| archive.directory(name));
        assert!(error.contains("'..'"), "{name}: {error}");
    }
    let error = refused(|archive, _| archive.extended(&[("path", b"../evil")], "x", b"evil"));
    assert!(error.contains("'..'"), "{error}");
}

#[test]
fn a_link_as_a_directory_ends_inside() {
    let error = refused(|archive, outside| {
        archive.link("out", outside.to_str().unwrap());
        archive.file("out/victim", b"evil");
    });
    assert!(error.contains("out"), "{error}");
    // It climbs to the tree's top and no further.
    let error = refused(|archive, _| {
        archive.link("up", "../../../../../../../../../../etc");
        archive.file("up/written", b"inside");
    });
    assert_eq!(error, "");
    assert!(!Path::new("/etc/written").exists());
}

#[test]
fn a_link_is_replaced_and_never_written_through() {
    let error = refused(|archive, outside| {
        archive.link("etc/motd", outside.join("victim").to_str().unwrap());
        archive.file("etc/motd", b"evil");
    });
    assert_eq!(error, "");
    let error = refused(|archive, outside| {
        archive.directory("srv");
        archive.link("srv", outside.to_str().unwrap());
        archive.file("srv/victim", b"evil");
    });
    assert!(error.contains("srv"), "{error}");
}

#[test]
fn hard_links_lead_only_to_members() {
    for target in ["../outside/victim", "../../etc/passwd"] {
        let error = refused(|archive, _| archive.hard_link("evil", target));
        assert!(error.contains("'..'"), "{error}");
    }
    let error = refused(|archive, outside| {
        archive.hard_link("evil", outside.join("victim").to_str().unwrap());
    });
    assert!(error.contains("does not hold"), "{error}");
    let error = refused(|archive, outside| {
        archive.link("out", outside.to_str().unwrap());
        archive.hard_link("evil", "out/victim");
    });
    assert!(error.contains("does not hold"), "{error}");
}

#[test]
fn members_below_a_file_or_device_are_refused() {
    for kind in [
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
        EntryType::Regular,
    ] {
        let error = refused(|archive, _| {
            archive.member("dev", kind, "", b"");
            archive.file("dev/sda", b"evil");
        });
        assert!(error.contains("not a directory"), "{kind:?}: {error}");
    }
}

#[test]
fn a_directory_with_content_is_not_replaced() {
    let error = refused(|archive, _| archive.link("etc", "/somewhere"));
    assert!(error.contains("directory with content"), "{error}");
    let error = refused(|archive, _| archive.link(".", "/somewhere"));
    assert!(error.contains("place of the root"), "{error}");
}

#[test]
fn links_of_all_kinds_are_ordinary_content() {
    let error = refused(|archive, _| {
        archive.link("etc/absolute", "/etc/passwd");
        archive.link("etc/climbing", "../../../../etc/passwd");
        archive.link("etc/itself", "itself");
    });
    assert_eq!(error, "");
}

#[test]
fn headers_without_end_are_not_kept() {
    let comment = vec![b'x'; 1 << 20];
    let error = refused(|archive, _| {
        for _ in 0..17 {
            let records = [("comment", &comment[..])];
            archive.builder.append_pax_extensions(records).unwrap();
        }
        archive.file("etc/x", b"x");
    });
    assert!(error.contains("too many extended headers"), "{error}");
}

#[test]
fn an_archive_does_not_fill_a_pool_to_its_last_byte() {
    let pool = Pool::new();
    let mut archive = Archive::new();
    archive.file("filled", &vec![b'x'; 600 << 20]);
    let error = pool.import_file(&archive.finish(&pool.work)).unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains("are kept free"), "{error}");
}
