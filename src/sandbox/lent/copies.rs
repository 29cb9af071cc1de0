//! Removes the lent text from copies that programs made of the lent `resolv.conf`, such as resolvconf's `original`.
//!
//! The addresses of the sandbox's name servers work nowhere else. Only files that changed during the run are read, up to a
//! bound. Not for the lent file itself.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::merge::{merged, place_of};
use super::{LARGEST, Lent, text_of};
use crate::fs::rooted::Tree;

/// The lent file's place.
pub(in crate::sandbox) const RESOLVER: &str = "etc/resolv.conf";
/// Directories in which programs keep copies of it: settings, and the chroot of a service.
const PLACES: &[&str] = &["etc", "var/spool/postfix/etc"];
/// resolvconf's backup of the environment's own file, which is restored when resolvconf is removed.
const BEFORE: &str = "etc/resolvconf/resolv.conf.d/original";
/// The maximum depth, and number of names, of the search: a node may have made any number.
const DEPTH: usize = 6;
const NAMES: usize = 20_000;

/// The lent text, and the environment's own texts before the run.
#[derive(Debug)]
pub(in crate::sandbox) struct Copies {
    lent: String,
    own: Option<String>,
    /// Seconds and nanoseconds.
    since: (i64, i64),
}

impl Copies {
    /// Reads the environment's own texts, before anything is lent.
    pub(in crate::sandbox) fn before(tree: &Tree, lent: &str) -> Self {
        let text = |path: &str| tree.open_file(path).ok()?.and_then(|f| text_of(f).ok()?);
        // Timestamps come from a clock that advances by ticks: a change right after this may have an earlier time.
        let since = SystemTime::now() - Duration::from_secs(1);
        let since = since.duration_since(UNIX_EPOCH);
        Self {
            lent: lent.to_string(),
            own: text(RESOLVER).or_else(|| text(BEFORE)),
            since: (since.map_or(0, |since| since.as_secs().cast_signed()), 0),
        }
    }

    /// Reads the environment's own texts after a killed netbe, when everything is put back.
    fn after(tree: &Tree, lent: &str, since: (i64, i64)) -> Self {
        let mut copies = Self::before(tree, lent);
        // Such a text may be a copy itself.
        let is_lent = |own: &String| place_of(lent, own).is_some();
        copies.own = copies.own.filter(|own| !is_lent(own));
        copies.since = since;
        copies
    }

    /// Removes the lent text from all copies; a copy without other text is deleted if there was no file before.
    pub(in crate::sandbox) fn cleanse(&self, tree: &Tree) -> io::Result<()> {
        if self.lent.trim().is_empty() {
            return Ok(());
        }
        let mut left = NAMES;
        let mut directories: Vec<(String, usize)> =
            PLACES.iter().map(|p| ((*p).to_string(), DEPTH)).collect();
        while let Some((directory, depth)) = directories.pop() {
            for name in tree.names(&directory).unwrap_or_default() {
                if left == 0 {
                    return Ok(());
                }
                left -= 1;
                let path = format!("{directory}/{name}");
                match tree.symlink_metadata(&path) {
                    Ok(Some(m)) if m.is_dir() && depth > 0 => directories.push((path, depth - 1)),
                    Ok(Some(m))
                        if m.is_file()
                            && (m.ctime(), m.ctime_nsec()) >= self.since
                            && m.size() <= LARGEST =>
                    {
                        self.cleanse_file(tree, &path)?;
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn cleanse_file(&self, tree: &Tree, path: &str) -> io::Result<()> {
        let Some(text) = tree.open_file(path)?.map_or(Ok(None), text_of)? else {
            return Ok(());
        };
        // In other files, a single line does not prove that it was copied.
        if path != RESOLVER && place_of(&self.lent, &text).is_none() {
            return Ok(());
        }
        match merged(&text, &self.lent, self.own.as_deref()) {
            Some(without) if without == text => Ok(()),
            Some(without) if without.trim().is_empty() && self.own.is_none() => {
                tree.remove_file(path)
            }
            Some(without) => tree.write(path, without.as_bytes()),
            None => Ok(()),
        }
    }
}

/// Restores all files after a killed command, and removes the lent name servers from copies that were made since.
///
/// # Errors
/// Names the file that could not be put back.
pub fn give_all_back(tree: &Tree, files: &[Lent]) -> anyhow::Result<()> {
    let resolver = files
        .iter()
        .find(|lent| lent.content.contains("nameserver"));
    let since = resolver.and_then(|lent| lent_since(tree, lent));
    files
        .iter()
        .rev()
        .try_for_each(|lent| lent.give_back(tree))?;
    match resolver.zip(since) {
        Some((lent, since)) => Copies::after(tree, &lent.content, since)
            .cleanse(tree)
            .map_err(anyhow::Error::from),
        None => Ok(()),
    }
}

/// Returns the time at which a file was lent that is not put back yet: when the environment's own file was set aside,
/// or when the lent one was made.
fn lent_since(tree: &Tree, lent: &Lent) -> Option<(i64, i64)> {
    if lent.had {
        let aside = tree.symlink_metadata(&lent.aside_path()).ok()??;
        return (aside.ino() != lent.inode).then(|| (aside.ctime(), aside.ctime_nsec()));
    }
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW;
    let file = File::from(tree.open_at(&lent.path, flags, Mode::empty()).ok()?);
    let there = file.metadata().ok().filter(|m| m.ino() == lent.inode)?;
    let made = there.created().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some((made.as_secs().cast_signed(), made.subsec_nanos().into()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    const LENT: &str = "nameserver 10.0.2.3\n";

    #[test]
    fn a_copy_of_a_lent_file_gets_the_environments_own_content() {
        for (link, own, before, after) in [
            (
                false,
                Some("nameserver 192.0.2.1\n"),
                None,
                Some("nameserver 192.0.2.1\n"),
            ),
            // resolvconf is removed: what it took over comes back.
            (
                true,
                None,
                Some("nameserver 192.0.2.1\n"),
                Some("nameserver 192.0.2.1\n"),
            ),
            (true, None, None, None),
            (false, None, None, None),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let at = |path: &str| dir.path().join(path);
            fs::create_dir_all(at("etc/resolvconf/resolv.conf.d")).unwrap();
            if let Some(own) = own {
                fs::write(at(RESOLVER), own).unwrap();
            }
            if link {
                symlink("../run/resolvconf/resolv.conf", at(RESOLVER)).unwrap();
            }
            if let Some(before) = before {
                fs::write(at(BEFORE), before).unwrap();
            }
            let tree = Tree::open(dir.path()).unwrap();
            let copies = Copies::before(&tree, LENT);
            let copy = match link {
                true => fs::remove_file(at(RESOLVER))
                    .map(|()| at(RESOLVER))
                    .unwrap(),
                false => at(BEFORE),
            };
            fs::write(&copy, LENT).unwrap();
            let other = "nameserver 10.0.2.33\n# not lent: nameserver 10.0.2.3\n";
            fs::write(at("etc/other"), other).unwrap();
            fs::write(at("etc/binary"), b"\xff\0").unwrap();
            symlink("/dev/zero", at("etc/endless")).unwrap();
            copies.cleanse(&tree).unwrap();
            assert_eq!(
                fs::read_to_string(&copy).ok().as_deref(),
                after,
                "{link} {own:?}"
            );
            assert_eq!(fs::read_to_string(at("etc/other")).unwrap(), other);
        }
    }
}
