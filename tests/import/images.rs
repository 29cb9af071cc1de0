//! Disk images as distributions ship them.

use std::path::Path;

use netbe::failure::Failure;
use netbe::lifecycle::import::unpack::{Driver, Source, open};

use crate::disks::{GPT, MBR, MIB, disk, ext, fat, place, raspberry};
use crate::pool::{Pool, run, shell};
use crate::support::unmount;
use crate::{system, tree};

fn assert_raspberry(pool: &Pool, from: &Path) {
    let mut expected = tree::read(from);
    let mut found = tree::read(&pool.root);
    // mkfs.ext4 -d keeps neither nanoseconds nor times of its own top, nor holes in every case; and it
    // adds lost+found.
    found.remove(Path::new("lost+found"));
    expected.remove(Path::new(""));
    found.remove(Path::new(""));
    for entry in expected.values_mut().chain(found.values_mut()) {
        entry.modified = (entry.modified.0.max(0), 0);
        entry.has_holes = false;
    }
    expected.retain(|path, _| !path.to_string_lossy().contains("dangling"));
    found.retain(|path, _| !path.to_string_lossy().contains("dangling"));
    tree::assert_same(&expected, &found);
    assert_boot(pool);
}

/// Compares the boot half with what was put into the FAT.
fn assert_boot(pool: &Pool) {
    let mut expected = tree::read(&pool.work.join("fat"));
    expected.remove(Path::new(""));
    for entry in expected.values_mut() {
        entry.mode = if entry.kind == 'd' {
            0o040_755
        } else {
            0o100_644
        };
        entry.modified = (1_680_674_828, 0);
        entry.xattrs.clear();
    }
    let mut found = tree::read(&pool.boot);
    let top = found.remove(Path::new("")).unwrap();
    assert_eq!(top.mode, 0o040_755);
    tree::assert_same(&expected, &found);
}

#[test]
fn a_raspberry_pi_image_arrives_raw_and_compressed() {
    let pool = Pool::new();
    let fstab = "proc /proc proc defaults 0 0\n\
        PARTUUID=12345678-01  /boot/firmware  vfat  defaults  0 2\n\
        PARTUUID=12345678-02  /  ext4  defaults,noatime  0 1\n";
    let from = raspberry(&pool, fstab);
    let root = ext(&pool, &from, 150 * MIB, "ext4");
    let image = disk(&pool, MBR, &fat(&pool, "32", 40 * MIB), &root);
    for filter in ["cat", "xz -0 -T0", "zstd -q -1", "gzip -1"] {
        let source = pool.work.join("source");
        shell(&format!(
            "{filter} < '{}' > '{}'",
            image.display(),
            source.display()
        ));
        let before = run("sha256sum", &[source.to_str().unwrap()]);
        let opened = open(&Source::File(source.clone())).unwrap();
        let unseen = opened.foresee(Driver::Own).unwrap();
        assert_eq!(unseen.is_none(), filter == "cat", "{unseen:?}");
        let imported = pool.import_file(&source).unwrap();
        assert_eq!(imported.boot_mount, "/boot/firmware");
        assert_eq!(imported.notes, Vec::<String>::new());
        assert_raspberry(&pool, &from);
        assert_eq!(before, run("sha256sum", &[source.to_str().unwrap()]));
        pool.renew();
    }
}

#[test]
fn a_gpt_image_with_every_fat_and_name_arrives() {
    for (bits, what) in [
        ("12", "UUID=1234-ABCD"),
        ("16", "LABEL=BOOTFS"),
        ("32", "PARTUUID=aaaaaaaa-0000-4000-8000-000000000001"),
        ("32", "/dev/mmcblk0p1"),
    ] {
        let pool = Pool::new();
        let from = raspberry(&pool, &format!("{what} /boot/firmware vfat defaults 0 2\n"));
        let size = if bits == "12" { 12 } else { 40 };
        let root = ext(&pool, &from, 150 * MIB, "ext4");
        let image = disk(&pool, GPT, &fat(&pool, bits, size * MIB), &root);
        let imported = pool.import_file(&image).unwrap();
        assert_eq!(imported.boot_mount, "/boot/firmware", "{what}");
        assert_raspberry(&pool, &from);
    }
}

