//! rpm's database in a hash of Berkeley DB, `Packages`: that of RHEL 8, and of all before.
//!
//! Read page by page as `dbinc/db_page.h` of Berkeley DB lays them out: what is put in last lies in its
//! page as a pair of key and value, and a value longer than that on a chain of pages of its own. Numbers
//! are of the order of the machine that wrote them.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::{Database, word};
use crate::fs::interrupt;

/// The number that says it is a hash, and the versions of it since rpm 4.
const MAGIC: u32 = 0x0006_1561;
const VERSIONS: std::ops::RangeInclusive<u32> = 7..=10;

/// Kinds of pages: an old and a new one of pairs, and one of a long value.
const UNSORTED: u8 = 2;
const SORTED: u8 = 13;
const OVERFLOW: u8 = 7;

/// Kinds of what lies in a page: by itself, and as the number of the first page of a chain.
const HERE: u8 = 1;
const ELSEWHERE: u8 = 3;

/// Bytes of a page's own head.
const HEAD: usize = 26;

/// Hands every package's header on.
pub(super) fn each(
    database: &Database<'_>,
    hear: &mut dyn FnMut(&[u8]) -> Result<(), String>,
) -> Result<(), String> {
    let pages = Pages::open(&database.file)?;
    // Values do not overlap, so together they are no longer than the file.
    let mut left = pages.length;
    for number in 1..pages.count {
        interrupt::check().map_err(|e| e.to_string())?;
        let page = pages.read(number)?;
        if !matches!(page.get(25), Some(&UNSORTED | &SORTED)) {
            continue;
        }
        for (key, value) in pages.pairs(&page) {
            // The one of key 0 counts packages.
            if !key.iter().all(|byte| *byte == 0) {
                hear(&pages.value(value, &mut left)?)?;
            }
        }
    }
    Ok(())
}

struct Pages<'a> {
    file: &'a File,
    length: u64,
    size: usize,
    count: u32,
    order: fn([u8; 4]) -> u32,
}

impl<'a> Pages<'a> {
    fn open(file: &'a File) -> Result<Self, String> {
        let failed = |e: std::io::Error| format!("reading it: {e}");
        let length = file.metadata().map_err(failed)?.len();
        let mut head = [0; 72];
        file.read_exact_at(&mut head, 0).map_err(failed)?;
        let order = [u32::from_le_bytes, u32::from_be_bytes]
            .into_iter()
            .find(|order| word(&head, 12, *order) == Some(MAGIC))
            .ok_or("it is no hash of Berkeley DB")?;
        let number = |at| word(&head, at, order).unwrap_or_default();
        if !VERSIONS.contains(&number(16)) {
            return Err(format!(
                "it is a hash of version {} of Berkeley DB's",
                number(16)
            ));
        }
        // 0 says that it is not encrypted.
        let size = number(20);
        if !(512..=65536).contains(&size) || !size.is_power_of_two() || head[24] != 0 {
            return Err("its first page is damaged".to_string());
        }
        Ok(Self {
            file,
            length,
            size: size as usize,
            count: u32::try_from(length / u64::from(size)).unwrap_or(u32::MAX),
            order,
        })
    }

    fn read(&self, number: u32) -> Result<Vec<u8>, String> {
        if number >= self.count {
            return Err("it is cut off".to_string());
        }
        let mut page = vec![0; self.size];
        self.file
            .read_exact_at(&mut page, u64::from(number) * self.size as u64)
            .map_err(|e| format!("reading it: {e}"))?;
        Ok(page)
    }

    /// Returns the pairs of a page, key and value each with its kind in front; what leads out of it is none.
    fn pairs<'p>(&self, page: &'p [u8]) -> Vec<(&'p [u8], &'p [u8])> {
        let entries = self.half(page, 20).unwrap_or_default();
        let start = |entry: usize| self.half(page, HEAD + 2 * entry);
        // They fill the page from its end, so each ends where the one before begins.
        let item = |entry: usize| {
            let end = match entry {
                0 => self.size,
                _ => start(entry - 1)?,
            };
            page.get(start(entry)?..end).filter(|item| !item.is_empty())
        };
        (0..entries / 2)
            .filter_map(|pair| Some((&item(2 * pair)?[1..], item(2 * pair + 1)?)))
            .collect()
    }

    /// Returns a value, from where it is.
    fn value(&self, item: &[u8], left: &mut u64) -> Result<Vec<u8>, String> {
        let damaged = || "a value in it leads astray".to_string();
        match item.first() {
            Some(&HERE) => Ok(item[1..].to_vec()),
            Some(&ELSEWHERE) => {
                let number = |at| word(item, at, self.order).ok_or_else(damaged);
                let (mut next, length) = (number(4)?, number(8)? as usize);
                let mut value = Vec::new();
                while value.len() < length {
                    // Also where a chain leads back into itself.
                    *left = left.checked_sub(self.size as u64).ok_or_else(damaged)?;
                    let page = self.read(next)?;
                    let used = self.half(&page, 22).unwrap_or_default();
                    let part = page.get(HEAD..HEAD + used);
                    let part = part.filter(|_| page.get(25) == Some(&OVERFLOW));
                    value.extend_from_slice(part.ok_or_else(damaged)?);
                    next = word(&page, 16, self.order).ok_or_else(damaged)?;
                }
                value.truncate(length);
                Ok(value)
            }
            _ => Err(damaged()),
        }
    }

    /// Returns two bytes as a number.
    fn half(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let two = bytes.get(at..at + 2)?;
        // Widened to what the order is of, at the end that is high in it.
        let wide = match (self.order)([1, 0, 0, 0]) {
            1 => [two[0], two[1], 0, 0],
            _ => [0, 0, two[0], two[1]],
        };
        Some((self.order)(wide) as usize)
    }
}
