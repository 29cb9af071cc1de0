//! Archives of all kinds, whole and cut.

use super::*;
use std::collections::BTreeMap;

/// Returns an archive of these entries, `name` or `name=content`.
pub(crate) fn cpio(entries: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for entry in entries.iter().chain(&["TRAILER!!!="]) {
        let (name, content) = entry.split_once('=').unwrap_or((entry, "x"));
        let mut fields = [0usize; 13];
        (fields[6], fields[11]) = (content.len(), name.len() + 1);
        bytes.extend(b"070701");
        bytes.extend(fields.iter().flat_map(|f| format!("{f:08X}").into_bytes()));
        bytes.extend(format!("{name}\0").bytes());
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(content.bytes());
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

pub(crate) fn found(image: &[u8]) -> Option<Contents> {
    seen(image).contents()
}

fn seen(image: &[u8]) -> Initramfs {
    let boot = BTreeMap::from([("i".to_string(), image.to_vec())]);
    contents(&boot, &["i".to_string()]).unwrap()
}

#[test]
fn the_content_is_read_from_every_compression() {
    let mut early = cpio(&["kernel/x86/microcode/AuthenticAMD.bin"]);
    early.resize(early.len().next_multiple_of(512), 0);
    let main = cpio(&[
        "init",
        "./usr/bin/nfsmount=\x7fELF klibc",
        "scripts/nfs",
        "usr/lib/modules/6.1.0/kernel/fs/nfs/nfs.ko.xz",
        "etc/protocols",
    ]);
    let packed = zstd::encode_all(main.as_slice(), 1).unwrap();
    let expected = Contents {
        init: true,
        nfsmount: true,
        protocols: true,
        modules: true,
        versions: BTreeSet::from(["6.1.0".to_string()]),
        nfs_module: true,
        names: BTreeSet::from(["nfs".to_string()]),
        initramfs_tools: true,
        nfs_script: true,
        ..Contents::default()
    };
    for image in [
        main.clone(),
        packed.clone(),
        [early.clone(), packed].concat(),
        [early, main].concat(),
    ] {
        assert_eq!(found(&image), Some(expected.clone()));
    }
}

#[test]
fn archives_of_all_kinds_behind_each_other_are_gone_through() {
    let part = cpio(&["init", "usr/bin/nfsmount"]);
    let more = cpio(&["usr/lib/modules/6/kernel/drivers/net/ethernet/realtek/r8169.ko.xz"]);
    let packed = zstd::encode_all(part.as_slice(), 1).unwrap();
    let mut image = packed.clone();
    image.resize(image.len().next_multiple_of(4), 0);
    image.extend(&more);
    image.extend(liblzma::encode_all(cpio(&["scripts/nfs"]).as_slice(), 1).unwrap());
    let all = found(&image).unwrap();
    assert!(all.nfsmount && all.net_module && all.nfs_script, "{all:?}");
    assert_eq!(found(&[&packed[..], b"more"].concat()), None);
    // As many as fill memory.
    assert_eq!(found(&packed.repeat(1000)), None);
    let wireless = "usr/lib/modules/6/kernel/drivers/net/wireless/ath/x.ko";
    assert!(!found(&cpio(&[wireless])).unwrap().net_module);
}

#[test]
fn the_tools_that_make_an_initramfs_are_distinguished() {
    let seen = |entries: &[&str]| found(&cpio(entries)).unwrap();
    let dracut = seen(&["init", "usr/lib/dracut/modules.txt=base\nnfs\n"]);
    assert!(dracut.dracut && dracut.dracut_nfs && !dracut.mounts_nfs());
    assert!(!seen(&["usr/lib/dracut/modules.txt=base\nnfsx\n"]).dracut_nfs);
    let arch = seen(&["hooks/net", "usr/bin/nfsmount"]);
    assert!(arch.mkinitcpio && arch.net_hook && arch.mounts_nfs());
    assert!(seen(&["sbin/nlplug-findfs"]).mkinitfs);
    assert!(seen(&["bin/nfsmount=#!\nexec mount.nfs"]).is_mount_nfs);
}

#[test]
fn an_unreadable_initramfs_is_unknown() {
    let whole = cpio(&["init", "usr/bin/nfsmount"]);
    for image in [
        b"".to_vec(),
        b"x".to_vec(),
        [&whole[..], b"more"].concat(),
        b"BZh91AY&SY".to_vec(),
        b"070701 and something else".to_vec(),
        gzip(b"070701 and something else"),
    ] {
        assert_eq!(seen(&image), Initramfs::Unknown);
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::fast();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

/// lz4's legacy format, with blocks of literals only.
fn lz4(bytes: &[u8]) -> Vec<u8> {
    let mut packed = b"\x02\x21\x4c\x18".to_vec();
    for block in bytes.chunks(14) {
        packed.extend(u32::try_from(block.len() + 1).unwrap().to_le_bytes());
        packed.push((block.len() as u8) << 4);
        packed.extend(block);
    }
    packed
}

/// Returns why an initramfs would not be unpacked.
fn why(image: &[u8]) -> &'static str {
    match seen(image) {
        Initramfs::Broken(_, why) => why.split(',').next().unwrap_or_default(),
        _ => "",
    }
}

#[test]
fn truncation_is_detected_at_every_offset() {
    let noise: String = (0..3000u32)
        .map(|n| char::from(b'a' + (n.wrapping_mul(2_654_435_761) >> 27) as u8 % 26))
        .collect();
    let program = format!("usr/bin/program={noise}");
    let main = cpio(&["init", &program, "usr/bin/nfsmount"]);
    let mut early = cpio(&["kernel/x86/microcode/GenuineIntel.bin"]);
    early.resize(early.len().next_multiple_of(512), 0);
    let xz = liblzma::encode_all(main.as_slice(), 1).unwrap();
    let zstd = zstd::encode_all(main.as_slice(), 1).unwrap();
    for (kind, packed) in [
        ("plain", main.clone()),
        ("gzip", gzip(&main)),
        ("xz", xz),
        ("zstd", zstd),
        ("lz4", lz4(&main)),
    ] {
        for before in [&b""[..], &early] {
            let whole = [before, &packed].concat();
            for padding in [0, 1, 4, 511, 4096] {
                let mut padded = whole.clone();
                padded.resize(whole.len() + padding, 0);
                let is_read = matches!(seen(&padded), Initramfs::Read(found) if found.init);
                assert!(is_read, "{kind} {padding}");
            }
            for cut in (before.len() + 16..whole.len() - 124).step_by(7) {
                assert_eq!(why(&whole[..cut]), "ends early", "{kind} {cut}");
                // What was lost may have become NULs.
                let mut filled = whole[..cut].to_vec();
                filled.resize(whole.len() + 900, 0);
                assert_ne!(why(&filled), "", "{kind} {cut}");
            }
        }
    }
    // An archive before another one does without its last entry.
    let mut open = cpio(&["etc/x"]);
    open.truncate(open.len() - cpio(&[]).len());
    open.resize(open.len() + 8, 0);
    assert!(found(&[open, main.clone()].concat()).unwrap().init);
    assert!(why(b"\x04\x22\x4d\x18 and more").contains("lz4's frame format"));
    // One that was packed when it already ended early.
    let half = &main[..main.len() / 2];
    for packed in [gzip(half), lz4(half), [gzip(&main), gzip(half)].concat()] {
        assert_eq!(why(&packed), "ends early");
    }
}

#[test]
fn a_boot_configuration_behind_it_is_no_part_of_it() {
    let config = b"kernel.quiet = 1\n\0\0\0";
    for packed in [cpio(&["init"]), lz4(&cpio(&["init"]))] {
        let mut image = packed;
        image.extend(config);
        image.extend(u32::try_from(config.len()).unwrap().to_le_bytes());
        image.extend(b"sum.#BOOTCONFIG\n");
        assert!(found(&image).unwrap().init);
        image.extend(b"\0\0");
        assert!(found(&image).unwrap().init);
    }
}

#[test]
fn a_large_one_is_read_to_its_end() {
    let firmware = format!("firmware={}", "x".repeat(130 << 20));
    let whole = cpio(&[&firmware, "init", "scripts/nfs"]);
    assert!(found(&whole).is_some_and(|found| found.nfs_script));
    assert!(matches!(
        seen(&whole[..whole.len() - 200]),
        Initramfs::Broken(..)
    ));
}

#[test]
fn modules_are_known_by_their_names_up_to_a_number() {
    let dir = "lib/modules/6.1.0";
    let named = [
        format!("{dir}/kernel/drivers/usb/storage/usb-storage.ko.xz"),
        format!("{dir}/updates/dkms/own.ko"),
        format!("{dir}/modules.dep"),
    ];
    let all = found(&cpio(&["init", &named[0], &named[2]])).unwrap();
    assert!(all.has_module("usb_storage") && !all.has_module("own") && !all.added_module);
    assert!(found(&cpio(&["init", &named[1]])).unwrap().added_module);
    let many: Vec<String> = (0..9000).map(|n| format!("{dir}/kernel/m{n}.ko")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let all = found(&cpio(&many)).unwrap();
    assert!(all.names.len() == MODULES && all.has_module("own"));
}
