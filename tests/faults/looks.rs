//! What a pool is, and what is beside it, in few bytes: whether anything was changed, and whether the same was seen before.
//!
//! A file is read again only when the kernel says that it was changed: most of them never are. Not for what differs between
//! two: a fingerprint tells.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, access};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::judge::{is_time, is_uuid};
use crate::support::describe;

/// The longest file that is taken as text, in bytes.
const TEXT: u64 = 64 << 10;
/// How long ago a file must have been changed for another change to show, in seconds: one soon after may have the same time.
const SETTLED: i64 = 2;
/// The length of a UUID.
const UUID: usize = 36;
/// The inode number of every subvolume's top directory.
const SUBVOLUME: u64 = 256;
/// The fields of records that are times, or are drawn at random.
const OF_ONE_RUN: [&str; 8] = [
    "taken",
    "taken_at",
    "transaction",
    "at",
    "since",
    "created",
    "stamp",
    "code",
];

/// What was seen, as a checksum each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    /// Of all as it is, but for times of files.
    pub(crate) exact: [u8; 32],
    /// The same without what is another in each run that leads here: which UUIDs, times and processes are in records and
    /// names.
    pub(crate) lasting: [u8; 32],
}

/// What has been read, by path.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    read: RefCell<HashMap<PathBuf, (Stamp, Rc<Entry>)>>,
}

/// What the kernel changes whenever it changes a file.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    changed: (i64, i64),
    length: u64,
}

/// A file as it was read.
#[derive(Debug)]
struct Entry {
    /// As a fingerprint has it.
    line: String,
    /// What it is in each run, where it is a text: neither its length nor its checksum, and of a record no times.
    plain: Option<String>,
    /// Whether anything in this is of one run.
    is_of_one_run: bool,
}

/// A state in the making.
#[derive(Default)]
struct Making {
    exact: Sha256,
    lasting: Sha256,
    /// What of this run was met, each with its number.
    of_this_run: BTreeMap<String, usize>,
}

impl Looks {
    /// Looks at directories and all below them, mounts included, but for the directories of this name.
    pub(crate) fn at(&self, directories: &[&Path], except: &str) -> State {
        let mut making = Making::default();
        for (number, directory) in directories.iter().enumerate() {
            let named = format!("directory {number}");
            self.visit(directory, (Path::new(""), &named), except, &mut making);
        }
        State {
            exact: making.exact.finalize().into(),
            lasting: making.lasting.finalize().into(),
        }
    }

    /// Goes down from a directory at this path below the top, whose names in each run are those of `named`.
    fn visit(&self, top: &Path, (below, named): (&Path, &str), except: &str, making: &mut Making) {
        let path = top.join(below);
        let found = path
            .symlink_metadata()
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let entry = self.entry(&path, &found);
        let is_subvolume = found.is_dir() && found.ino() == SUBVOLUME;
        let read_only = is_subvolume && access(&path, AccessFlags::W_OK) == Err(Errno::EROFS);
        let kind = if read_only { "read-only " } else { "" };
        let path = format!("{kind}{}", below.display());
        making.take(&path, &format!("{kind}{named}"), &entry);
        if !found.is_dir() {
            return;
        }
        let names = fs::read_dir(top.join(below)).expect("root may read a directory");
        let mut names: Vec<_> = names
            .map(|entry| entry.expect("a directory can be read").file_name())
            .filter(|name| name != except)
            .collect();
        names.sort();
        for name in names {
            let named = format!("{named}/{}", making.name(&name.to_string_lossy()));
            self.visit(top, (&below.join(name), &named), except, making);
        }
    }

