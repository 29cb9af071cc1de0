//! Sources of an import that are read in memory: streams, partition tables, superblocks; and
//! the items of btrfs' trees.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::time::Duration;

use netbe::btrfs::tree_search::items::{self, INODE_EXTREF, INODE_REF};
use netbe::btrfs::tree_search::{Item, Key};
use netbe::formats::detect;
use netbe::formats::disk_image::{self, Filesystem};

use super::Target;
use super::boot::gzip;
use super::mutation::Seeds;

pub(super) fn targets() -> Vec<Target> {
    let of = |name, short, fixed: usize, seeds, make| Target {
        name,
        seeds,
        short,
        memory: (fixed, 200),
        time: Duration::from_millis(200),
        make,
    };
    vec![
        of("stream", 5_000, 4 << 20, streams(), || Box::new(stream)),
        of("disk", 4_000, 8 << 20, disks(), || Box::new(disk())),
        of("superblock", 20_000, 1 << 20, superblocks(), || {
            Box::new(superblock())
        }),
        of("btrfs", 30_000, 64 << 10, tree_items(), || {
            Box::new(tree_item)
        }),
    ]
}

fn streams() -> Seeds {
    let plain = super::trees::archive();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(&plain).expect("memory takes everything");
    let zstd = zstd::encode_all(plain.as_slice(), 1).expect("memory takes everything");
    Seeds::new(
        vec![
            gzip(&plain),
            xz.finish().expect("memory takes everything"),
            zstd.clone(),
            gzip(&zstd),
            plain,
            b"NETBE-STREAM 1".to_vec(),
        ],
        &[
            "NETBE-STREAM",
            "PK\u{3}\u{4}",
            "BZh",
            "7z",
            "QFI",
            "KDMV",
            "!<arch>\n",
            "\u{7f}ELF",
        ],
    )
}

fn stream(bytes: &[u8]) {
    const LOOKED_AT: u64 = 1 << 20;
    let mut taken = 0;
    let mut tick = |count| taken += count;
    if let Ok(mut opened) = detect::open(bytes, &mut tick) {
        let _ = std::io::copy(
            &mut opened.content.by_ref().take(LOOKED_AT),
            &mut std::io::sink(),
        );
    }
    assert!(taken <= bytes.len() as u64);
}

/// Returns a disk with a DOS table: one FAT partition, an extended one with one in it.
fn dos() -> Vec<u8> {
    let mut disk = vec![0; 16 * 512];
    let entry = |disk: &mut Vec<u8>, at: usize, kind: u8, start: u32, sectors: u32| {
        disk[at + 4] = kind;
        disk[at + 8..at + 12].copy_from_slice(&start.to_le_bytes());
        disk[at + 12..at + 16].copy_from_slice(&sectors.to_le_bytes());
    };
    disk[440..444].copy_from_slice(&[1, 2, 3, 4]);
    entry(&mut disk, 446, 0x0c, 2, 4);
    entry(&mut disk, 462, 0x05, 6, 8);
    let link = 6 * 512;
    entry(&mut disk, link + 446, 0x83, 1, 2);
    entry(&mut disk, link + 462, 0x05, 4, 4);
    let last = 10 * 512;
    entry(&mut disk, last + 446, 0x83, 1, 2);
    for sector in [0, link, last] {
        disk[sector + 510..sector + 512].copy_from_slice(&[0x55, 0xaa]);
    }
    let boot = fat_sector();
    disk[1024..1536].copy_from_slice(&boot);
    disk
}

