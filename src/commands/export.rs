//! `netbe export`

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, ValueHint};
use clap_complete::engine::ArgValueCompleter;

use super::args::Changing;
use super::complete;
use super::session::Session;
use crate::lifecycle::export::{self, Request, Target};
use crate::output::progress::{Line, bytes};
use crate::pool::Operand;

const AFTER: &str = "\
Examples:
  netbe export nog/a | ssh other netbe import nog/a
  netbe export nog/b --since nog/a | ssh other netbe import nog/b
  netbe export nog/a -o /mnt/usb/nog-a.netbe
  netbe import nog/a /mnt/usb/nog-a.netbe
  netbe export nog/a --no-base | ssh elsewhere netbe import nog/a

What stays behind:
  A whole stream and the import of it leave the same thing on both sides, to
  the byte: the base of the environment, two read-only snapshots in its
  directory (.base). A later stream since that environment holds only what
  changed after it; whether the other side has the base is found out there, and
  refused where it has not.

  A base takes the space of what the environment has changed since. It is
  renamed and destroyed along with its environment. When that was changed and
  is exported again, the new base takes the place of the old one, and what is
  since the old one can no longer be made: where a second server gets a copy
  between, --no-base leaves it as it is. To give one up alone, delete the two
  subvolumes in .base: nothing else needs them.

  Properties of the node do not travel: two servers that answer to one MAC
  address would fight about it. Nor does whether it is pinned, active or
  booted. What btrfs send leaves out stays behind too: file attributes such as
  chattr +i or +C, times of birth, and space set aside (fallocate), which
  becomes a hole.

Format:
  Version 1. Numbers are little-endian.

  NETBE-STREAM 1\\n     the first line; the number is the format's version
  frame ...            one behind the other, to the end of the stream

  Frame:
    kind      4 bytes  HEAD, ROOT, BOOT or DONE
    length    4 bytes  of the payload
    checksum  32 bytes SHA-256 of the checksum before it, kind, length and
                       payload; before the first frame, of the first line
    payload

  HEAD   once, first   JSON, at most 16 MiB: node, name, template, exported,
                       id (of the base it becomes), since (node, name, uuid
                       of the base it needs), record (env.json)
  ROOT   any number    up to 4 MiB of the root half's btrfs send stream
                       (protocol 1), as one zstd frame
  BOOT   any number    the same of the boot half
  DONE   once, last    8 + 8 bytes: how long the two send streams are

  The checksums find accidents, not authors: a stream is as trustworthy as
  whoever it comes from, and is read as if it were made up.";

/// Write an environment as a stream, for netbe import on another server
///
/// Both halves and what is known of them, in one stream, to standard output or to FILE. The environment may
/// be active and running: what is sent are snapshots. With --since only what changed in it since that
/// environment was last exported or imported; the other side has to have it.
///
/// A stream holds all that the environment does: host keys and password hashes too. A new FILE is its
/// owner's alone, and is there when it is whole.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER)]
pub struct Export {
    /// The environment
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(complete::sources))]
    pub what: Operand,
    /// Send only what changed since this one was exported or imported
    #[arg(long, value_name = "NODE[/ENV]", add = ArgValueCompleter::new(complete::sources))]
    pub since: Option<Operand>,
    /// Where to; standard output without it
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Keep nothing of it for a later --since; what was kept before stays
    #[arg(long)]
    pub no_base: bool,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// The status where whoever read the stream did not want all of it: that one says why.
const NOT_TAKEN: u8 = 1;

/// Sends an environment away.
pub fn run(session: &Session, args: Export) -> Result<u8> {
    let shown = args
        .output
        .as_deref()
        .map(Path::display)
        .map(|d| d.to_string());
    let request = Request {
        what: args.what,
        since: args.since,
        to: match args.output {
            Some(path) if path.as_os_str() != "-" => Target::File(path),
            _ => Target::Stdout,
        },
        keep: !args.no_base,
    };
    let mut line = Line::new(session.screen.draws_progress());
    let outcome = export::export(&session.pool()?, &request, &mut line, args.changing.into());
    drop(line);
    let outcome = match outcome {
        Err(e) if is_not_taken(&e) => return Ok(NOT_TAKEN),
        outcome => outcome?,
    };
    let Some(sent) = session.done(outcome)? else {
        return Ok(0);
    };
    let since = sent.since.map_or(String::new(), |s| format!(" since {s}"));
    let size = bytes(sent.bytes);
    match (&request.to, shown) {
        (Target::File(_), Some(file)) => session
            .screen
            .sentence(&format!("Exported {}{since} to {file}, {size}.", sent.id))?,
        // Standard output is the stream's.
        _ => session
            .screen
            .detail(&format!("exported {}{since}, {size}", sent.id)),
    }
    session.screen.notes(&sent.notes);
    session.screen.warnings(&sent.warnings);
    Ok(0)
}

fn is_not_taken(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|e| e.kind() == ErrorKind::BrokenPipe)
}
