//! Parses rpm-md's `primary.xml`: the packages in a repository of dnf or zypper.
//!
//! Read as a stream, with limits, a package at a time.

use std::io::{self, BufRead};

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::apt::{Archive, sha256};

/// Maximum nesting of tags, which are held in memory until they end; five are used.
const DEPTH: usize = 64;
/// Bytes of a package's description read at once.
const DESCRIPTION_LIMIT: u64 = 1 << 20;

/// A package entry of a `primary.xml`.
#[derive(Debug, Default)]
struct PackageEntry {
    path: Option<String>,
    size: Option<u64>,
    sha256: Option<[u8; 32]>,
}

/// Parses a `primary.xml`; each package has its path in the repository.
pub(super) fn offered(index: impl BufRead, offer: &mut dyn FnMut(&str, Archive)) -> io::Result<()> {
    let mut reader = Reader::from_reader(index.take(0));
    let (mut buffer, mut entry, mut in_checksum) = (Vec::new(), PackageEntry::default(), false);
    let mut depth = 0usize;
    loop {
        buffer.clear();
        // A tag or a text is held in memory.
        reader.get_mut().set_limit(DESCRIPTION_LIMIT);
        let event = reader.read_event_into(&mut buffer);
        let event = event.map_err(io::Error::other)?;
        match event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH {
            return Err(io::Error::other("its tags are nested too deep"));
        }
        match event {
            Event::Start(tag) | Event::Empty(tag) => match tag.local_name().as_ref() {
                "package" => entry = PackageEntry::default(),
                "checksum" => in_checksum = attribute(&tag, "type").as_deref() == Some("sha256"),
                "size" => entry.size = attribute(&tag, "package").and_then(|n| n.parse().ok()),
                "location" => entry.path = attribute(&tag, "href"),
                _ => {}
            },
            Event::Text(text) if in_checksum => {
                entry.sha256 = sha256(text.trim());
            }
            Event::End(tag) => match tag.local_name().as_ref() {
                "checksum" => in_checksum = false,
                "package" => {
                    if let PackageEntry {
                        path: Some(path),
                        size: Some(size),
                        sha256: Some(sha256),
                    } = std::mem::take(&mut entry)
                    {
                        let archive = Archive {
                            file: String::new(),
                            size,
                            sha256,
                        };
                        offer(&path, archive);
                    }
                }
                _ => {}
            },
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = tag.try_get_attribute(name).ok()??;
    let value = found.normalized_value(XmlVersion::Implicit1_0).ok()?;
    Some(value.into_owned())
}