/// Returns a disk with a GUID table of four entries' room, one of them used, checksums right.
fn guid() -> Vec<u8> {
    const BLOCKS: usize = 80;
    let mut disk = vec![0; BLOCKS * 512];
    disk[446 + 4] = 0xee;
    disk[446 + 8..446 + 12].copy_from_slice(&1_u32.to_le_bytes());
    disk[446 + 12..446 + 16].copy_from_slice(&(BLOCKS as u32 - 1).to_le_bytes());
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    let header = 512;
    disk[header..header + 8].copy_from_slice(b"EFI PART");
    disk[header + 8..header + 12].copy_from_slice(&0x1_0000_u32.to_le_bytes());
    disk[header + 12..header + 16].copy_from_slice(&92_u32.to_le_bytes());
    for (at, value) in [
        (24, 1),
        (32, BLOCKS as u64 - 1),
        (40, 34),
        (48, BLOCKS as u64 - 34),
        (72, 2),
    ] {
        disk[header + at..header + at + 8].copy_from_slice(&u64::to_le_bytes(value));
    }
    disk[header + 56..header + 72].copy_from_slice(&[9; 16]);
    disk[header + 80..header + 84].copy_from_slice(&128_u32.to_le_bytes());
    disk[header + 84..header + 88].copy_from_slice(&128_u32.to_le_bytes());
    let entry = 1024;
    disk[entry..entry + 16].copy_from_slice(&[0xa2; 16]);
    disk[entry + 16..entry + 32].copy_from_slice(&[7; 16]);
    disk[entry + 32..entry + 40].copy_from_slice(&36_u64.to_le_bytes());
    disk[entry + 40..entry + 48].copy_from_slice(&40_u64.to_le_bytes());
    disk[entry + 56] = b'r';
    mend_guid(&mut disk);
    disk
}

/// Makes the checksums of a GUID table right again.
fn mend_guid(disk: &mut [u8]) {
    if disk.len() < 1024 + 128 * 128 || !disk[512..].starts_with(b"EFI PART") {
        return;
    }
    let sum = |bytes: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum().to_le_bytes()
    };
    let table = sum(&disk[1024..1024 + 128 * 128]);
    disk[512 + 88..512 + 92].copy_from_slice(&table);
    disk[512 + 16..512 + 20].fill(0);
    let header = sum(&disk[512..512 + 92]);
    disk[512 + 16..512 + 20].copy_from_slice(&header);
}

