//! Mount points for the files that replace an environment's own in a sandbox.
//!
//! A file can only be mounted over a file. Where the environment has none (no `resolv.conf`, no `policy-rc.d`),
//! an empty one is made and removed after the run. After SIGKILL it remains, empty and not executable, which
//! means the same as no file. Existing files are never changed.

use std::os::unix::fs::MetadataExt;

use anyhow::{Context, bail};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use serde::{Deserialize, Serialize};

use crate::fs::rooted::Tree;

/// Where a replacement file goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Place {
    /// Mounted over the regular file at this path, symbolic links followed inside the root.
    Over(String),
    /// Created at this path, on one of the sandbox's own file systems.
    Fresh(String),
}

/// Directories with a file system of the sandbox's own, unless one is a symbolic link.
const FRESH: &[&str] = &["run", "tmp", "var/tmp"];
/// The kernel's file systems: no file can be placed there.
const KERNEL: &[&str] = &["proc/", "sys/", "dev/"];
/// As the kernel: `MAXSYMLINKS`.
const MAX_LINKS: usize = 40;

/// The empty files and directories made for one run; removed when dropped.
#[derive(Debug)]
pub(super) struct MountPoints<'a> {
    tree: &'a Tree,
    made: Vec<Made>,
}

#[derive(Debug)]
enum Made {
    File { path: String, inode: u64 },
    Directory(String),
}

impl<'a> MountPoints<'a> {
    pub(super) fn new(tree: &'a Tree) -> Self {
        Self {
            tree,
            made: Vec::new(),
        }
    }

    /// Returns where the replacement of a file goes, and makes its mount point if there is none.
    ///
    /// A device, directory or pipe at that path is an error that names it.
    pub(super) fn place(&mut self, path: &str) -> anyhow::Result<Place> {
        let end = end_of_links(self.tree, path)?;
        let plain = tidy(&end);
        if let Some(kind) = KERNEL.iter().find(|k| plain.starts_with(*k)) {
            bail!("/{path} in the environment leads into /{kind}");
        }
        if self.is_fresh(&plain)? {
            return Ok(Place::Fresh(plain));
        }
        match self.tree.metadata(path)? {
            Some(m) if m.is_file() => {}
            Some(_) => bail!("/{path} in the environment is not a regular file"),
            None => self.make(&end)?,
        }
        Ok(Place::Over(path.to_string()))
    }

    fn is_fresh(&self, plain: &str) -> anyhow::Result<bool> {
        for place in FRESH {
            let beneath = plain.strip_prefix(place);
            if beneath.is_some_and(|rest| rest.starts_with('/')) {
                let metadata = self.tree.symlink_metadata(place)?;
                return Ok(!metadata.is_some_and(|m| m.file_type().is_symlink()));
            }
        }
        Ok(false)
    }

    fn make(&mut self, path: &str) -> anyhow::Result<()> {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.make_directories(parent)?;
        }
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
        let fd = self
            .tree
            .open_at(path, flags, Mode::from_bits_truncate(0o644))
            .with_context(|| format!("making the mount point /{path}"))?;
        let inode = nix::sys::stat::fstat(&fd)
            .with_context(|| format!("reading the status of /{path}"))?
            .st_ino;
        self.made.push(Made::File {
            path: path.to_string(),
            inode,
        });
        Ok(())
    }

    fn make_directories(&mut self, path: &str) -> anyhow::Result<()> {
        let mut so_far = String::new();
        for part in path.split('/').filter(|p| !p.is_empty()) {
            if !so_far.is_empty() {
                so_far.push('/');
            }
            so_far.push_str(part);
            if part == ".." || self.tree.metadata(&so_far)?.is_some() {
                continue;
            }
            self.tree.make_dirs(&so_far)?;
            self.made.push(Made::Directory(so_far.clone()));
        }
        Ok(())
    }
}

impl Drop for MountPoints<'_> {
    /// Removes only empty files that are the ones made here; a file that a package has put there stays.
    fn drop(&mut self) {
        for made in self.made.drain(..).rev() {
            match made {
                Made::File { path, inode } => {
                    if let Ok(Some(m)) = self.tree.symlink_metadata(&path)
                        && m.ino() == inode
                        && m.len() == 0
                    {
                        let _ = self.tree.remove_file(&path);
                    }
                }
                // A directory that is not empty any more stays: the call fails.
                Made::Directory(path) => drop(self.tree.remove_dir(&path)),
            }
        }
    }
}

/// Follows the links at the end of a path and returns the last one's target, which need not exist.
fn end_of_links(tree: &Tree, path: &str) -> anyhow::Result<String> {
    let mut path = path.to_string();
    for _ in 0..MAX_LINKS {
        let linked = tree
            .symlink_metadata(&path)?
            .is_some_and(|m| m.file_type().is_symlink());
        if !linked {
            return Ok(path);
        }
        let target = tree.link_target(&path)?;
        let Some(target) = target.to_str() else {
            bail!("/{path} in the environment is a link whose target is not UTF-8");
        };
        path = match target.strip_prefix('/') {
            Some(absolute) => absolute.trim_start_matches('/').to_string(),
            None => match path.rsplit_once('/') {
                Some((parent, _)) => format!("{parent}/{target}"),
                None => target.to_string(),
            },
        };
    }
    bail!("/{path} in the environment is a chain of more than {MAX_LINKS} symbolic links");
}

