//! Files that netbe reads from an image itself, compared with those of the kernel's driver.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use netbe::lifecycle::import::unpack::{Driver, Source};

use crate::disks::MIB;
use crate::pool::{Pool, run, shell};
use crate::support::unmount;
use crate::{system, tree};

/// A pool whose images are in memory: what waits for a disk here waits for it often.
fn in_memory() -> (Pool, Memory) {
    let pool = Pool::new();
    let work = pool.work.clone();
    run("mount", &["-t", "tmpfs", "images", work.to_str().unwrap()]);
    (pool, Memory(work))
}

struct Memory(PathBuf);

impl Drop for Memory {
    fn drop(&mut self) {
        let _ = nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH);
    }
}

/// Makes a filesystem, mounts it, and fills it; what `fill` returns is the image as it then is.
fn made(pool: &Pool, mkfs: &str, fill: impl Fn(&Path)) -> PathBuf {
    let image = pool.work.join("made.img");
    let _ = std::fs::remove_file(&image);
    File::create(&image).unwrap().set_len(128 * MIB).unwrap();
    let top = pool.work.join("mounted");
    let _ = std::fs::create_dir(&top);
    shell(&format!("{mkfs} '{}'", image.display()));
    run(
        "mount",
        &["-o", "loop", image.to_str().unwrap(), top.to_str().unwrap()],
    );
    fill(&top);
    unmount(&top);
    image
}

/// Brings an image in by both ways, and insists that the same arrives, to the last attribute.
fn assert_alike(pool: &Pool, image: &Path, what: &str) -> tree::Tree {
    let source = Source::File(image.into());
    let mut arrived = Vec::new();
    for driver in [Driver::Kernel, Driver::Own] {
        let imported = pool.import_with(driver, &source, None);
        let imported = imported.unwrap_or_else(|e| panic!("{what}, {driver:?}: {e:#}"));
        arrived.push((tree::read(&pool.root), tree::read(&pool.boot), imported));
        pool.renew();
    }
    let (own, kernel) = (arrived.pop().unwrap(), arrived.pop().unwrap());
    eprintln!("{what}: {} files", own.0.len());
    tree::assert_same(&kernel.0, &own.0);
    tree::assert_same(&kernel.1, &own.1);
    assert_eq!(kernel.2, own.2, "{what}");
    own.0
}

/// What an ordinary system has little of, and what is kept in ways of its own.
fn rare_attributes(top: &Path) {
    system::complete(top);
    let at = top.join("srv");
    std::fs::create_dir_all(at.join("many")).unwrap();
    for n in 0..400 {
        File::create(at.join(format!("many/{n}-{}", "x".repeat(n % 120)))).unwrap();
    }
    // Many extents; some that were never written; one far behind the others; no content but a size.
    let holes = File::create(at.join("holes")).unwrap();
    for n in 0..400 {
        holes.write_all_at(&[7; 3000], n * 16384).unwrap();
    }
    let far = File::create(at.join("far")).unwrap();
    far.write_all_at(b"first", 0).unwrap();
    far.write_all_at(b"last", 100 * MIB).unwrap();
    shell(&format!(
        "cd '{}'; (fallocate -l 300000 set-aside && printf x | dd of=set-aside bs=1 seek=100000 conv=notrunc) 2>/dev/null || :
         truncate -s 20M empty; printf %150s x > short; printf 1234 > shorter; : > nothing
         mkdir few; touch few/a few/b; ln -s {} long; ln -s a short-link
         touch -d '2300-01-02 03:04:05.678' later; touch -d '1901-12-14' earlier",
        at.display(),
        "t".repeat(300)
    ));
    for n in 0..20 {
        let value = vec![n as u8; 20 + n * 8];
        // As many as there is room for.
        let _ = xattr::set(at.join("few"), format!("user.attribute-{n}"), &value);
    }
    xattr::set(at.join("short"), "trusted.one", b"with data in it").unwrap();
    xattr::set(at.join("short"), "security.ima", b"\x03").unwrap();
}