fn fat_sector() -> Vec<u8> {
    let mut sector = vec![0; 512];
    sector[0] = 0xeb;
    sector[11..13].copy_from_slice(&512_u16.to_le_bytes());
    (sector[13], sector[14], sector[16], sector[21]) = (8, 32, 2, 0xf8);
    sector[67..71].copy_from_slice(&[0x78, 0x56, 0x34, 0x12]);
    sector[71..82].copy_from_slice(b"BOOTFS     ");
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

fn disks() -> Seeds {
    let mut seeds = Seeds::new(vec![dos(), guid(), guid(), fat_sector()], &["EFI PART"]);
    seeds.mend = Some(mend_guid);
    seeds
}

/// A file that is no file: it is gone with its descriptor, and needs no disk.
pub(super) fn memory_file() -> File {
    let flags = nix::sys::memfd::MFdFlags::MFD_CLOEXEC;
    File::from(
        nix::sys::memfd::memfd_create(c"netbe-fuzz", flags).expect("Linux has files in memory"),
    )
}

pub(super) fn fill(file: &File, bytes: &[u8]) -> u64 {
    file.set_len(0)
        .and_then(|()| file.write_all_at(bytes, 0))
        .expect("memory takes everything");
    bytes.len() as u64
}

fn disk() -> impl FnMut(&[u8]) {
    let file = memory_file();
    move |bytes| {
        let size = fill(&file, bytes);
        let _ = disk_image::has_partitions(bytes);
        if let Ok(found) = disk_image::partitions(&file, size) {
            assert!(
                found.len() <= 4 + 60
                    || bytes[512..].starts_with(b"EFI PART")
                    || found.len() <= 4096
            );
            for partition in found {
                let end = partition
                    .start
                    .checked_add(partition.size)
                    .expect("it is in the image");
                assert!(end <= size, "{partition:?} of {size}");
            }
        }
    }
}

/// Only the pieces of a superblock that say something, with where they stand: the rest is zeros.
const PIECES: [(usize, usize); 4] = [(0, 512), (1024, 256), (0x10000, 512), (1536, 64)];

fn superblocks() -> Seeds {
    let with = |places: &[(usize, &[u8])]| {
        let mut head = vec![0; 72 << 10];
        for (at, bytes) in places {
            head[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        PIECES
            .iter()
            .flat_map(|(at, length)| head[*at..at + length].to_vec())
            .collect::<Vec<u8>>()
    };
    Seeds::new(
        vec![
            with(&[(0, &fat_sector())]),
            with(&[
                (1080, &[0x53, 0xef]),
                (1024 + 104, &[7; 16]),
                (1024 + 120, b"rootfs"),
            ]),
            with(&[
                (0x10040, b"_BHRfS_M"),
                (0x10020, &[8; 16]),
                (0x1012b, b"pool"),
            ]),
            with(&[(0, b"XFSB"), (32, &[9; 16]), (108, b"x")]),
            with(&[(1024, &[0x10, 0x20, 0xf5, 0xf2])]),
            with(&[(1024, &[0xe2, 0xe1, 0xf5, 0xe0])]),
            with(&[(0, b"hsqs")]),
        ],
        &["_BHRfS_M", "XFSB", "hsqs", "NO NAME    "],
    )
}

fn superblock() -> impl FnMut(&[u8]) {
    let mut head = vec![0; 72 << 10];
    move |bytes| {
        let mut rest = bytes;
        for (at, length) in PIECES {
            let (piece, behind) = rest.split_at(rest.len().min(length));
            head[at..at + length].fill(0);
            head[at..at + piece.len()].copy_from_slice(piece);
            rest = behind;
        }
        // As much of it as the case was long, too: a short image is no image.
        for head in [&head[..], &head[..bytes.len().min(head.len())]] {
            let _ = disk_image::has_partitions(head);
            if let Some(found) = Filesystem::detect(head) {
                let (uuid, label) = (found.uuid(head), found.label(head));
                assert!(uuid.is_none_or(|u| u.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')));
                assert!(label.is_none_or(|l| l.len() <= 3 * 256));
            }
        }
    }
}

fn tree_items() -> Seeds {
    let mut extent = Vec::new();
    extent.extend(42_u64.to_le_bytes());
    extent.extend(131_072_u64.to_le_bytes());
    extent.extend([3, 0, 0, 0, 1]);
    for word in [1_u64 << 30, 20_480, 8192, 65_536] {
        extent.extend(word.to_le_bytes());
    }
    let mut names = Vec::new();
    for name in [&b"perl"[..], b"perl\xff5"] {
        names.extend(2_u64.to_le_bytes());
        names.extend((name.len() as u16).to_le_bytes());
        names.extend(name);
    }
    let mut answer = Vec::new();
    for word in [7_u64, 257, 4096] {
        answer.extend(word.to_ne_bytes());
    }
    answer.extend(108_u32.to_ne_bytes());
    answer.extend((extent.len() as u32).to_ne_bytes());
    answer.extend(&extent);
    Seeds::new(vec![answer, extent, names], &[])
}

fn tree_item(bytes: &[u8]) {
    let mut rest = bytes;
    while let Some((item, taken)) = items::item(rest) {
        assert!(taken > item.bytes.len() && taken <= rest.len());
        rest = &rest[taken..];
        let _ = (items::file_extent(&item.bytes), items::names(&item));
    }
    let _ = items::file_extent(bytes);
    for kind in [INODE_REF, INODE_EXTREF, 108] {
        let key = Key {
            objectid: 300,
            kind,
            offset: 256,
        };
        let item = Item {
            key,
            transaction: 1,
            bytes: bytes.to_vec(),
        };
        let names = items::names(&item).unwrap_or_default();
        assert!(names.iter().map(|(_, name)| name.len()).sum::<usize>() <= bytes.len());
    }
}
