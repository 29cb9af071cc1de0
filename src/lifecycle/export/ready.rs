//! The snapshots that an export sends, in a stage, and their stream.
//!
//! Not for taking the snapshots.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

use super::super::import::unpack::Progress;
use super::Target;
use crate::btrfs::chattr;
use crate::btrfs::send::Sending;
use crate::fs::opener;
use crate::pool::layout;
use crate::pool::stage::Staged;
use crate::stream::header::Header;
use crate::stream::{PLAIN, Part, WITH_DATA, Writer, pack};

/// How many files with attributes are named.
const ATTRIBUTED: usize = 3;

/// The directory of a stage with the base of the stream.
pub(super) const SINCE: &str = "since";
/// The directory of a stage with the snapshots that are sent and become the base.
pub(super) const SENT: &str = "sent";
/// The directory of a stage with the snapshots of data.
pub(super) const DATA: &str = "data";

/// The snapshots to send.
pub(super) struct Ready {
    pub(super) stage: Staged,
    pub(super) header: Header,
    /// Whether they are not the environment's base already.
    pub(super) fresh: bool,
    pub(super) notes: Vec<String>,
}

impl Ready {
    pub(super) fn send(&self, to: &Target, progress: &mut dyn Progress) -> Result<u64> {
        let (out, landing) = to.open()?;
        let version = match self.header.data.as_slice() {
            [] => PLAIN,
            _ => WITH_DATA,
        };
        let mut writer = Writer::begin(out, version)?;
        writer.frame(Part::Head, &self.header.to_json()?)?;
        let mut lengths = Vec::new();
        let mut done = 0;
        let mut tick = |bytes| {
            done += bytes;
            progress.advance(done, None);
        };
        for (part, half) in [(Part::Root, layout::ROOT), (Part::Boot, layout::BOOT)] {
            let subvolume = |dir: &str| self.stage.path().join(dir).join(half);
            let since = self.header.since.as_ref().map(|_| subvolume(SINCE));
            let length = send(
                &subvolume(SENT),
                since.as_deref(),
                part,
                &mut writer,
                &mut tick,
            )?;
            lengths.extend(length.to_le_bytes());
        }
        for path in &self.header.data {
            writer.frame(Part::Path, path.as_str().as_bytes())?;
            let place = self.stage.path().join(DATA).join(path.directory());
            let length = send(&place, None, Part::Data, &mut writer, &mut tick)
                .with_context(|| format!("sending the data of {path}"))?;
            lengths.extend(length.to_le_bytes());
        }
        writer.frame(Part::Done, &lengths)?;
        let bytes = writer.written();
        landing.finish(writer.into_inner())?;
        Ok(bytes)
    }
}

/// Sends a snapshot, or what changed in it since another one; returns the length of its send stream.
fn send<W: Write>(
    snapshot: &Path,
    since: Option<&Path>,
    part: Part,
    writer: &mut Writer<W>,
    tick: &mut dyn FnMut(u64),
) -> Result<u64> {
    let (sending, stream) = Sending::begin(snapshot, since)?;
    let packed = pack(stream, part, writer, tick);
    let sent = sending.finish();
    // If the reader closed the pipe, the kernel's error says only that.
    let length = packed?;
    sent?;
    Ok(length)
}

/// Returns a sentence about the attributes in a subvolume that a stream does not carry.
pub(super) fn not_carried(half: &Path) -> Result<Option<String>> {
    let (count, first) = opener::directory(half)
        .and_then(|top| chattr::attributed(&top, ATTRIBUTED))
        .with_context(|| format!("reading {}", half.display()))?;
    if count == 0 {
        return Ok(None);
    }
    let first: Vec<String> = first.iter().map(ToString::to_string).collect();
    let (files, more) = match count {
        1 => ("1 file has".to_string(), ""),
        n if n > first.len() => (format!("{n} files have"), ", …"),
        n => (format!("{n} files have"), ""),
    };
    Ok(Some(format!(
        "{files} attributes of chattr(1), which a stream does not carry: {}{more}",
        first.join(", ")
    )))
}
