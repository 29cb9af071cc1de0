//! Directories of this machine, with whatever is mounted in them.

use std::path::Path;

use crate::pool::{Pool, run};
use crate::{system, tree};

fn assert_exact(from: &Path) {
    let pool = Pool::new();
    let from = if from.as_os_str().is_empty() {
        pool.work.join("system")
    } else {
        pool.top.join(from)
    };
    std::fs::create_dir_all(&from).unwrap();
    system::complete(&from);
    let mut expected = tree::read(&from);
    let imported = pool.import_directory(&from).unwrap();
    assert_eq!(imported.boot_mount, "/boot");
    assert_eq!(imported.notes, Vec::<String>::new());
    let boot = tree::take(&mut expected, "boot");
    tree::assert_same(&expected, &tree::read(&pool.root));
    tree::assert_same(&boot, &tree::read(&pool.boot));
    // The source is as it was.
    expected = tree::read(&from);
    tree::take(&mut expected, "boot");
    let mut root = tree::read(&pool.root);
    tree::take(&mut root, "boot");
    tree::assert_same(&expected, &root);
}

#[test]
fn everything_arrives_from_another_filesystem() {
    assert_exact(Path::new(""));
}

#[test]
fn everything_arrives_from_the_same_filesystem_and_is_shared() {
    assert_exact(Path::new("elsewhere"));
    let pool = Pool::new();
    let from = pool.top.join("system");
    std::fs::create_dir(&from).unwrap();
    system::minimal(&from);
    std::fs::write(from.join("large"), vec![7; 64 << 20]).unwrap();
    run("sync", &["-f", pool.top.to_str().unwrap()]);
    pool.import_directory(&from).unwrap();
    run("sync", &["-f", pool.top.to_str().unwrap()]);
    let usage = run(
        "btrfs",
        &[
            "filesystem",
            "du",
            "-s",
            "--raw",
            pool.root.to_str().unwrap(),
        ],
    );
    let shared: u64 = usage
        .lines()
        .last()
        .and_then(|l| l.split_whitespace().nth(2)?.parse().ok())
        .unwrap();
    assert!(shared >= 64 << 20, "{usage}");
}

#[test]
fn a_separate_boot_filesystem_is_taken_and_others_are_left_out() {
    let pool = Pool::new();
    let from = pool.work.join("system");
    std::fs::create_dir(&from).unwrap();
    system::minimal(&from);
    let mounted = |name: &str| {
        let place = from.join(name);
        std::fs::create_dir_all(&place).unwrap();
        let image = pool.work.join(name.replace('/', "-"));
        std::fs::File::create(&image)
            .unwrap()
            .set_len(8 << 20)
            .unwrap();
        run("mkfs.ext4", &["-q", image.to_str().unwrap()]);
        run(
            "mount",
            &[
                "-o",
                "loop",
                image.to_str().unwrap(),
                place.to_str().unwrap(),
            ],
        );
        place
    };
    let boot = mounted("boot/firmware");
    std::fs::write(boot.join("kernel8.img"), "kernel").unwrap();
    std::fs::write(boot.join("cmdline.txt"), "root=PARTUUID=x").unwrap();
    let home = mounted("home");
    std::fs::write(home.join("letter"), "private").unwrap();
    for (kind, name) in [("tmpfs", "run"), ("proc", "proc"), ("sysfs", "sys")] {
        let place = from.join(name);
        std::fs::create_dir(&place).unwrap();
        run("mount", &["-t", kind, kind, place.to_str().unwrap()]);
    }
    std::fs::write(from.join("run/pid"), "1").unwrap();
    let imported = pool.import_directory(&from).unwrap();
    assert_eq!(imported.boot_mount, "/boot/firmware");
    assert!(pool.boot.join("kernel8.img").is_file());
    assert!(pool.root.join("boot/vmlinuz-6.1").is_file());
    for empty in ["home", "run", "proc", "sys", "boot/firmware"] {
        let names = std::fs::read_dir(pool.root.join(empty)).unwrap();
        assert_eq!(names.count(), 0, "{empty}");
    }
    let mut notes = imported.notes.join("\n");
    assert!(notes.contains("separate filesystems: /home"), "{notes}");
    notes.retain(|c| c != '\n');
    for name in ["/proc", "/run", "/sys"] {
        assert!(notes.contains(name), "{notes}");
    }
    assert_eq!(imported.notes.len(), 2, "{notes}");
}

