//! Parses the header of an installed package in rpm's databases.
//!
//! Two numbers, an index of entries of sixteen bytes, and their data; all numbers are big-endian (rpm's manual,
//! "Package format", "Header"). Untrusted.

use super::super::Package;
use super::super::owned::{Owned, Owners};
use super::super::package::TEXT_MAX;
use super::word;

/// Tags, of rpm's `rpmtag.h`.
const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const ARCH: u32 = 1022;
const FILE_FLAGS: u32 = 1037;
const DIRECTORY_NUMBERS: u32 = 1116;
const BASE_NAMES: u32 = 1117;
const DIRECTORY_NAMES: u32 = 1118;

/// `RPMFILE_CONFIG` of rpm's `rpmfiles.h`.
const IS_CONFIGURATION: u32 = 1;

/// Types of values, of the same file.
const INT32: u32 = 4;
const STRING: u32 = 6;
const STRINGS: u32 = 8;

/// Size of an index entry.
const ENTRY: usize = 16;

/// The most of a text that is read, in bytes: one more than is accepted.
const READ_MAX: usize = TEXT_MAX + 1;

/// Returns a header's package; `None` if it is malformed.
pub(super) fn package(blob: &[u8]) -> Option<Package> {
    let header = Header::parse(blob)?;
    let (name, version) = (header.text(NAME)?, header.text(VERSION)?);
    let mut full = match header.number(EPOCH) {
        None | Some(0) => version,
        Some(epoch) => format!("{epoch}:{version}"),
    };
    if let Some(release) = header.text(RELEASE) {
        full = format!("{full}-{release}");
    }
    Some(Package::new(
        name,
        header.text(ARCH).unwrap_or_default(),
        full,
    ))
}

/// Notes the files of a header's package; `None` if it is malformed.
pub(super) fn owners(blob: &[u8], owners: &mut Owners) -> Option<()> {
    let header = Header::parse(blob)?;
    let Some((names, count)) = header.array(BASE_NAMES, STRINGS) else {
        // A package without files.
        return Some(());
    };
    let (directories, directory_count) = header.array(DIRECTORY_NAMES, STRINGS)?;
    let (numbers, _) = header.array(DIRECTORY_NUMBERS, INT32)?;
    let flags = header.array(FILE_FLAGS, INT32);
    let directories: Vec<String> = texts(directories).take(directory_count).collect();
    for (at, name) in texts(names).take(count).enumerate() {
        let directory = usize::try_from(number(numbers, at.checked_mul(4)?)?).ok()?;
        let flags = flags
            .and_then(|(flags, _)| number(flags, at * 4))
            .unwrap_or(0);
        let owned = match flags & IS_CONFIGURATION {
            0 => Owned::File,
            _ => Owned::Configuration,
        };
        owners.add(&format!("{}{name}", directories.get(directory)?), owned);
    }
    Some(())
}

/// Returns the texts of an array, each with a zero at its end.
fn texts(data: &[u8]) -> impl Iterator<Item = String> {
    data.split(|byte| *byte == 0)
        .map(|text| String::from_utf8_lossy(text).into_owned())
}

struct Header<'a> {
    index: &'a [u8],
    data: &'a [u8],
}

impl<'a> Header<'a> {
    fn parse(blob: &'a [u8]) -> Option<Self> {
        let entries = usize::try_from(number(blob, 0)?).ok()?;
        let length = usize::try_from(number(blob, 4)?).ok()?;
        let rest = blob.get(8..)?;
        let (index, rest) = rest.split_at_checked(entries.checked_mul(ENTRY)?)?;
        Some(Self {
            index,
            data: rest.get(..length)?,
        })
    }