#[test]
fn logical_partitions_and_older_filesystems_are_read() {
    let pool = Pool::new();
    let from = raspberry(&pool, "LABEL=BOOTFS /boot/firmware vfat defaults 0 2\n");
    let table = "label: dos\nstart=4MiB, size=40MiB, type=c\nstart=42MiB, size=157MiB, type=5\n\
        start=44MiB, size=150MiB, type=83\n";
    let table = table
        .replace("start=42MiB, size=157MiB", "start=43MiB, size=156MiB")
        .replace("size=40MiB", "size=39MiB");
    let root = ext(&pool, &from, 150 * MIB, "ext2");
    let image = disk(&pool, &table, &fat(&pool, "16", 39 * MIB), &root);
    pool.import_file(&image).unwrap();
    assert_raspberry(&pool, &from);
}

#[test]
fn a_filesystem_without_a_table_is_a_root() {
    let pool = Pool::new();
    let from = pool.work.join("system");
    std::fs::create_dir(&from).unwrap();
    system::minimal(&from);
    let image = ext(&pool, &from, 64 * MIB, "ext4");
    let imported = pool.import_file(&image).unwrap();
    assert_eq!(imported.boot_mount, "/boot");
    assert!(pool.boot.join("vmlinuz").is_symlink());
}

#[test]
fn a_partition_that_fstab_does_not_mount_is_named() {
    let pool = Pool::new();
    let from = pool.work.join("system");
    std::fs::create_dir(&from).unwrap();
    system::minimal(&from);
    let other = pool.work.join("other.part");
    std::fs::rename(ext(&pool, &from, 40 * MIB, "ext4"), &other).unwrap();
    let root = ext(&pool, &from, 150 * MIB, "ext4");
    let imported = pool.import_file(&disk(&pool, GPT, &other, &root)).unwrap();
    assert_eq!(
        imported.notes,
        [
            "partition 1 of the image, ext4, was not imported: no line of the system's fstab mounts it"
        ]
    );
}

#[test]
fn an_interrupted_journal_is_played_back_in_a_copy() {
    let pool = Pool::new();
    let from = pool.work.join("system");
    std::fs::create_dir(&from).unwrap();
    system::minimal(&from);
    let image = ext(&pool, &from, 64 * MIB, "ext4");
    let top = pool.work.join("mounted");
    std::fs::create_dir(&top).unwrap();
    // What a power cut leaves: an image taken while the filesystem was mounted and had just been synced.
    let dirty = pool.work.join("dirty.img");
    shell(&format!(
        "mount -o loop '{0}' '{1}'; echo new > '{1}/etc/new'; sync -f '{1}/etc/new'; \
         cp '{0}' '{2}'; umount '{1}'",
        image.display(),
        top.display(),
        dirty.display()
    ));
    let features = shell(&format!("dumpe2fs -h '{}' 2>/dev/null", dirty.display()));
    assert!(features.contains("needs_recovery"), "{features}");
    let before = run("sha256sum", &[dirty.to_str().unwrap()]);
    pool.import_file(&dirty).unwrap();
    assert_eq!(std::fs::read(pool.root.join("etc/new")).unwrap(), b"new\n");
    assert_eq!(before, run("sha256sum", &[dirty.to_str().unwrap()]));
    pool.renew();
    let packed = pool.work.join("dirty.zst");
    shell(&format!(
        "zstd -q '{}' -o '{}'",
        dirty.display(),
        packed.display()
    ));
    pool.import_file(&packed).unwrap();
    assert_eq!(std::fs::read(pool.root.join("etc/new")).unwrap(), b"new\n");
}