    fn entry(&self, path: &Path, found: &Metadata) -> Rc<Entry> {
        let stamp = Stamp {
            inode: found.ino(),
            changed: (found.ctime(), found.ctime_nsec()),
            length: found.len(),
        };
        if let Some((read, entry)) = self.read.borrow().get(path)
            && *read == stamp
        {
            return Rc::clone(entry);
        }
        let text = (found.is_file() && found.len() <= TEXT)
            .then(|| fs::read_to_string(path).ok())
            .flatten();
        let line = describe(path);
        let plain = text.map(|text| {
            let mut words: Vec<&str> = line.split(' ').collect();
            words.drain(4..6);
            format!("{} {}", words.join(" "), plain(&text))
        });
        let shown = plain.as_deref().unwrap_or(&line);
        let is_of_one_run = Making::default().lasting(shown) != shown;
        let entry = Rc::new(Entry {
            line,
            plain,
            is_of_one_run,
        });
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        if found.ctime() + SETTLED < i64::try_from(now.as_secs()).unwrap() {
            let known = (stamp, Rc::clone(&entry));
            self.read.borrow_mut().insert(path.to_path_buf(), known);
        }
        entry
    }
}

impl Making {
    /// Takes a file at a path, whose names in each run are those of `named`.
    fn take(&mut self, path: &str, named: &str, entry: &Entry) {
        let plain = entry.plain.as_deref().unwrap_or(&entry.line);
        let lasting = match entry.is_of_one_run {
            true => self.lasting(plain),
            false => plain.to_string(),
        };
        for (all, parts) in [
            (&mut self.exact, [path, &entry.line]),
            (&mut self.lasting, [named, &lasting]),
        ] {
            for part in parts {
                all.update(part);
                all.update([0]);
            }
        }
    }

    /// Returns the name of a file as it is in each run: a hidden one may have the process that made it, and the time.
    fn name(&mut self, name: &str) -> String {
        if !name.starts_with('.') {
            return self.lasting(name);
        }
        let is_number = |word: &str| {
            let digits = word.bytes().filter(u8::is_ascii_digit).count();
            digits > 2 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        let is_end = |c: char| !c.is_ascii_alphanumeric();
        let words = name.split_inclusive(is_end);
        let named = words.map(|word| match word.trim_end_matches(is_end) {
            bare if is_number(bare) => format!("{}{}", self.number_of(bare), &word[bare.len()..]),
            _ => word.to_string(),
        });
        named.collect()
    }

    /// Returns what stands in the place of something of this run: the same for the same.
    fn number_of(&mut self, word: &str) -> String {
        let next = self.of_this_run.len();
        let number = self.of_this_run.entry(word.to_string()).or_insert(next);
        format!("#{number}")
    }

    /// Returns a text with each UUID and each name that is a time by its number: which are the same is kept.
    fn lasting(&mut self, text: &str) -> String {
        let is_end = |c: char| !c.is_ascii_alphanumeric() && c != '-';
        let mut kept = String::with_capacity(text.len());
        for piece in text.split_inclusive(is_end) {
            let word = piece.trim_end_matches(is_end);
            // A UUID may have a word before it.
            let begin = word.len().saturating_sub(UUID);
            let begin = if is_time(word) { 0 } else { begin };
            let of_this_run = word
                .get(begin..)
                .filter(|word| is_time(word) || is_uuid(word));
            match of_this_run {
                Some(name) => {
                    kept.push_str(&word[..begin]);
                    kept.push_str(&self.number_of(name));
                }
                None => kept.push_str(word),
            }
            kept.push_str(&piece[word.len()..]);
        }
        kept
    }
}

/// Returns a text without what is of one run, if it is a record.
fn plain(text: &str) -> String {
    match serde_json::from_str(text) {
        Ok(record @ Value::Object(_)) => without_times(record).to_string(),
        _ => text.to_string(),
    }
}

fn without_times(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let plain = fields.into_iter().map(|(name, value)| {
                let is_left_out = OF_ONE_RUN.contains(&name.as_str()) && !value.is_object();
                let value = match is_left_out {
                    true => Value::from("of one run"),
                    false => without_times(value),
                };
                (name, value)
            });
            Value::Object(plain.collect())
        }
        Value::Array(items) => items.into_iter().map(without_times).collect(),
        other => other,
    }
}
