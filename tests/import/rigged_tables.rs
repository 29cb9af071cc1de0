//! FAT partitions and partition tables that were made to be read wrongly: each ends in an error, and soon.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use crate::disks::{MBR, MIB, disk, ext};
use crate::pool::{Pool, run};
use crate::system;

/// How long anything here may take; other tests run beside it.
const SOON: Duration = Duration::from_secs(60);
/// The size of an entry of a directory, in bytes, and where the first stands behind the two that every one has.
const ENTRY: usize = 32;
const FIRST: usize = 2 * ENTRY;

/// Does something with a pool that has to end by itself, and returns what came of it.
fn soon<T: Send + 'static>(work: impl FnOnce(&Pool) -> T + Send + 'static) -> T {
    let (done, end) = mpsc::channel();
    std::thread::spawn(move || done.send(work(&Pool::new())));
    end.recv_timeout(SOON).expect("it never ends")
}

/// Makes a FAT of clusters of 2 KiB with a directory in each directory, so many deep, and returns it with the clusters of
/// those, as they stand in it.
fn nested(pool: &Pool, deep: usize) -> (PathBuf, Vec<u8>, Vec<usize>) {
    let part = pool.work.join("nested.part");
    File::create(&part).unwrap().set_len(4 * MIB).unwrap();
    let at = part.to_str().unwrap();
    run("mkfs.vfat", &["-F", "12", "-s", "4", at]);
    let mut path = "::".to_string();
    for _ in 0..deep {
        path.push_str("/D");
        run("mmd", &["-i", at, &path]);
    }
    let bytes = std::fs::read(&part).unwrap();
    let begins = |at: &usize| bytes[*at..].starts_with(b".          \x10");
    let clusters: Vec<usize> = (0..bytes.len()).step_by(512).filter(begins).collect();
    assert_eq!(clusters.len(), deep);
    (part, bytes, clusters)
}

/// Brings in a disk whose boot partition this is, and returns what went wrong.
fn refused(pool: &Pool, part: &std::path::Path) -> String {
    let from = pool.work.join("system");
    std::fs::create_dir(&from).unwrap();
    system::minimal(&from);
    std::fs::write(from.join("etc/fstab"), "PARTUUID=12345678-01 /boot vfat\n").unwrap();
    let root = ext(pool, &from, 100 * MIB, "ext4");
    let image = disk(pool, MBR, part, &root);
    format!("{:#}", pool.import_file(&image).expect_err("it is rigged"))
}

#[test]
fn directories_that_lead_to_the_same_are_no_tree_without_end() {
    let output = soon(|pool| {
        let (part, mut bytes, clusters) = nested(pool, 40);
        // Two names for what is below, at each of forty levels.
        for cluster in clusters {
            let (first, second) = (cluster + FIRST, cluster + FIRST + ENTRY);
            bytes.copy_within(first..second, second);
            bytes[second] = b'E';
        }
        std::fs::write(&part, bytes).unwrap();
        refused(pool, &part)
    });
    assert!(output.contains("larger than the partition"), "{output}");
}

#[test]
fn a_looped_cluster_chain_of_deleted_entries_is_refused() {
    let output = soon(|pool| {
        let (part, mut bytes, clusters) = nested(pool, 1);
        let cluster = clusters[0];
        // Deleted, to the end of this cluster and all of the next.
        for entry in bytes[cluster + FIRST..cluster + 4096].chunks_mut(ENTRY) {
            entry[0] = 0xe5;
        }
        // The first cluster there is, number 2, leads to number 3, and that to itself; in both tables.
        let word = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
        let (reserved, table) = (word(14) * 512, word(22) * 512);
        for at in [reserved, reserved + table] {
            assert_eq!(bytes[at + 3], 0xff);
            bytes[at + 3..at + 6].copy_from_slice(&[0x03, 0x30, 0x00]);
        }
        std::fs::write(&part, bytes).unwrap();
        refused(pool, &part)
    });
    assert!(output.contains("is a loop"), "{output}");
}

#[test]
fn a_copy_of_a_table_that_makes_no_sense_is_an_error() {
    let pool = Pool::new();
    let image = pool.work.join("gpt.img");
    // Not a whole number of sectors: the last whole one is the copy's.
    let length = 4 * MIB + 100;
    let file = File::create(&image).unwrap();
    file.set_len(length).unwrap();
    let mut header = [0; 92];
    header[..8].copy_from_slice(b"EFI PART");
    header[12] = 92;
    header[72] = 2;
    header[80..84].copy_from_slice(&u32::MAX.to_le_bytes());
    header[84] = 1;
    let sum = crc32(&header);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
    file.write_all_at(&header, 4 * MIB - 512).unwrap();
    // The first one makes sense, but for its checksum.
    header[80..88].copy_from_slice(&[4, 0, 0, 0, 128, 0, 0, 0]);
    file.write_all_at(&header, 512).unwrap();
    let error = pool.import_file(&image).expect_err("it is rigged");
    let output = format!("{error:#}");
    assert!(output.contains("not read"), "{output}");
}

/// The checksum of partition tables, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
    !bytes.iter().fold(!0, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc))
    })
}