#[test]
fn ext_filesystems_of_all_kinds_arrive_as_the_kernel_reads_them() {
    let (pool, _memory) = in_memory();
    for mkfs in [
        "mkfs.ext4 -q",
        "mkfs.ext4 -q -b 1024 -O ^metadata_csum,^64bit,^has_journal,^resize_inode,meta_bg",
        "mkfs.ext4 -q -b 2048 -O inline_data,metadata_csum_seed -I 512",
        "mkfs.ext4 -q -O inline_data,large_dir",
        "mkfs.ext4 -q -O bigalloc -C 16384",
        "mkfs.ext4 -q -I 128 -O ^metadata_csum,^dir_index,^filetype",
        "mkfs.ext3 -q -b 1024 -O ^sparse_super,^resize_inode",
        "mkfs.ext2 -q -b 1024",
        "mkfs.ext2 -q -r 0",
    ] {
        let image = made(&pool, mkfs, rare_attributes);
        let arrived = assert_alike(&pool, &image, mkfs);
        assert!(arrived.len() > 450);
        assert!(arrived[Path::new("srv/far")].has_holes);
    }
}

#[test]
fn large_attributes_in_inodes_of_their_own_arrive() {
    let (pool, _memory) = in_memory();
    let image = made(&pool, "mkfs.ext4 -q -O ea_inode", |top| {
        system::minimal(top);
        for (name, length) in [("a", 5000), ("b", 12_000), ("c", 3000)] {
            let value = vec![name.as_bytes()[0]; length];
            xattr::set(top.join("etc/passwd"), format!("user.{name}"), &value).unwrap();
            xattr::set(top.join("etc/group"), format!("user.{name}"), &value).unwrap();
        }
    });
    let arrived = assert_alike(&pool, &image, "ea_inode");
    assert_eq!(arrived[Path::new("etc/group")].xattrs.len(), 3);
}

/// An image that is taken while it is mounted, with changes that stand nowhere but in its journal.
fn dirty(pool: &Pool, mkfs: &str, options: &str) -> PathBuf {
    let image = made(pool, mkfs, system::complete);
    let (top, copy) = (pool.work.join("mounted"), pool.work.join("dirty.img"));
    let script = r#"
        mount -o "loop,$3" "$1" "$2"
        cd "$2"
        mkdir -p srv/a/b gone; touch gone/1 gone/2; printf '\300\073\071\230 begins like a journal' > srv/escaped
        for i in 1 2 3 4 5 6 7 8 9; do mkdir -p "srv/$i"; seq 1 "${i}000" > "srv/$i/text"; sync -f srv; done
        rm -r gone srv/3; mv srv/4 srv/a/b/; mkdir srv/3; printf new > srv/3/other; ln srv/5/text srv/5/again
        setfattr -n user.x -v y srv/5; chmod 4711 srv/5/text; truncate -s 10 srv/6/text
        sync -f srv
        cp --sparse=always "$1" "$4"
        cd /; umount "$2""#;
    let arguments = [&image, &top, Path::new(options), &copy].map(|p| p.to_str().unwrap());
    run(
        "sh",
        &[&["-euc", script, "sh"][..], &arguments[..]].concat(),
    );
    let features = shell(&format!("dumpe2fs -h '{}' 2>/dev/null", copy.display()));
    assert!(features.contains("needs_recovery"), "{features}");
    copy
}

#[test]
fn journals_are_played_back_as_the_kernel_does() {
    let (pool, _memory) = in_memory();
    for (mkfs, options) in [
        ("mkfs.ext4 -q", "rw"),
        ("mkfs.ext4 -q", "data=journal"),
        ("mkfs.ext4 -q -b 1024 -O ^metadata_csum -J size=4", "rw"),
        ("mkfs.ext4 -q -O ^64bit", "data=journal"),
        ("mkfs.ext3 -q -b 2048", "rw"),
    ] {
        let image = dirty(&pool, mkfs, options);
        let what = format!("{mkfs}, {options}");
        let arrived = assert_alike(&pool, &image, &what);
        let content = |path: &str| arrived[Path::new(path)].content.clone();
        assert_eq!(content("srv/3/other"), b"new", "{what}");
        assert!(
            content("srv/escaped").starts_with(b"\xc0\x3b\x39\x98"),
            "{what}"
        );
        assert!(!arrived.contains_key(Path::new("gone")), "{what}");
    }
}