    /// Returns the data from a tag's value on, if it has this type.
    fn value(&self, tag: u32, kind: u32) -> Option<&'a [u8]> {
        self.array(tag, kind).map(|(data, _)| data)
    }

    /// Returns the data from an array on, and how many values it has.
    fn array(&self, tag: u32, kind: u32) -> Option<(&'a [u8], usize)> {
        let entry = self
            .index
            .chunks_exact(ENTRY)
            .find(|entry| number(entry, 0) == Some(tag) && number(entry, 4) == Some(kind))?;
        let data = self.data.get(usize::try_from(number(entry, 8)?).ok()?..)?;
        Some((data, usize::try_from(number(entry, 12)?).ok()?))
    }

    /// Returns a text, if not empty.
    fn text(&self, tag: u32) -> Option<String> {
        let value = self.value(tag, STRING)?;
        let end = value.iter().take(READ_MAX).position(|byte| *byte == 0);
        let end = end.or((value.len() >= READ_MAX).then_some(READ_MAX))?;
        let text = String::from_utf8_lossy(&value[..end]).into_owned();
        (!text.is_empty()).then_some(text)
    }

    fn number(&self, tag: u32) -> Option<u32> {
        number(self.value(tag, INT32)?, 0)
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    word(bytes, at, u32::from_be_bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Makes a header of texts, and of numbers where the text is one that begins with `#`.
    pub(in super::super) fn header(values: &[(u32, &str)]) -> Vec<u8> {
        let (mut index, mut data) = (Vec::new(), Vec::new());
        for (tag, value) in values {
            let number = value.strip_prefix('#').map(|n| n.parse::<u32>().unwrap());
            while number.is_some() && data.len() % 4 != 0 {
                data.push(0);
            }
            let kind = if number.is_some() { INT32 } else { STRING };
            for word in [*tag, kind, u32::try_from(data.len()).unwrap(), 1] {
                index.extend(word.to_be_bytes());
            }
            match number {
                Some(number) => data.extend(number.to_be_bytes()),
                None => data.extend(value.bytes().chain([0])),
            }
        }
        let mut blob = Vec::new();
        for word in [values.len(), data.len()] {
            blob.extend(u32::try_from(word).unwrap().to_be_bytes());
        }
        blob.extend(index);
        blob.extend(data);
        blob
    }

    /// Makes the header of a package.
    pub(in super::super) fn package_header(name: &str, version: &str, release: &str) -> Vec<u8> {
        header(&[
            (NAME, name),
            (VERSION, version),
            (RELEASE, release),
            (1004, "a summary"),
            (ARCH, "x86_64"),
        ])
    }

    #[test]
    fn files_are_distinguished_from_configuration() {
        let (mut index, mut data) = (Vec::new(), Vec::new());
        let mut add = |tag: u32, kind: u32, count: u32, bytes: &[u8]| {
            while data.len() % 4 != 0 {
                data.push(0);
            }
            for word in [tag, kind, u32::try_from(data.len()).unwrap(), count] {
                index.extend(word.to_be_bytes());
            }
            data.extend(bytes);
        };
        add(FILE_FLAGS, INT32, 2, &[0, 0, 0, 17, 0, 0, 0, 0]);
        add(DIRECTORY_NUMBERS, INT32, 2, &[0, 0, 0, 1, 0, 0, 0, 0]);
        add(BASE_NAMES, STRINGS, 2, b"a.conf\0a\0");
        add(DIRECTORY_NAMES, STRINGS, 2, b"/usr/bin/\0/etc/\0");
        let mut blob = Vec::new();
        blob.extend(4_u32.to_be_bytes());
        blob.extend(u32::try_from(data.len()).unwrap().to_be_bytes());
        blob.extend(index);
        blob.extend(data);
        let mut found = Owners::new(["etc/a.conf", "usr/bin/a"]);
        owners(&blob, &mut found).unwrap();
        assert_eq!(found.owned("etc/a.conf"), Some(Owned::Configuration));
        assert_eq!(found.owned("usr/bin/a"), Some(Owned::File));
        for length in 0..blob.len() {
            let _ = owners(&blob[..length], &mut found);
        }
    }

    #[test]
    fn no_more_of_a_text_is_read_than_needed() {
        let long = "x".repeat(10 << 20);
        for tag in [NAME, VERSION, RELEASE, ARCH] {
            let texts = [(tag, long.as_str()), (NAME, "a"), (VERSION, "1")];
            let package = package(&header(&texts)).unwrap();
            let held = package.name.len() + package.version.len() + package.architecture.len();
            assert!((TEXT_MAX..2 * TEXT_MAX).contains(&held), "{tag}: {held}");
        }
    }

    #[test]
    fn a_package_has_name_version_and_architecture() {
        let texts = [(NAME, "bash"), (VERSION, "5.2.15"), (RELEASE, "5.fc39")];
        let with = |more: &[(u32, &str)]| {
            let values: Vec<_> = more.iter().chain(&texts).copied().collect();
            package(&header(&values)).unwrap()
        };
        for (more, architecture, version) in [
            (&[][..], "", "5.2.15-5.fc39"),
            (&[(ARCH, "x86_64")], "x86_64", "5.2.15-5.fc39"),
            (&[(1004, "x"), (EPOCH, "#2")], "", "2:5.2.15-5.fc39"),
            (&[(EPOCH, "#0")], "", "5.2.15-5.fc39"),
            // A value of another type is not used.
            (&[(EPOCH, "2"), (ARCH, "#1")], "", "5.2.15-5.fc39"),
        ] {
            assert_eq!(with(more), Package::new("bash", architecture, version));
        }
    }

    #[test]
    fn offsets_out_of_range_are_refused() {
        let good = package_header("bash", "5.2", "1");
        assert!(package(&good).is_some());
        for length in 0..good.len() {
            assert_eq!(package(&good[..length]), None, "{length}");
        }
        for (at, value) in [(0, u32::MAX), (4, u32::MAX), (8 + 8, u32::MAX), (0, 0)] {
            let mut bad = good.clone();
            bad[at..at + 4].copy_from_slice(&value.to_be_bytes());
            assert_eq!(package(&bad), None, "{value} at {at}");
        }
        // A text without a terminator.
        let mut bad = good.clone();
        let end = bad.len();
        bad[8 + 8..8 + 12].copy_from_slice(
            &u32::try_from(end - 1 - 8 - 5 * 16 - 6)
                .unwrap()
                .to_be_bytes(),
        );
        bad[end - 1] = b'x';
        assert_eq!(package(&bad), None);
    }

    proptest! {
        #[test]
        fn garbage_is_not_a_panic(blob in proptest::collection::vec(any::<u8>(), 0..256)) {
            let _ = package(&blob);
        }

        #[test]
        fn a_damaged_header_is_not_a_panic(spoiled in proptest::collection::vec((0usize..140, any::<u8>()), 1..8)) {
            let mut blob = package_header("bash", "5.2", "1");
            for (at, byte) in spoiled {
                if let Some(place) = blob.get_mut(at) {
                    *place = byte;
                }
            }
            let _ = package(&blob);
        }
    }
}