#[test]
fn btrfs_roots_are_found_in_their_subvolumes() {
    for name in ["", "@", "root", "@rootfs"] {
        let pool = Pool::new();
        let image = pool.work.join("btrfs.img");
        std::fs::File::create(&image)
            .unwrap()
            .set_len(256 * MIB)
            .unwrap();
        let top = pool.work.join("mounted");
        std::fs::create_dir(&top).unwrap();
        let (at, mounted) = (image.to_str().unwrap(), top.to_str().unwrap());
        run("mkfs.btrfs", &["-q", at]);
        run("mount", &["-o", "loop", at, mounted]);
        let system = top.join(name);
        if !name.is_empty() {
            run("btrfs", &["subvolume", "create", system.to_str().unwrap()]);
        }
        system::complete(&system);
        let uuid = run("findmnt", &["-no", "UUID", mounted]);
        let fstab = format!(
            "UUID={0} / btrfs subvol={name} 0 0\nUUID={0} /home btrfs subvol=@home 0 0\n",
            uuid.trim()
        );
        std::fs::write(system.join("etc/fstab"), fstab).unwrap();
        run(
            "btrfs",
            &["subvolume", "create", top.join("@home").to_str().unwrap()],
        );
        std::fs::write(top.join("@home/letter"), "private").unwrap();
        let nested = system.join("var/nested");
        run("btrfs", &["subvolume", "create", nested.to_str().unwrap()]);
        std::fs::write(nested.join("file"), "in it").unwrap();
        let mut expected = tree::read(&system);
        unmount(&top);
        // netbe itself does not read it, and has nobody else do that unasked.
        let refused = pool.import_file(&image).unwrap_err();
        let hint = refused.chain().find_map(|e| e.downcast_ref::<Failure>());
        let hint = hint.unwrap().hint.clone().unwrap();
        assert!(
            hint.contains("netbe import --kernel-driver NODE /"),
            "{hint}"
        );
        pool.renew();
        let source = Source::File(image.clone());
        let imported = pool.import_with(Driver::Kernel, &source, None).unwrap();
        assert_eq!(
            std::fs::read(pool.root.join("home/letter")).unwrap(),
            b"private"
        );
        assert_eq!(
            std::fs::read(pool.root.join("var/nested/file")).unwrap(),
            b"in it"
        );
        let notes = imported.notes.join("\n");
        assert!(notes.contains("nested subvolume var/nested"), "{notes}");
        assert!(notes.contains("/home, a separate filesystem"), "{notes}");
        let mut found = tree::read(&pool.root);
        for tree in [&mut expected, &mut found] {
            tree::take(tree, "boot");
            tree.retain(|path, _| !path.starts_with("home") && !path.starts_with("@home"));
            tree.remove(Path::new(""));
        }
        tree::assert_same(&expected, &found);
    }
}

#[test]
fn the_firmware_partition_is_distinguished_from_an_efi_one() {
    let pool = Pool::new();
    // An EFI system partition, a firmware partition, a root; and an fstab that names neither.
    let from = raspberry(&pool, "UUID=EEEE-EEEE /boot/efi vfat defaults 0 1\n");
    let esp = pool.work.join("esp.part");
    std::fs::File::create(&esp)
        .unwrap()
        .set_len(30 * MIB)
        .unwrap();
    run("mkfs.vfat", &["-i", "EEEEEEEE", esp.to_str().unwrap()]);
    let image = pool.work.join("disk.img");
    std::fs::File::create(&image)
        .unwrap()
        .set_len(240 * MIB)
        .unwrap();
    let table = "label: gpt\nstart=4MiB, size=40MiB, type=L\nstart=44MiB, size=150MiB, type=L\nstart=200MiB, size=30MiB, type=U\n";
    shell(&format!(
        "printf '{table}' | sfdisk -q '{}'",
        image.display()
    ));
    place(&fat(&pool, "32", 40 * MIB), &image, 4 * MIB);
    place(&ext(&pool, &from, 150 * MIB, "ext4"), &image, 44 * MIB);
    place(&esp, &image, 200 * MIB);
    let imported = pool.import_file(&image).unwrap();
    assert_eq!(imported.boot_mount, "/boot/firmware");
    assert_boot(&pool);
}

#[test]
fn damaged_images_are_errors() {
    let pool = Pool::new();
    let from = raspberry(
        &pool,
        "PARTUUID=12345678-01 /boot/firmware vfat defaults 0 2\n",
    );
    let boot = fat(&pool, "32", 40 * MIB);
    let image = disk(&pool, MBR, &boot, &ext(&pool, &from, 150 * MIB, "ext4"));
    let error = |pool: &Pool| {
        let opened = open(&Source::File(image.clone())).unwrap();
        let foreseen = opened.foresee(Driver::Own).unwrap_err();
        let error = pool.import_file(&image).unwrap_err();
        pool.renew();
        assert_eq!(format!("{foreseen:#}"), format!("{error:#}"));
        format!("{error:#}")
    };
    let file = std::fs::File::options().write(true).open(&image).unwrap();
    file.set_len(100 * MIB).unwrap();
    let output = error(&pool);
    assert!(output.contains("cut short"), "{output}");
    // A disk with nothing on it but a FAT.
    let table = "label: dos\nstart=4MiB, size=40MiB, type=c\n";
    file.set_len(0).unwrap();
    file.set_len(60 * MIB).unwrap();
    shell(&format!(
        "printf '{table}' | sfdisk -q '{}'",
        image.display()
    ));
    place(&boot, &image, 4 * MIB);
    let output = error(&pool);
    assert!(output.contains("without an operating system"), "{output}");
}
