use super::*;

fn archive(name: &str, content: &[u8]) -> Archive {
    Archive {
        file: name.to_string(),
        size: content.len() as u64,
        sha256: Sha256::digest(content).into(),
    }
}

pub(super) struct Place {
    pub(super) _dir: tempfile::TempDir,
    pub(super) cache: PackageCache,
    pub(super) at: PathBuf,
    pub(super) tree: Tree,
}

pub(super) fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("archives");
    fs::create_dir(&at).unwrap();
    Place {
        cache: PackageCache::new(dir.path().join("packages")),
        tree: Tree::open(&at).unwrap(),
        at,
        _dir: dir,
    }
}

#[test]
fn sparse_and_special_files_are_not_cached() {
    let Place {
        cache,
        at,
        tree,
        _dir,
    } = place();
    let sparse = File::create(at.join("a.deb")).unwrap();
    sparse.set_len(1 << 42).unwrap();
    let mut holed = File::create(at.join("b.deb")).unwrap();
    io::Write::write_all(&mut holed, b"begins well").unwrap();
    holed.set_len(1 << 30).unwrap();
    nix::unistd::mkfifo(&at.join("c.deb"), Mode::S_IRWXU).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", at.join("d.deb")).unwrap();
    fs::write(at.join("e.deb"), b"content").unwrap();
    assert_eq!(cache.add(&tree, |_| true).unwrap(), 1);
    assert_eq!(fs::read_dir(&cache.dir).unwrap().count(), 1);
}

#[test]
fn a_package_is_returned_for_its_checksum() {
    let Place {
        cache,
        at,
        tree,
        _dir,
    } = place();
    assert!(cache.is_empty());
    fs::write(at.join("a_1_all.deb"), b"content").unwrap();
    fs::write(at.join("lock"), b"").unwrap();
    assert_eq!(cache.add(&tree, |_| true).unwrap(), 1);
    assert_eq!(cache.add(&tree, |_| true).unwrap(), 0);
    assert!(!cache.is_empty());
    fs::remove_file(at.join("a_1_all.deb")).unwrap();
    assert!(
        cache
            .copy_to(&archive("b_1_all.deb", b"content"), &tree)
            .unwrap()
    );
    assert_eq!(fs::read(at.join("b_1_all.deb")).unwrap(), b"content");
    // The same name and size with other content, which apt would accept.
    assert!(
        !cache
            .copy_to(&archive("a_1_all.deb", b"CONTENT"), &tree)
            .unwrap()
    );
    assert!(!at.join("a_1_all.deb").exists());
}

#[test]
fn a_damaged_package_is_removed() {
    let Place {
        cache,
        at,
        tree,
        _dir,
    } = place();
    fs::write(at.join("a_1_all.deb"), b"content").unwrap();
    cache.add(&tree, |_| true).unwrap();
    let wanted = archive("a_1_all.deb", b"content");
    fs::write(cache.dir.join(hex::digits(&wanted.sha256)), b"c0ntent").unwrap();
    assert!(!cache.copy_to(&wanted, &tree).unwrap());
    assert!(!at.join("a_1_all.deb").exists());
    assert!(cache.is_empty());
}

#[test]
fn a_package_emptied_by_a_power_cut_is_replaced() {
    let Place {
        cache,
        at,
        tree,
        _dir,
    } = place();
    let wanted = archive("a_1_all.deb", b"content");
    fs::create_dir(&cache.dir).unwrap();
    fs::write(cache.dir.join(hex::digits(&wanted.sha256)), b"").unwrap();
    assert!(!cache.copy_to(&wanted, &tree).unwrap());
    fs::write(at.join("a_1_all.deb"), b"content").unwrap();
    assert_eq!(cache.add(&tree, |_| true).unwrap(), 1);
    assert!(cache.copy_to(&wanted, &tree).unwrap());
}

#[test]
fn only_regular_and_wanted_files_are_cached() {
    let Place {
        cache,
        at,
        tree,
        _dir,
    } = place();
    std::os::unix::fs::symlink("/etc/passwd", at.join("link.deb")).unwrap();
    fs::create_dir(at.join("dir.deb")).unwrap();
    nix::unistd::mkfifo(&at.join("pipe.deb"), Mode::S_IRWXU).unwrap();
    fs::write(at.join("had.deb"), b"1").unwrap();
    fs::write(at.join("no package"), b"2").unwrap();
    assert_eq!(cache.add(&tree, |name| name != "had.deb").unwrap(), 0);
    assert!(cache.is_empty());
}

#[test]
fn a_package_unused_for_a_month_is_deleted() {
    let Place {
        cache,
        at,
        tree,
        _dir,
    } = place();
    for (name, content) in [("old.deb", b"1"), ("new.deb", b"2")] {
        fs::write(at.join(name), content).unwrap();
    }
    cache.add(&tree, |name| name == "old.deb").unwrap();
    let old = cache.dir.join(hex::digits(&Sha256::digest(b"1")));
    let long_ago = SystemTime::now() - MAX_AGE - Duration::from_secs(60);
    File::options()
        .write(true)
        .open(&old)
        .unwrap()
        .set_modified(long_ago)
        .unwrap();
    cache.add(&tree, |name| name == "new.deb").unwrap();
    assert!(!old.exists());
    assert_eq!(fs::read_dir(&cache.dir).unwrap().count(), 1);
}
