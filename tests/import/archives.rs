//! Archives as GNU tar writes them, in all its formats.

use std::path::Path;

use netbe::lifecycle::import::unpack::Source;

use crate::pool::{Pool, shell};
use crate::tree::{self, Tree};
use crate::{hostile, system};

fn source(pool: &Pool) -> std::path::PathBuf {
    let top = pool.work.join("system");
    std::fs::create_dir(&top).unwrap();
    system::complete(&top);
    top
}

fn pack(pool: &Pool, from: &Path, options: &str, filter: &str) -> std::path::PathBuf {
    // A name that says nothing: content alone decides.
    let archive = pool.work.join("archive.txt");
    shell(&format!(
        "tar -C '{}' -c {options} -f - . | {filter} > '{}'",
        from.display(),
        archive.display()
    ));
    archive
}

/// Compares what arrived with what was packed, the boot half set apart.
fn assert_arrived(pool: &Pool, mut expected: Tree) {
    let boot = tree::take(&mut expected, "boot");
    tree::assert_same(&expected, &tree::read(&pool.root));
    tree::assert_same(&boot, &tree::read(&pool.boot));
}

const EVERYTHING: &str = "--format=posix --sparse --acls --xattrs --xattrs-include='*'";

#[test]
fn everything_arrives_from_a_posix_archive_however_it_is_compressed() {
    let pool = Pool::new();
    let from = source(&pool);
    let expected = tree::read(&from);
    for filter in [
        "cat",
        "gzip -1",
        "xz -0 -T2 --block-size=1MiB",
        "zstd -q -1",
    ] {
        let archive = pack(&pool, &from, EVERYTHING, filter);
        let imported = pool.import_file(&archive).unwrap();
        assert_eq!(imported.boot_mount, "/boot");
        assert_eq!(imported.notes, Vec::<String>::new());
        assert_arrived(&pool, expected.clone());
        pool.renew();
    }
}

#[test]
fn sparse_files_arrive_from_every_sparse_format() {
    let pool = Pool::new();
    let from = source(&pool);
    let expected = tree::read(&from);
    for version in ["0.0", "0.1", "1.0"] {
        let options = format!("{EVERYTHING} --sparse-version={version}");
        let archive = pack(&pool, &from, &options, "cat");
        pool.import_file(&archive).unwrap();
        assert_arrived(&pool, expected.clone());
        pool.renew();
    }
}

#[test]
fn older_formats_arrive_as_far_as_they_go() {
    let pool = Pool::new();
    let from = source(&pool);
    let mut expected = tree::read(&from);
    for entry in expected.values_mut() {
        entry.xattrs.clear();
        entry.modified.1 = 0;
    }
    let archive = pack(&pool, &from, "--format=gnu --sparse", "cat");
    pool.import_file(&archive).unwrap();
    assert_arrived(&pool, expected);
    pool.renew();

    // ustar has neither long names nor times before 1970 nor large numbers; v7 has no devices either.
    let plain = pool.work.join("plain");
    std::fs::create_dir(&plain).unwrap();
    system::minimal(&plain);
    shell(&format!(
        "find '{}' -exec touch -hd @1600000000 {{}} +",
        plain.display()
    ));
    let expected = tree::read(&plain);
    for format in ["ustar", "v7", "oldgnu"] {
        let archive = pack(&pool, &plain, &format!("--format={format}"), "cat");
        pool.import_file(&archive).unwrap();
        assert_arrived(&pool, expected.clone());
        pool.renew();
    }
}

#[test]
fn access_lists_are_taken_by_the_names_of_the_system() {
    let pool = Pool::new();
    let from = pool.work.join("system");
    std::fs::create_dir(&from).unwrap();
    system::minimal(&from);
    let mut archive = hostile::Archive::new();
    archive.tree(&from);
    archive.extended(
        &[(
            "SCHILY.acl.access",
            b"user::rw-,user:lars:r--,group::r--,mask::r--,other::---",
        )],
        "etc/listed",
        b"text",
    );
    let imported = pool.import_file(&archive.finish(&pool.work)).unwrap();
    assert_eq!(imported.notes, Vec::<String>::new());
    let listed = shell(&format!(
        "getfacl -n -c -p '{}/etc/listed'",
        pool.root.display()
    ));
    assert!(listed.contains("user:1000:r--"), "{listed}");
}

#[test]
fn a_stream_on_standard_input_is_read_like_a_file() {
    let pool = Pool::new();
    let from = source(&pool);
    let archive = pack(&pool, &from, EVERYTHING, "zstd -q -1");
    // Descriptor 0 belongs to the whole test run, which reads nothing from it.
    let file = std::fs::File::open(archive).unwrap();
    nix::unistd::dup2_stdin(&file).unwrap();
    pool.import(&Source::Stdin, None).unwrap();
    assert_arrived(&pool, tree::read(&from));
}

#[test]
fn an_archive_made_by_mmdebstrap_style_names_and_links_through_directories() {
    let pool = Pool::new();
    let from = pool.work.join("system");
    std::fs::create_dir(&from).unwrap();
    system::minimal(&from);
    let mut archive = hostile::Archive::new();
    archive.tree(&from);
    // `lib` is a link by now: what comes below it belongs where it leads.
    archive.file("lib/modules/6.1/modules.dep", b"dep");
    archive.file("/etc/absolute", b"absolute");
    archive.hard_link("/usr/bin/absolute", "/etc/absolute");
    pool.import_file(&archive.finish(&pool.work)).unwrap();
    let read = |name: &str| std::fs::read(pool.root.join(name)).unwrap();
    assert_eq!(read("usr/lib/modules/6.1/modules.dep"), b"dep");
    assert_eq!(read("etc/absolute"), b"absolute");
    assert_eq!(read("usr/bin/absolute"), b"absolute");
    assert!(pool.root.join("lib").is_symlink());
}

#[test]
fn a_later_member_replaces_an_earlier_one() {
    let pool = Pool::new();
    let from = pool.work.join("system");
    std::fs::create_dir(&from).unwrap();
    system::minimal(&from);
    let mut archive = hostile::Archive::new();
    archive.tree(&from);
    archive.file("etc/twice", b"first");
    archive.hard_link("etc/kept", "etc/twice");
    archive.file("etc/twice", b"second");
    archive.directory("etc/changes");
    archive.link("etc/changes", "passwd");
    pool.import_file(&archive.finish(&pool.work)).unwrap();
    let read = |name: &str| std::fs::read(pool.root.join(name)).unwrap();
    assert_eq!(read("etc/twice"), b"second");
    assert_eq!(read("etc/kept"), b"first");
    assert!(pool.root.join("etc/changes").is_symlink());
}
