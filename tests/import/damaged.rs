//! Sources that are not what they should be, each with one clear error.

use std::path::Path;

use netbe::failure::Failure;

use crate::pool::{Pool, shell};
use crate::system;

fn error_of(pool: &Pool, path: &Path) -> (String, Option<String>) {
    let error = pool.import_file(path).expect_err("it is damaged");
    let hint = error
        .chain()
        .find_map(|e| e.downcast_ref::<Failure>())
        .and_then(|f| f.hint.clone());
    pool.renew();
    (format!("{error:#}"), hint)
}

#[test]
fn files_that_are_not_systems_are_named() {
    let pool = Pool::new();
    let file = pool.work.join("source");
    for (content, output) in [
        (&b""[..], "it is empty"),
        (b"hello\n", "neither a tar archive nor a disk image"),
        (&[0; 100_000], "zeros, as on an empty disk"),
        (b"PK\x03\x04......", "zip"),
        (b"NETBE-STREAM 1\n", "a stream of netbe export"),
        (b"BZh91AY&SY", "bzip2"),
        (b"\x1f\x8b\x08", "cut short"),
        (b"\x28\xb5\x2f\xfd", "cut short"),
        (b"\xfd7zXZ\0", "cut short"),
    ] {
        std::fs::write(&file, content).unwrap();
        let (error, _) = error_of(&pool, &file);
        assert!(error.contains(output), "{error}");
    }
    std::fs::write(&file, b"PK\x03\x04......").unwrap();
    let (_, hint) = error_of(&pool, &file);
    assert!(hint.unwrap().starts_with("unzip -p "));
    let (error, _) = error_of(&pool, Path::new("/nowhere/at.all"));
    assert!(error.contains("/nowhere/at.all"), "{error}");
    let (error, _) = error_of(&pool, Path::new("/dev/zero"));
    assert!(
        error.contains("neither a directory, a file nor a disk"),
        "{error}"
    );
}

#[test]
fn every_cut_of_an_archive_is_an_error() {
    let pool = Pool::new();
    let from = pool.work.join("system");
    std::fs::create_dir(&from).unwrap();
    system::minimal(&from);
    let archive = pool.work.join("of.tar");
    shell(&format!(
        "tar -C '{}' -cf '{}' .",
        from.display(),
        archive.display()
    ));
    let whole = std::fs::read(&archive).unwrap();
    let used = whole.iter().rposition(|b| *b != 0).unwrap();
    // In the first block, inside members, between them, and the end mark itself.
    for length in [
        100,
        511,
        512,
        700,
        5 * 512,
        used - 5,
        used.next_multiple_of(512),
    ] {
        std::fs::write(&archive, &whole[..length]).unwrap();
        let (error, _) = error_of(&pool, &archive);
        let output = error.contains("cut short") || error.contains("neither");
        assert!(output, "at {length}: {error}");
    }
    std::fs::write(&archive, &whole[..used.next_multiple_of(512) + 512]).unwrap();
    pool.import_file(&archive).unwrap();
    pool.renew();
    for (filter, cut) in [("gzip", 12), ("xz", 30), ("zstd -q", 12)] {
        std::fs::write(&archive, &whole).unwrap();
        let packed = pool.work.join("packed");
        let line = format!(
            "{filter} < '{}' > '{}'",
            archive.display(),
            packed.display()
        );
        shell(&line);
        let bytes = std::fs::read(&packed).unwrap();
        // The archive's end has been seen by then; what is behind it must be whole all the same.
        for length in [bytes.len() / 2, bytes.len() - cut, bytes.len() - 1] {
            std::fs::write(&packed, &bytes[..length]).unwrap();
            let (error, _) = error_of(&pool, &packed);
            assert!(error.contains("damaged or cut short"), "{filter}: {error}");
        }
    }
}

#[test]
fn a_damaged_header_is_an_error() {
    let pool = Pool::new();
    let from = pool.work.join("system");
    std::fs::create_dir(&from).unwrap();
    system::minimal(&from);
    let archive = pool.work.join("of.tar");
    shell(&format!(
        "tar -C '{}' -cf '{}' .",
        from.display(),
        archive.display()
    ));
    let mut bytes = std::fs::read(&archive).unwrap();
    bytes[512 + 3] ^= 1;
    std::fs::write(&archive, bytes).unwrap();
    let (error, _) = error_of(&pool, &archive);
    assert!(error.contains("checksum"), "{error}");
}

#[test]
fn a_tree_without_a_system_or_a_kernel_is_refused() {
    let pool = Pool::new();
    let from = pool.work.join("system");
    std::fs::create_dir_all(from.join("home")).unwrap();
    let error = pool.import_directory(&from).unwrap_err();
    assert!(
        format!("{error:#}").contains("is not an operating system"),
        "{error:#}"
    );
    pool.renew();
    let inner = from.join("rootfs");
    std::fs::create_dir(&inner).unwrap();
    system::minimal(&inner);
    let error = pool.import_directory(&from).unwrap_err();
    let hint = error
        .downcast_ref::<Failure>()
        .unwrap()
        .hint
        .clone()
        .unwrap();
    assert!(hint.ends_with("system/rootfs"), "{hint}");
    pool.renew();
    shell(&format!("rm '{}'/boot/vmlinuz*", inner.display()));
    let error = pool.import_directory(&inner).unwrap_err();
    assert!(
        format!("{error:#}").contains("no kernel in /boot"),
        "{error:#}"
    );
    assert!(format!("{error:#}").contains("with --boot"), "{error:#}");
}
