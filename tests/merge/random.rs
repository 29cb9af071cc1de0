//! Random histories of both sides: nothing of TO is lost, and what FROM changed is in the result or beside it.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use netbe::btrfs::subvolume;

use crate::support::{Garden, Numbers, Pool};

/// What stands at a path, without names of files with several.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    Directory(u32, u32),
    File(u32, u32, Vec<u8>, Option<Vec<u8>>),
    Link(PathBuf),
    Pipe(u32),
}

type Tree = BTreeMap<PathBuf, Entry>;

fn tree(top: &Path) -> Tree {
    let mut found = Tree::new();
    let mut waiting = vec![top.to_path_buf()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let m = path.symlink_metadata().unwrap();
            let entry = if m.is_dir() {
                waiting.push(path.clone());
                Entry::Directory(m.mode(), m.uid())
            } else if m.is_symlink() {
                Entry::Link(fs::read_link(&path).unwrap())
            } else if m.file_type().is_fifo() {
                Entry::Pipe(m.mode())
            } else {
                let value = xattr::get(&path, "user.x").unwrap();
                Entry::File(m.mode(), m.uid(), fs::read(&path).unwrap(), value)
            };
            found.insert(path.strip_prefix(top).unwrap().to_path_buf(), entry);
        }
    }
    found
}

/// Returns whether an entry stands at a path, or beside it or one of the directories above it.
fn is_kept(merged: &Tree, path: &Path, entry: &Entry) -> bool {
    if merged.get(path) == Some(entry) {
        return true;
    }
    path.ancestors()
        .filter(|p| !p.as_os_str().is_empty())
        .any(|above| {
            let name = [above.file_name().unwrap().as_bytes(), b".netbe-a"].concat();
            let mut beside = above.with_file_name(std::ffi::OsStr::from_bytes(&name));
            if let Ok(rest) = path.strip_prefix(above)
                && !rest.as_os_str().is_empty()
            {
                beside.push(rest);
            }
            merged.get(&beside) == Some(entry)
        })
}

#[test]
fn invariant_14_random_changes_of_both_sides_are_kept() {
    let pool = Pool::with_node();
    let data = |env: &str| pool.half(env, "root").join("srv/data");
    let (mut taken, mut both) = (0, 0);
    for seed in 1..=10 {
        let mut numbers = Numbers::new(seed * 15_485_863);
        let mut grow = |env: &str, steps: usize| {
            let top = data(env);
            let mut garden = Garden {
                top: &top,
                numbers: &mut numbers,
            };
            (0..steps).for_each(|_| garden.step());
        };
        let _ = fs::remove_dir_all(data("nog/a"));
        fs::create_dir_all(data("nog/a")).unwrap();
        grow("nog/a", 150);
        pool.netbe().ok("create nog/b");
        let base = tree(&data("nog/a"));
        grow("nog/a", 30);
        grow("nog/b", 30);
        let done = pool.netbe().run("merge nog/a nog/b --name m");
        assert!(done.status <= 1, "{seed}: {}", done.stderr);
        let (from, to) = (tree(&data("nog/a")), tree(&data("nog/b")));
        let merged = match pool.names("nog").contains(&"m".to_string()) {
            true => tree(&data("nog/m")),
            false => to.clone(),
        };
        for (path, entry) in &to {
            if merged.get(path) != Some(entry) {
                assert_ne!(
                    from.get(path),
                    base.get(path),
                    "{seed}: {path:?} of TO alone changed"
                );
                assert_eq!(
                    to.get(path),
                    base.get(path),
                    "{seed}: {path:?} of TO was lost"
                );
                taken += 1;
            }
        }
        for (path, entry) in &from {
            let is_changed = base.get(path) != Some(entry);
            let is_directory = matches!(entry, Entry::Directory(..));
            if is_changed && !is_directory {
                assert!(
                    is_kept(&merged, path, entry),
                    "{seed}: {path:?} of FROM was lost: {entry:?}"
                );
                both += u32::from(merged.get(path) != Some(entry));
            }
        }
        // Nothing is made up.
        for (path, entry) in &merged {
            let is_beside = path
                .iter()
                .any(|part| part.as_bytes().ends_with(b".netbe-a"));
            let is_known = [&from, &to]
                .iter()
                .any(|tree| tree.get(path) == Some(entry));
            assert!(is_known || is_beside, "{seed}: {path:?}: {entry:?}");
        }
        assert!(subvolume::is_subvolume(&pool.half("nog/a", "root")).unwrap());
        for env in ["nog/b", "nog/m"] {
            pool.netbe().run(&format!("destroy -y {env}"));
        }
        fs::remove_dir_all(data("nog/a")).unwrap();
    }
    assert!(
        taken > 10,
        "only {taken} of TO's paths were changed as in FROM"
    );
    assert!(both > 5, "only {both} of FROM's are beside TO's");
}
