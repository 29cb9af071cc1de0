//! Finding apk's packages by the checksum that apk knows them by.
//!
//! Which file of the cache has which is read from the files themselves, every time: they are few, and only their
//! beginning is read of those nobody wants.

use std::fs;
use std::io::{self, BufReader};

use super::PackageCache;
use crate::fs::{interrupt, opener};
use crate::packages::{Apk, ApkHead, Archive, sha256};
use crate::pool::layout;

impl PackageCache {
    /// Returns which of the packages are here, to be given.
    ///
    /// All that apk verifies of one is verified. One that is known by the right checksum, and whose data is other
    /// than it says, nobody can use: it goes.
    pub fn holding(&self, wanted: &[Apk]) -> io::Result<Vec<Archive>> {
        let mut found = Vec::new();
        for name in layout::names_in(&self.dir)? {
            interrupt::check_io()?;
            let Some(sum) = sha256(&name) else {
                continue;
            };
            let path = self.dir.join(name);
            // Forgotten meanwhile.
            let Some(file) = opener::file(&path)? else {
                continue;
            };
            let size = file.metadata()?.len();
            let mut package = BufReader::new(file);
            let Some(head) = ApkHead::read(&mut package) else {
                continue;
            };
            let same = |apk: &&Apk| apk.control == head.control && apk.size == size;
            let Some(apk) = wanted.iter().find(same) else {
                continue;
            };
            if head.holds(&mut package)? {
                found.push(Archive {
                    file: apk.file.clone(),
                    size,
                    sha256: sum,
                });
                continue;
            }
            match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Place, place};
    use super::*;
    use crate::packages::Parts;

    #[test]
    fn an_apk_is_found_by_what_its_index_says_and_given() {
        let Place {
            cache,
            at,
            tree,
            _dir,
        } = place();
        let parts = Parts::new(b"content");
        let apk = |parts: &Parts, size: usize| Apk {
            name: "hello".to_string(),
            file: "hello-1.1-r0.01234567.apk".to_string(),
            size: size as u64,
            control: parts.sum(),
            alone: true,
        };
        let whole = parts.whole();
        let wanted = [apk(&parts, whole.len())];
        assert_eq!(cache.holding(&wanted).unwrap(), []);
        fs::write(at.join("hello-1.1-r0.apk"), &whole).unwrap();
        fs::write(at.join("other.deb"), b"!<arch>\n").unwrap();
        assert_eq!(cache.keep(&tree, |_| true).unwrap(), 2);
        let [found] = cache.holding(&wanted).unwrap().try_into().unwrap();
        assert_eq!(found.file, wanted[0].file);
        assert!(cache.give(&found, &tree).unwrap());
        assert_eq!(fs::read(at.join(&found.file)).unwrap(), whole);
        assert_eq!(cache.holding(&[apk(&parts, 1)]).unwrap(), []);
        let other = Parts::new(b"another");
        assert_eq!(cache.holding(&[apk(&other, whole.len())]).unwrap(), []);
    }

    #[test]
    fn an_apk_with_other_data_is_not_given_and_goes() {
        let Place {
            cache,
            at,
            tree,
            _dir,
        } = place();
        let parts = Parts::new(b"content");
        let mixed = Parts {
            data: Parts::new(b"another").data,
            ..parts.clone()
        };
        fs::write(at.join("hello-1.1-r0.apk"), mixed.whole()).unwrap();
        cache.keep(&tree, |_| true).unwrap();
        let wanted = [Apk {
            name: "hello".to_string(),
            file: "hello-1.1-r0.01234567.apk".to_string(),
            size: mixed.whole().len() as u64,
            control: parts.sum(),
            alone: true,
        }];
        assert_eq!(cache.holding(&wanted).unwrap(), []);
        assert!(cache.is_empty());
    }
}
