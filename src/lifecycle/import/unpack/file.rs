//! Unpacks a system from a file or stream of any supported format.

use std::cell::RefCell;
use std::fs::File;
use std::io::Read;

use anyhow::{Context, Result};

use super::disk_file::Disk;
use super::{Driver, Input, Progress, Source, Target, disk};
use crate::failure::Failure;
use crate::formats::detect::{self, Kind};
use crate::formats::disk_image::{Unread, spool};
use crate::formats::tar;

/// The decompressed image in the scratch directory.
const SPOOLED: &str = "disk.img";

/// How to unpack a source.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    /// Whether the boot half has another source.
    pub(super) boot_given: bool,
    /// The reader of a disk image's filesystems.
    pub(super) driver: Driver,
}

/// Unpacks a file or stream, and returns the mount point of the boot half if that was unpacked too.
pub(super) fn unpack(
    input: Input,
    how: How,
    target: &Target,
    progress: &mut dyn Progress,
    notes: &mut Vec<String>,
) -> Result<Option<String>> {
    let (shown, total, from) = (input.shown(), input.total, input.source.clone());
    let (file, stream) = input.into_parts()?;
    let unpacked = {
        // The reader reports progress already while the format is being recognised.
        let (progress, mut done) = (RefCell::new(&mut *progress), 0);
        let mut tick = |bytes| {
            done += bytes;
            progress.borrow_mut().advance(done, total);
        };
        let mut opened =
            detect::open(stream, &mut tick).with_context(|| format!("reading {shown}"))?;
        let bringing = || format!("importing {shown}");
        match opened.kind {
            Kind::Tar => {
                progress.borrow_mut().phase("unpacking the archive");
                let unpacked = tar::unpack(&mut opened.content, &target.root_tree);
                notes.extend(unpacked.with_context(bringing)?);
                return Ok(None);
            }
            Kind::Disk if opened.compression.is_none() && total.is_some() => None,
            Kind::Disk => {
                progress.borrow_mut().phase("writing out the disk image");
                Some(spooled(&mut opened.content, target).with_context(bringing)?)
            }
            other => return Err(refusal(other, &shown, &from).into()),
        }
    };
    let disk = match unpacked {
        Some(unpacked) => Disk::own(unpacked, how.driver)?,
        None => Disk::foreign(file, how.driver)?,
    };
    disk::unpack(&disk, how.boot_given, target, progress, notes)
        .map_err(|e| with_remedy(e, &from))
        .with_context(|| format!("importing {shown}"))
}

/// Adds a hint for a filesystem that only the kernel can read.
fn with_remedy(error: anyhow::Error, from: &Source) -> anyhow::Error {
    let source = match from {
        Source::Directory(path) | Source::File(path) => path.display().to_string(),
        Source::Stdin => "-".to_string(),
    };
    let hint = error.downcast_ref::<Failure>().and_then(|f| f.hint.clone());
    if let Some(hint) = hint.filter(|hint| hint.contains(" FILE;")) {
        let file = match from {
            Source::Stdin => "DISK-IMAGE".to_string(),
            _ => source,
        };
        return Failure::failed(error.to_string())
            .hint(hint.replace("FILE", &file))
            .into();
    }
    if !error.chain().any(<dyn std::error::Error>::is::<Unread>) {
        return error;
    }
    Failure::refused(format!(
        "{error:#}; the server's kernel can read it, which takes trust in its author"
    ))
    .hint(format!("netbe import --kernel-driver NODE {source}"))
    .into()
}

/// Refuses a file that has no system, without writing anything; returns why it was not looked into, if it was not.
///
/// A disk image is read as it is imported, up to its root; of anything else, only the beginning.
pub(super) fn foresee(input: &Input, driver: Driver) -> Result<Option<&'static str>> {
    let Source::File(path) = &input.source else {
        return Ok(Some("a pipe"));
    };
    let shown = input.shown();
    let (file, _) = detect::open_file(path)?;
    let mut tick = |_| ();
    let opened = detect::open(&file, &mut tick).with_context(|| format!("reading {shown}"))?;
    let compressed = opened.compression.is_some();
    match opened.kind {
        Kind::Tar => return Ok(Some("an archive")),
        Kind::Disk if compressed => return Ok(Some("a compressed disk image")),
        Kind::Disk if driver == Driver::Kernel => {
            return Ok(Some("a disk image, for the kernel to mount"));
        }
        Kind::Disk => {}
        other => return Err(refusal(other, &shown, &input.source).into()),
    }
    drop(opened);
    let looked = Disk::foreign(file, driver).and_then(|disk| disk::foresee(&disk));
    looked
        .map_err(|e| with_remedy(e, &input.source))
        .with_context(|| format!("importing {shown}"))?;
    Ok(None)
}

fn spooled(content: &mut dyn Read, target: &Target) -> Result<File> {
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(target.scratch.join(SPOOLED))
        .context("reserving space for the disk image")?;
    spool(content, &file)?;
    Ok(file)
}

fn refusal(kind: Kind, shown: &str, from: &Source) -> Failure {
    let not = |why: &str| {
        Failure::failed(format!(
            "{shown} is not an operating system netbe can read: {why}"
        ))
    };
    let named = |hint: &str| match from {
        Source::File(path) => hint.replace("FILE", &path.display().to_string()),
        _ => hint.to_string(),
    };
    match kind {
        Kind::NetbeStream => not("it is a stream of netbe export, compressed again")
            .hint(named("zstd -dc FILE | netbe import NODE -")),
        Kind::Zip => not("it is a zip archive").hint(named("unzip -p FILE | netbe import NODE -")),
        Kind::Foreign(what, hint) => {
            let failure = not(&format!("it is {what}"));
            match hint {
                Some(hint) => failure.hint(named(hint)),
                None => failure,
            }
        }
        Kind::Empty => not("it is empty"),
        _ => not("it is neither a tar archive nor a disk image"),
    }
}
