//! Finds copies that programs made of the lent `resolv.conf`, as resolvconf keeps one in `original`, and takes the lent text
//! out of them.
//!
//! The addresses of the sandbox's name servers work nowhere else. Only files that changed during the run are read, up to a
//! bound. Not for the lent file itself.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::{SystemTime, UNIX_EPOCH};

use super::merge::{merged, place_of};
use super::{LARGEST, text_of};
use crate::fs::rooted::Tree;

/// The lent file's place.
pub(in crate::sandbox) const RESOLVER: &str = "etc/resolv.conf";
/// Where programs keep copies of it: their settings, and a directory that a service is confined to.
const PLACES: &[&str] = &["etc", "var/spool/postfix/etc"];
/// What the environment had before resolvconf took it over: what it has again without it.
const BEFORE: &str = "etc/resolvconf/resolv.conf.d/original";
/// How deep, and how many names: a node may have made any number.
const DEPTH: usize = 6;
const NAMES: usize = 20_000;

/// The lent text, and what the environment had before the run.
#[derive(Debug)]
pub(in crate::sandbox) struct Copies {
    lent: String,
    own: Option<String>,
    since: i64,
}

impl Copies {
    /// Reads what the environment has, before anything is lent.
    pub(in crate::sandbox) fn before(tree: &Tree, lent: &str) -> Self {
        let text = |path: &str| tree.open_file(path).ok()?.and_then(|f| text_of(f).ok()?);
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            lent: lent.to_string(),
            own: text(RESOLVER).or_else(|| text(BEFORE)),
            since: since.map_or(0, |since| since.as_secs().cast_signed()),
        }
    }

    /// Takes the lent text out of all copies; one that has nothing else is removed where there was no text before.
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
                        if m.is_file() && m.ctime() >= self.since && m.size() <= LARGEST =>
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
        // Elsewhere one line is no proof of where it comes from.
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    const LENT: &str = "nameserver 10.0.2.3\n";

    #[test]
    fn a_copy_has_what_the_environment_had() {
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
