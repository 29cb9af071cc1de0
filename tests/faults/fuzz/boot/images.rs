//! Files that are loaded before there is a root: kernels and initramfs, of every format and compression.

use netbe::boot;

use super::{VERSION, halves, look};
use crate::fuzz::mutation::Seeds;
use crate::support::kernel;

pub(super) fn initramfs() -> Seeds {
    let main = cpio(&[
        "init",
        &format!("usr/lib/modules/{VERSION}/kernel/nfs.ko"),
        "z",
    ]);
    let early = cpio(&["kernel/x86/microcode/GenuineIntel.bin"]);
    let packed = zstd::encode_all(main.as_slice(), 1).expect("memory takes everything");
    Seeds::new(
        vec![
            main.clone(),
            [early.clone(), packed.clone()].concat(),
            packed,
            gzip(&main),
            [early, main].concat(),
        ],
        &[
            "070701",
            "070702",
            "TRAILER!!!",
            "lib/modules/",
            "FFFFFFFF",
            "00000000",
            "+0000001",
            "6.6.31+rpt-rpi-v8/",
        ],
    )
}

/// Returns an archive in the format `newc`.
pub(super) fn cpio(names: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for name in names.iter().chain(&["TRAILER!!!"]) {
        let mut fields = [0_usize; 13];
        (fields[6], fields[11]) = (4, name.len() + 1);
        bytes.extend(b"070701");
        bytes.extend(fields.iter().flat_map(|f| format!("{f:08X}").into_bytes()));
        bytes.extend(format!("{name}\0").bytes());
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(b"data");
    }
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

pub(in crate::fuzz) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

/// Looks at sound halves with one file of the boot half in another state.
pub(super) fn look_into(file: &'static str) -> impl FnMut(&[u8]) {
    let (mut boot, root) = halves();
    move |bytes| {
        boot.insert(file.to_string(), bytes.to_vec());
        look(&boot, &root);
    }
}

pub(super) fn kernels() -> Seeds {
    use std::io::Write;
    let mut plain = vec![0; 3000];
    plain.extend(format!("Linux version {VERSION} (x) #1 SMP\n\0").bytes());
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(&plain).expect("memory takes everything");
    let zstd = zstd::encode_all(plain.as_slice(), 1).expect("memory takes everything");
    // lz4's legacy format: a block of literals only.
    let mut lz4 = b"\x02\x21\x4c\x18".to_vec();
    let literals = format!("Linux version {VERSION} ");
    let mut block = vec![
        0xf0,
        u8::try_from(literals.len() - 15).expect("it is short"),
    ];
    block.extend(literals.bytes());
    lz4.extend(
        u32::try_from(block.len())
            .expect("it is short")
            .to_le_bytes(),
    );
    lz4.extend(block);
    let mut zimage = vec![0; 0x24];
    zimage.extend(b"\x18\x28\x6f\x01");
    zimage.resize(256, 0);
    zimage.extend(gzip(&plain));
    let mut uboot = b"\x27\x05\x19\x56".to_vec();
    uboot.resize(64, 0);
    uboot.extend(gzip(&plain));
    let mut zboot = b"MZ\0\0zimg".to_vec();
    zboot.extend(64_u32.to_le_bytes());
    zboot.extend(
        u32::try_from(zstd.len())
            .expect("it is short")
            .to_le_bytes(),
    );
    zboot.resize(64, 0);
    zboot.extend(&zstd);
    Seeds::new(
        vec![
            kernel::bzimage("6.1.0-50-amd64"),
            gzip(&plain),
            plain,
            xz.finish().expect("memory takes everything"),
            zstd,
            lz4,
            zimage,
            uboot,
            zboot,
        ],
        &[
            "Linux version ",
            "HdrS",
            "MZ",
            "zimg",
            "\u{1f}",
            "6.1.0",
            "]\0\0",
        ],
    )
}

pub(super) fn kernel_image(bytes: &[u8]) {
    if let Some(version) = boot::kernel::version(bytes) {
        let fine = |b: u8| b.is_ascii_alphanumeric() || b"._+-~@".contains(&b);
        assert!(
            version.bytes().all(fine) && version.len() <= 64,
            "{version:?}"
        );
    }
}