#[test]
fn nested_subvolumes_become_directories() {
    let pool = Pool::new();
    let from = pool.top.join("system");
    run("btrfs", &["subvolume", "create", from.to_str().unwrap()]);
    system::minimal(&from);
    std::fs::create_dir_all(from.join("var/lib")).unwrap();
    let machines = from.join("var/lib/machines");
    run(
        "btrfs",
        &["subvolume", "create", machines.to_str().unwrap()],
    );
    std::fs::write(machines.join("file"), "in it").unwrap();
    let imported = pool.import_directory(&from).unwrap();
    assert_eq!(
        imported.notes,
        ["nested subvolume var/lib/machines copied as a directory"]
    );
    let copy = pool.root.join("var/lib/machines");
    assert_eq!(std::fs::read(copy.join("file")).unwrap(), b"in it");
    let list = run(
        "btrfs",
        &["subvolume", "list", "-o", pool.root.to_str().unwrap()],
    );
    assert_eq!(list, "");
}

#[test]
fn kernels_that_are_links_into_usr_come_into_the_boot_half() {
    let pool = Pool::new();
    let from = pool.work.join("system");
    std::fs::create_dir(&from).unwrap();
    system::minimal(&from);
    let modules = from.join("usr/lib/modules/6.12.9-1-default");
    std::fs::create_dir_all(&modules).unwrap();
    std::fs::rename(from.join("boot/vmlinuz-6.1"), modules.join("vmlinuz")).unwrap();
    std::os::unix::fs::symlink(
        "../usr/lib/modules/6.12.9-1-default/vmlinuz",
        from.join("boot/vmlinuz-6.1"),
    )
    .unwrap();
    let imported = pool.import_directory(&from).unwrap();
    let kernel = pool.boot.join("vmlinuz-6.1");
    assert!(kernel.symlink_metadata().unwrap().is_file());
    assert_eq!(std::fs::read(&kernel).unwrap(), b"a kernel");
    assert!(imported.notes[0].contains("was a link to /usr/lib/modules/"));
    pool.renew();
    // Nothing in /boot leads there: it is told where the kernel is.
    std::fs::remove_file(from.join("boot/vmlinuz-6.1")).unwrap();
    std::fs::remove_file(from.join("boot/vmlinuz")).unwrap();
    let refused = pool.import_directory(&from).unwrap_err();
    assert!(
        format!("{refused:#}")
            .contains("there is one at /usr/lib/modules/6.12.9-1-default/vmlinuz"),
        "{refused:#}"
    );
}

#[test]
fn the_pool_itself_is_no_source() {
    let pool = Pool::new();
    system::minimal(&pool.top);
    let error = pool.import_directory(&pool.top).unwrap_err();
    assert!(
        format!("{error:#}").contains("is the pool itself"),
        "{error:#}"
    );
}

#[test]
fn a_pool_below_the_source_is_left_out() {
    let pool = Pool::new();
    let server = pool.top.join("server");
    std::fs::create_dir(&server).unwrap();
    system::minimal(&server);
    std::fs::create_dir(server.join("srv")).unwrap();
    // The pool moves below the system, as /srv/netbe on a server with one btrfs.
    let below = server.join("srv/netbe");
    std::fs::create_dir(&below).unwrap();
    std::fs::rename(pool.top.join("nodes"), below.join("nodes")).unwrap();
    std::fs::rename(pool.top.join("pool.json"), below.join("pool.json")).unwrap();
    let stage = below.join("nodes/.staged-1");
    let moved = Pool {
        root: stage.join("root"),
        boot: stage.join("boot"),
        scratch: stage.join("scratch"),
        ..pool
    };
    let imported = moved.import_directory(&server).unwrap();
    assert_eq!(
        imported.notes,
        ["left out, since it is the pool itself: /srv/netbe"]
    );
    let copy = moved.root.join("srv/netbe");
    assert_eq!(std::fs::read_dir(copy).unwrap().count(), 0);
}

#[test]
fn the_boot_half_comes_from_the_named_directory() {
    let pool = Pool::new();
    let from = pool.work.join("system");
    std::fs::create_dir(&from).unwrap();
    system::minimal(&from);
    std::fs::create_dir(from.join("boot/firmware")).unwrap();
    std::fs::write(from.join("boot/firmware/old"), "old").unwrap();
    let boot = pool.work.join("tftpboot");
    std::fs::create_dir(&boot).unwrap();
    std::fs::write(boot.join("kernel8.img"), "kernel").unwrap();
    let source = netbe::lifecycle::import::unpack::Source::Directory(from.clone());
    let imported = pool.import(&source, Some(&boot)).unwrap();
    assert_eq!(imported.boot_mount, "/boot/firmware");
    assert!(pool.boot.join("kernel8.img").is_file());
    assert!(!pool.root.join("boot/firmware/old").exists());
    assert_eq!(imported.notes.len(), 1);
    pool.renew();

    std::fs::create_dir_all(from.join("etc")).unwrap();
    std::fs::write(from.join("etc/fstab"), "LABEL=b /boot vfat\n").unwrap();
    let imported = pool.import(&source, Some(&boot)).unwrap();
    assert_eq!(imported.boot_mount, "/boot");
    assert!(!pool.root.join("boot/vmlinuz-6.1").exists());
}
