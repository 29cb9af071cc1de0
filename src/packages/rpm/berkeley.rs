//! rpm's database as a Berkeley DB hash, `Packages`: of RHEL 8 and before.
//!
//! Pages have the layout of Berkeley DB's `dbinc/db_page.h`: a page has pairs of key and value, and a longer value is
//! on a chain of overflow pages. Numbers are in the byte order of the machine that wrote them.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::{Database, word};
use crate::fs::interrupt;

/// Magic number of a hash, and its versions since rpm 4.
const MAGIC: u32 = 0x0006_1561;
const VERSIONS: std::ops::RangeInclusive<u32> = 7..=10;

/// Page types: unsorted pairs, sorted pairs, overflow.
const UNSORTED: u8 = 2;
const SORTED: u8 = 13;
const OVERFLOW: u8 = 7;

/// Item types: inline, and on overflow pages.
const INLINE: u8 = 1;
const OFF_PAGE: u8 = 3;

/// Size of a page's header.
const HEAD: usize = 26;

/// Passes every package's header to `visit`.
pub(super) fn each(
    database: &Database<'_>,
    visit: &mut dyn FnMut(&[u8]) -> Result<(), String>,
) -> Result<(), String> {
    let pages = Pages::open(&database.file)?;
    // Values do not overlap, so their total is limited by the file's length.
    let mut remaining = pages.length;
    for number in 1..pages.count {
        interrupt::check().map_err(|e| e.to_string())?;
        let page = pages.read(number)?;
        if !matches!(page.get(25), Some(&UNSORTED | &SORTED)) {
            continue;
        }
        for (key, value) in pages.pairs(&page) {
            // Key 0 has the number of packages.
            if !key.iter().all(|byte| *byte == 0) {
                visit(&pages.value(value, &mut remaining)?)?;
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
            .ok_or("it is not a Berkeley DB hash")?;
        let number = |at| word(&head, at, order).unwrap_or_default();
        if !VERSIONS.contains(&number(16)) {
            return Err(format!(
                "it is a Berkeley DB hash of version {}",
                number(16)
            ));
        }
        // 0: not encrypted.
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
            return Err("it is cut short".to_string());
        }
        let mut page = vec![0; self.size];
        self.file
            .read_exact_at(&mut page, u64::from(number) * self.size as u64)
            .map_err(|e| format!("reading it: {e}"))?;
        Ok(page)
    }

    /// Returns the pairs of a page, each item with its type; invalid ones are skipped.
    fn pairs<'p>(&self, page: &'p [u8]) -> Vec<(&'p [u8], &'p [u8])> {
        let entries = self.half(page, 20).unwrap_or_default();
        let start = |entry: usize| self.half(page, HEAD + 2 * entry);
        // Items fill the page from its end, so each ends where the previous one begins.
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

    /// Returns a value, following overflow pages.
    fn value(&self, item: &[u8], remaining: &mut u64) -> Result<Vec<u8>, String> {
        let damaged = || "a value in it is damaged".to_string();
        match item.first() {
            Some(&INLINE) => Ok(item[1..].to_vec()),
            Some(&OFF_PAGE) => {
                let number = |at| word(item, at, self.order).ok_or_else(damaged);
                let (mut next, length) = (number(4)?, number(8)? as usize);
                let mut value = Vec::new();
                while value.len() < length {
                    // Also ends a loop of pages.
                    *remaining = remaining
                        .checked_sub(self.size as u64)
                        .ok_or_else(damaged)?;
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

    /// Returns a number of two bytes.
    fn half(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let two = bytes.get(at..at + 2)?;
        // Extended to four bytes, according to the byte order.
        let wide = match (self.order)([1, 0, 0, 0]) {
            1 => [two[0], two[1], 0, 0],
            _ => [0, 0, two[0], two[1]],
        };
        Some((self.order)(wide) as usize)
    }
}
