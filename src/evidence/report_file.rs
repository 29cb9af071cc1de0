//! Reads the file of one report, which a node writes: only up to a limit. Not for the places of the files.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;

use jiff::Timestamp;

use crate::boot::report::{self, Report};

/// Reads a report, with the time at which it was written.
pub(super) fn read(file: File) -> Option<(Timestamp, Report)> {
    let metadata = file.metadata().ok()?;
    let nanoseconds = i32::try_from(metadata.ctime_nsec()).ok()?;
    let time = Timestamp::new(metadata.ctime(), nanoseconds).ok()?;
    let mut bytes = Vec::new();
    file.take(report::LIMIT).read_to_end(&mut bytes).ok()?;
    Some((time, report::parse(std::str::from_utf8(&bytes).ok()?)?))
}
