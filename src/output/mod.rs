//! The format of answers: tables, trees, tab-separated lines, JSON, progress.
//!
//! Functions return text or write to an `io::Write`. No rules of the lifecycle here.

pub mod busy;
pub mod changes;
pub mod diff;
pub mod files;
pub mod json;
pub mod lines;
pub mod list;
pub mod merge;
pub mod progress;
pub mod properties;
pub mod screen;
pub mod status;
pub mod table;
pub mod tree;
pub mod unified;
pub mod upgrade;

pub use crate::terminal::line as clean;
pub use screen::Screen;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Returns a time in human-readable form: local time, to the minute.
pub fn local(moment: Timestamp) -> String {
    moment
        .to_zoned(TimeZone::system())
        .strftime("%Y-%m-%d %H:%M")
        .to_string()
}
