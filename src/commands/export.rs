//! `netbe export`

use std::io::{self, ErrorKind};
use std::path::Path;

use anyhow::Result;

use super::Session;
use crate::cli::Export;
use crate::lifecycle::export::{self, Request, Target};
use crate::output::progress::{Line, bytes};

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
            .sentence(&format!("Exported {}{since} to {file}, {size}.", sent.name))?,
        // Standard output is the stream's.
        _ => session
            .screen
            .detail(&format!("exported {}{since}, {size}", sent.name)),
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
