use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io::Write;

const VERSION: &str = "6.12.47+rpt-rpi-v8";

/// Something with the banner far into it, and a false one before.
fn plain() -> Vec<u8> {
    let mut image: Vec<u8> = (0..600_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    image.extend(b"Linux version %s (%s)\0");
    image.resize(700_000, 7);
    image.extend(format!("Linux version {VERSION} (serge@raspberrypi.com) (gcc)").bytes());
    image.resize(image.len() + 100_000, 0);
    image
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn lzma(bytes: &[u8]) -> Vec<u8> {
    let options = liblzma::stream::LzmaOptions::new_preset(1).unwrap();
    let stream = liblzma::stream::Stream::new_lzma_encoder(&options).unwrap();
    let mut encoder = liblzma::write::XzEncoder::new_stream(Vec::new(), stream);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zboot(packed: &[u8]) -> Vec<u8> {
    let mut image = b"MZ\0\0zimg".to_vec();
    image.extend(512u32.to_le_bytes());
    image.extend(u32::try_from(packed.len()).unwrap().to_le_bytes());
    image.resize(512, 0);
    image.extend(packed);
    image.extend(b"trailing");
    image
}

fn zimage(packed: &[u8]) -> Vec<u8> {
    let mut image = vec![0; 0x24];
    image.extend(b"\x18\x28\x6f\x01");
    image.resize(6000, 0x5d);
    image.extend(b"\x1f\x8b\x08 no gzip at all");
    image.resize(9000, 0);
    image.extend(packed);
    image
}

pub(crate) fn bzimage(version: &str) -> Vec<u8> {
    let mut image = vec![0; 0x3000];
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x20e..0x210].copy_from_slice(&0x1000u16.to_le_bytes());
    let text = format!("{version} (debian-kernel@lists.debian.org) #1 SMP\0");
    image[0x1200..0x1200 + text.len()].copy_from_slice(text.as_bytes());
    image
}

#[test]
fn the_version_is_read_from_every_image_format() {
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 1).unwrap();
    let mut uimage = b"\x27\x05\x19\x56".to_vec();
    uimage.resize(64, 1);
    uimage.extend(gzip(&plain()));
    for (what, image) in [
        ("plain", plain()),
        ("gzip", gzip(&plain())),
        ("xz", xz(&plain())),
        ("lzma", lzma(&plain())),
        ("zstd", zstd(&plain())),
        ("zboot gzip", zboot(&gzip(&plain()))),
        ("zboot zstd", zboot(&zstd(&plain()))),
        ("uImage", uimage),
        ("zImage gzip", zimage(&gzip(&plain()))),
        ("zImage xz", zimage(&xz(&plain()))),
        ("zImage lzma", zimage(&lzma(&plain()))),
        ("bzImage", bzimage(VERSION)),
    ] {
        assert_eq!(version(&image).as_deref(), Some(VERSION), "{what}");
        let cut = &image[..image.len() / 3];
        let _ = version(cut);
    }
}

#[test]
fn the_banner_is_found_across_windows() {
    for shift in 0..200 {
        let mut image = vec![1; (256 << 10) - 100 + shift];
        image.extend(format!("Linux version {VERSION} (x)").bytes());
        assert_eq!(version(&image).as_deref(), Some(VERSION), "{shift}");
    }
}

#[test]
fn a_version_is_read_from_file_names_that_have_one() {
    for (name, expected) in [
        ("vmlinuz-6.1.0-32-amd64", Some("6.1.0-32-amd64")),
        ("/boot/vmlinux-6.6.8", Some("6.6.8")),
        ("vmlinuz-linux", None),
        ("vmlinuz-lts", None),
        ("vmlinuz-0-rescue-abc", None),
        ("kernel8.img", None),
        ("vmlinuz", None),
    ] {
        assert_eq!(version_in_name(name), expected);
    }
}

#[test]
fn modules_are_where_either_layout_has_them() {
    let root: BTreeMap<String, Vec<u8>> = [
        ("lib/modules/6.1.0/modules.dep", "x"),
        ("usr/lib/modules/6.2.0/kernel/fs/nfs.ko", "x"),
        ("lib/modules/6.3.0/build", "x"),
    ]
    .iter()
    .map(|(p, t)| ((*p).to_string(), t.as_bytes().to_vec()))
    .collect();
    assert!(has_modules(&root, "6.1.0"));
    assert!(has_modules(&root, "6.2.0"));
    assert!(!has_modules(&root, "6.3.0"));
    assert_eq!(module_versions(&root), ["6.1.0", "6.2.0"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn garbage_has_no_version(start in 0usize..8, rest in proptest::collection::vec(any::<u8>(), 0..3000)) {
        let starts: [&[u8]; 8] = [
            b"", b"\x1f\x8b\x08", b"\xfd7zXZ\x00", b"\x5d\x00\x00", b"\x28\xb5\x2f\xfd",
            b"\x02\x21\x4c\x18", b"MZ\0\0zimg", b"\x27\x05\x19\x56",
        ];
        let mut image = starts[start].to_vec();
        image.extend(rest);
        prop_assert_eq!(version(&image), None);
        let mut inside = zimage(&image);
        inside.truncate(20_000);
        prop_assert_eq!(version(&inside), None);
    }
}
