//! Kernel images that hold nothing but what says which version they are.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

/// Returns an x86 `bzImage`: boot sector, a setup header of protocol 2.15 with the version string, and a short body.
///
/// The layout is that of `Documentation/arch/x86/boot.rst` in the kernel's source.
pub fn bzimage(version: &str) -> Vec<u8> {
    const SETUP_SECTORS: usize = 3;
    const STRING_AT: usize = 0x400;
    let mut image = vec![0_u8; (SETUP_SECTORS + 1) * 512 + 4096];
    image[..2].copy_from_slice(b"MZ");
    image[0x1f1] = SETUP_SECTORS as u8;
    image[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    image[0x200..0x202].copy_from_slice(&[0xeb, 0x6a]);
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x206..0x208].copy_from_slice(&0x020f_u16.to_le_bytes());
    // The pointer counts from the end of the boot sector.
    image[0x20e..0x210].copy_from_slice(&((STRING_AT - 0x200) as u16).to_le_bytes());
    image[0x211] = 1; // loaded high: a bzImage
    let text = format!("{version} (builder@example.org) #1 SMP PREEMPT_DYNAMIC Mon Jan  5 2026\0");
    image[STRING_AT..STRING_AT + text.len()].copy_from_slice(text.as_bytes());
    image
}

/// Returns an uncompressed arm64 `Image`: its header, and the banner that the kernel prints first.
pub fn arm64_image(version: &str) -> Vec<u8> {
    let mut image = vec![0_u8; 64 << 10];
    image[56..60].copy_from_slice(b"ARM\x64");
    let banner = format!(
        "Linux version {version} (builder@example.org) (aarch64-linux-gnu-gcc-12) #1 SMP PREEMPT Mon Jan  5 2026\n\0"
    );
    image[0x9000..0x9000 + banner.len()].copy_from_slice(banner.as_bytes());
    image
}

/// Returns an arm64 image compressed with gzip, as Raspberry Pi OS has `kernel8.img`.
pub fn arm64_gzip(version: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder
        .write_all(&arm64_image(version))
        .expect("memory takes everything");
    encoder.finish().expect("memory takes everything")
}

/// Returns an arm64 image that unpacks itself from EFI, compressed with zstd, as newer distributions ship it.
pub fn arm64_zboot(version: &str) -> Vec<u8> {
    const HEADER: usize = 0x1000;
    let payload =
        zstd::encode_all(arm64_image(version).as_slice(), 1).expect("memory takes everything");
    let mut image = vec![0_u8; HEADER];
    image[..4].copy_from_slice(b"MZ\0\0");
    image[4..8].copy_from_slice(b"zimg");
    image[8..12].copy_from_slice(&(HEADER as u32).to_le_bytes());
    image[12..16].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    image[24..28].copy_from_slice(b"zstd");
    image[56..60].copy_from_slice(&[0xcd, 0x23, 0x82, 0x81]);
    image.extend(payload);
    image
}

/// Returns an archive in the format `newc`, with these names: an initramfs that starts nothing.
pub fn cpio(names: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for name in names.iter().chain(&["TRAILER!!!"]) {
        let mut fields = [0_usize; 13];
        fields[11] = name.len() + 1;
        bytes.extend(b"070701");
        bytes.extend(fields.iter().flat_map(|f| format!("{f:08X}").into_bytes()));
        bytes.extend(format!("{name}\0").bytes());
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}
