//! Makes disk images as distributions ship them, without mounting anything.

use std::path::{Path, PathBuf};

use crate::pool::{Pool, run, shell};
use crate::system;

pub(crate) const MIB: u64 = 1 << 20;

/// Writes a filesystem image's bytes into a disk at an offset.
pub(crate) fn place(part: &Path, disk: &Path, at: u64) {
    shell(&format!(
        "dd if='{}' of='{}' bs=1M seek={} conv=notrunc,sparse status=none",
        part.display(),
        disk.display(),
        at / MIB
    ));
}

pub(crate) fn fat(pool: &Pool, bits: &str, size: u64) -> PathBuf {
    let part = pool.work.join("fat.part");
    let _ = std::fs::remove_file(&part);
    std::fs::File::create(&part).unwrap().set_len(size).unwrap();
    let at = part.to_str().unwrap();
    run(
        "mkfs.vfat",
        &["-F", bits, "-n", "bootfs", "-i", "1234ABCD", at],
    );
    let boot = pool.work.join("fat");
    let _ = std::fs::remove_dir_all(&boot);
    std::fs::create_dir_all(boot.join("overlays/deep")).unwrap();
    std::fs::write(boot.join("config.txt"), "arm_64bit=1\n").unwrap();
    std::fs::write(boot.join("cmdline.txt"), "root=PARTUUID=x rootwait\n").unwrap();
    std::fs::write(boot.join("bcm2711-rpi-4-b.dtb"), vec![1; 54_321]).unwrap();
    std::fs::write(boot.join("LICENCE.broadcom"), "licence").unwrap();
    std::fs::write(boot.join("overlays/README"), "readme").unwrap();
    std::fs::write(
        boot.join("overlays/deep/Überlange Name mit ä.dtbo"),
        "umlaut",
    )
    .unwrap();
    std::fs::write(boot.join("empty"), "").unwrap();
    let kernel: Vec<u8> = (0..3_000_001u32)
        .map(|n| (n.wrapping_mul(n) >> 9) as u8)
        .collect();
    std::fs::write(boot.join("kernel8.img"), kernel).unwrap();
    shell(&format!(
        "find '{0}' -exec touch -d '2023-04-05 06:07:08 UTC' {{}} +; \
         cd '{0}'; TZ=UTC LC_ALL=C.UTF-8 mcopy -s -m -Q -i '{1}' * ::",
        boot.display(),
        part.display()
    ));
    part
}

pub(crate) fn ext(pool: &Pool, from: &Path, size: u64, kind: &str) -> PathBuf {
    let part = pool.work.join("ext.part");
    let _ = std::fs::remove_file(&part);
    std::fs::File::create(&part).unwrap().set_len(size).unwrap();
    let (from, at) = (from.to_str().unwrap(), part.to_str().unwrap());
    run(
        &format!("mkfs.{kind}"),
        &[
            "-q",
            "-d",
            from,
            "-L",
            "rootfs",
            "-U",
            "11111111-2222-3333-4444-555555555555",
            at,
        ],
    );
    part
}

pub(crate) const MBR: &str =
    "label: dos\nlabel-id: 0x12345678\nstart=4MiB, size=40MiB, type=c\nstart=44MiB, type=83\n";
pub(crate) const GPT: &str = "label: gpt\nstart=4MiB, size=40MiB, type=U, uuid=AAAAAAAA-0000-4000-8000-000000000001, name=boot\nstart=44MiB, size=150MiB, type=L, uuid=AAAAAAAA-0000-4000-8000-000000000002\n";

/// Makes a disk of a FAT at 4 MiB and another partition at 44 MiB.
pub(crate) fn disk(pool: &Pool, table: &str, boot: &Path, root: &Path) -> PathBuf {
    let disk = pool.work.join("disk.img");
    let _ = std::fs::remove_file(&disk);
    std::fs::File::create(&disk)
        .unwrap()
        .set_len(200 * MIB)
        .unwrap();
    shell(&format!(
        "printf '{table}' | sfdisk -q '{}'",
        disk.display()
    ));
    place(boot, &disk, 4 * MIB);
    place(root, &disk, 44 * MIB);
    disk
}

pub(crate) fn raspberry(pool: &Pool, fstab: &str) -> PathBuf {
    let from = pool.work.join("system");
    std::fs::create_dir(&from).unwrap();
    system::complete(&from);
    std::fs::create_dir(from.join("boot/firmware")).unwrap();
    std::fs::write(from.join("etc/fstab"), fstab).unwrap();
    from
}
