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
use crate::output::progress::Line;
use crate::pool::Operand;
use crate::terminal::bytes;

const AFTER: &str = "\
Examples:
  netbe export nog/a | ssh other netbe import nog/a
  netbe export nog/b --since nog/a | ssh other netbe import nog/b
  netbe export nog/a -o /mnt/usb/nog-a.netbe
  netbe import nog/a /mnt/usb/nog-a.netbe
  netbe export nog/a --no-base | ssh elsewhere netbe import nog/a
  netbe export nog/a --data | ssh other netbe import nog/a --data

Base of incremental streams:
  Export and import of a full stream keep the same content on both servers:
  the base of the environment, two read-only snapshots in its directory
  (.base). A later stream with --since that environment contains only the
  changes. The import refuses it if its server does not have the base.

  A base takes the space of what the environment has changed since. It is
  renamed and destroyed with its environment. When a changed environment is
  exported again, the new base replaces the old one, and streams since the old
  base can no longer be made; with --no-base, an export to another server
  leaves the base as it is. To remove a base, delete the two subvolumes in
  .base: nothing else needs them.

Data of the node:
  With --data the stream also has what the node keeps apart from its
  environments (property data), as it is now. It is always sent whole, also with
  --since: an import gives it to a node that has no data there, never to one
  that has.

Not exported:
  Properties of the node: two servers must not answer to the same MAC address.
  The flags pinned, active and booted. What btrfs send omits: file attributes
  such as chattr +i or +C, birth times, and preallocated space (fallocate),
  which becomes a hole.

Format:
  Version 1; with data version 2, which netbe knows since it exports data.
  Numbers are little-endian.

  NETBE-STREAM 1\\n     the first line; the number is the format's version
  frame ...            to the end of the stream

  Frame:
    kind      4 bytes  HEAD, ROOT, BOOT, PATH, DATA or DONE
    length    4 bytes  of the payload
    checksum  32 bytes SHA-256 of the checksum before it, kind, length and
                       payload; before the first frame, of the first line
    payload

  HEAD   once, first   JSON, at most 16 MiB: node, name, template, exported,
                       id (of the base it becomes), since (node, name, uuid
                       of the base it needs), data (the paths), record
                       (env.json)
  ROOT   any number    up to 4 MiB of the root half's btrfs send stream
                       (protocol 1), as one zstd frame
  BOOT   any number    the same of the boot half
  PATH   for each path the path of the data that follows, in HEAD's order
  DATA   any number    the same of the data at that path, always whole
  DONE   once, last    8 bytes for each send stream: its length

  The checksums detect damage, not forgery: a stream is as trustworthy as its
  author, and import treats it as untrusted input.";

/// Write an environment as a stream, for netbe import on another server
///
/// The stream contains both halves and the environment's record. It goes to standard output or to FILE. The environment
/// may be active and running: snapshots are sent. With --since, only the changes since that environment was last
/// exported or imported are sent; the other server has to have it.
///
/// With --data the data that the node keeps apart from its environments (property data) is sent, too.
///
/// A stream contains all secrets of the environment, such as host keys and password hashes. A new FILE is readable by
/// its owner only, and appears when it is complete.
#[derive(Debug, Args)]
#[command(after_long_help = AFTER)]
pub struct Export {
    /// The environment
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(complete::sources))]
    pub what: Operand,
    /// Send only what changed since this one was exported or imported
    #[arg(long, value_name = "NODE[/ENV]", add = ArgValueCompleter::new(complete::sources))]
    pub since: Option<Operand>,
    /// Send the data of the node, too
    #[arg(long)]
    pub data: bool,
    /// Write to FILE [default: standard output]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Do not keep a base for a later --since; an existing base stays
    #[arg(long)]
    pub no_base: bool,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// The status when the reader closed the pipe early: the reader prints the reason.
const PIPE_CLOSED: u8 = 1;

/// Exports an environment.
pub fn run(session: &Session, args: Export) -> Result<u8> {
    let shown = args
        .output
        .as_deref()
        .map(Path::display)
        .map(|d| d.to_string());
    let request = Request {
        what: args.what,
        since: args.since,
        data: args.data,
        to: match args.output {
            Some(path) if path.as_os_str() != "-" => Target::File(path),
            _ => Target::Stdout,
        },
        keep: !args.no_base,
    };
    let mut line = Line::new(session.draws_progress());
    let outcome = export::export(&session.pool()?, &request, &mut line, args.changing.into());
    drop(line);
    let outcome = match outcome {
        Err(e) if is_closed_pipe(&e) => return Ok(PIPE_CLOSED),
        outcome => outcome?,
    };
    let Some(sent) = session.done(outcome)? else {
        return Ok(0);
    };
    let since = sent.since.map_or(String::new(), |s| format!(" since {s}"));
    let size = bytes(sent.bytes);
    match (&request.to, shown) {
        (Target::File(_), Some(file)) => {
            session.sentence(&format!("Exported {}{since} to {file}, {size}.", sent.id))?;
        }
        // Standard output has the stream.
        _ => session.detail(&format!("exported {}{since}, {size}", sent.id)),
    }
    session.notes(&sent.notes);
    session.warnings(&sent.warnings);
    Ok(0)
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|e| e.kind() == ErrorKind::BrokenPipe)
}
