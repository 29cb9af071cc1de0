//! rpm's own database format, `Packages.db`: of openSUSE.
//!
//! Pages of slots, each with the position of a package's header in blocks (rpm's `lib/backend/ndb/rpmpkg.c`); numbers
//! are little-endian. The separate index is not needed.

use std::os::unix::fs::FileExt;

use super::{Database, word};

const MAGIC: u32 = u32::from_le_bytes(*b"RpmP");
const SLOT_MAGIC: u32 = u32::from_le_bytes(*b"Slot");
const BLOB_MAGIC: u32 = u32::from_le_bytes(*b"BlbS");

/// Sizes of a page, a slot, a block, and of the prefix of a header.
const PAGE: u64 = 4096;
const SLOT: usize = 16;
const BLOCK: u64 = 16;
const HEAD: u64 = 16;
/// The first slots are the database's header.
const FIRST: usize = 2;

/// Passes every package's header to `visit`.
pub(super) fn each(
    database: &Database<'_>,
    visit: &mut dyn FnMut(&[u8]) -> Result<(), String>,
) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("reading it: {e}");
    let file = &database.file;
    let length = file.metadata().map_err(failed)?.len();
    let read = |at: u64, count: u64| -> Result<Vec<u8>, String> {
        if at.checked_add(count).is_none_or(|end| end > length) {
            return Err("it is cut short".to_string());
        }
        let mut bytes = vec![0; usize::try_from(count).map_err(|e| e.to_string())?];
        file.read_exact_at(&mut bytes, at).map_err(failed)?;
        Ok(bytes)
    };
    let head = read(0, 32)?;
    let (magic, version) = (number(&head, 0), number(&head, 4));
    if (magic, version) != (MAGIC, 0) {
        return Err("it is not an rpm database".to_string());
    }
    let slots = read(0, u64::from(number(&head, 12)) * PAGE)?;
    // Headers do not overlap, so their total is limited by the file's length.
    let mut remaining = length;
    for slot in slots.chunks_exact(SLOT).skip(FIRST) {
        let (magic, package, block) = (number(slot, 0), number(slot, 4), number(slot, 8));
        if magic != SLOT_MAGIC {
            return Err("its list of packages is damaged".to_string());
        }
        if block == 0 {
            continue;
        }
        let at = u64::from(block) * BLOCK;
        let head = read(at, HEAD)?;
        if (number(&head, 0), number(&head, 4)) != (BLOB_MAGIC, package) {
            return Err("its list of packages has a wrong position".to_string());
        }
        let count = u64::from(number(&head, 12));
        remaining = remaining.checked_sub(count).ok_or("its packages overlap")?;
        visit(&read(at + HEAD, count)?)?;
    }
    Ok(())
}

/// Returns a number; 0 if out of range.
fn number(bytes: &[u8], at: usize) -> u32 {
    word(bytes, at, u32::from_le_bytes).unwrap_or_default()
}