/// Returns a path without `.`, `..` and the old name of `/run`: `etc/../var/run/x` becomes `run/x`.
///
/// Correct only where no directory on the way is a symbolic link: it decides the kind of the place, and the
/// kernel resolves the path itself.
fn tidy(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let plain = parts.join("/");
    match plain.strip_prefix("var/run/") {
        Some(rest) => format!("run/{rest}"),
        None => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn root() -> (tempfile::TempDir, Tree) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        (dir, tree)
    }

    #[test]
    fn a_file_is_its_own_mount_point() {
        let (dir, tree) = root();
        std::fs::write(dir.path().join("etc/resolv.conf"), "mine").unwrap();
        let mut all = MountPoints::new(&tree);
        let place = all.place("etc/resolv.conf").unwrap();
        assert_eq!(place, Place::Over("etc/resolv.conf".into()));
        drop(all);
        assert_eq!(
            std::fs::read(dir.path().join("etc/resolv.conf")).unwrap(),
            b"mine"
        );
    }

    #[test]
    fn a_missing_file_is_an_empty_one_during_the_run() {
        let (dir, tree) = root();
        let mut all = MountPoints::new(&tree);
        let place = all.place("etc/resolv.conf").unwrap();
        assert_eq!(place, Place::Over("etc/resolv.conf".into()));
        assert!(dir.path().join("etc/resolv.conf").exists());
        drop(all);
        assert!(!dir.path().join("etc/resolv.conf").exists());
    }

    #[test]
    fn a_file_that_came_meanwhile_stays() {
        let (dir, tree) = root();
        let mut all = MountPoints::new(&tree);
        all.place("etc/resolv.conf").unwrap();
        std::fs::write(dir.path().join("etc/resolv.conf"), "new").unwrap();
        drop(all);
        assert!(dir.path().join("etc/resolv.conf").exists());
    }

    #[test]
    fn links_into_run_need_no_mount_point() {
        for target in [
            "/run/systemd/resolve/stub-resolv.conf",
            "../run/systemd/resolve/stub-resolv.conf",
            "/var/run/systemd/resolve/stub-resolv.conf",
            "../../../../run/systemd/resolve/stub-resolv.conf",
        ] {
            let (dir, tree) = root();
            symlink(target, dir.path().join("etc/resolv.conf")).unwrap();
            let place = MountPoints::new(&tree).place("etc/resolv.conf").unwrap();
            assert_eq!(
                place,
                Place::Fresh("run/systemd/resolve/stub-resolv.conf".into()),
                "{target}"
            );
            assert!(!dir.path().join("run").exists());
        }
    }

    #[test]
    fn the_target_of_a_dangling_link_exists_during_the_run() {
        let (dir, tree) = root();
        symlink("../opt/dns/resolv.conf", dir.path().join("etc/resolv.conf")).unwrap();
        let mut all = MountPoints::new(&tree);
        all.place("etc/resolv.conf").unwrap();
        assert!(dir.path().join("opt/dns/resolv.conf").exists());
        drop(all);
        assert!(!dir.path().join("opt").exists());
        assert!(
            dir.path()
                .join("etc/resolv.conf")
                .symlink_metadata()
                .unwrap()
                .is_symlink()
        );
    }

    #[test]
    fn links_out_of_the_root_end_inside() {
        let outside = tempfile::tempdir().unwrap();
        let canary = outside.path().join("canary");
        let (dir, tree) = root();
        symlink(&canary, dir.path().join("etc/resolv.conf")).unwrap();
        let mut all = MountPoints::new(&tree);
        let _ = all.place("etc/resolv.conf");
        assert!(!canary.exists());
    }

    #[test]
    fn anything_but_a_regular_file_is_refused() {
        let (dir, tree) = root();
        std::fs::create_dir(dir.path().join("etc/resolv.conf")).unwrap();
        let error = MountPoints::new(&tree)
            .place("etc/resolv.conf")
            .unwrap_err();
        assert!(error.to_string().contains("not a regular file"), "{error}");
        let (dir, tree) = root();
        symlink("/proc/self/mem", dir.path().join("etc/resolv.conf")).unwrap();
        let error = MountPoints::new(&tree)
            .place("etc/resolv.conf")
            .unwrap_err();
        assert!(error.to_string().contains("/proc/"), "{error}");
    }

    #[test]
    fn a_loop_of_links_is_an_error() {
        let (dir, tree) = root();
        symlink("resolv.conf", dir.path().join("etc/resolv.conf")).unwrap();
        assert!(MountPoints::new(&tree).place("etc/resolv.conf").is_err());
    }
}
