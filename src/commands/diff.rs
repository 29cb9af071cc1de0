//! `netbe diff`

use anyhow::Result;

use super::Session;
use crate::cli::Diff;
use crate::lifecycle::diff::{self, Difference, KnownBy, Wanted};
use crate::output;

/// Shows how an environment differs from another; without a choice in everything that is compared.
pub fn run(session: &Session, args: &Diff) -> Result<u8> {
    let pool = session.pool()?;
    let all = !(args.packages || args.files || args.boot);
    let wanted = Wanted {
        packages: args.packages || all,
        files: args.files || all,
        boot: args.boot || all,
    };
    let found = diff::between(&pool, &args.first, args.second.as_ref(), wanted)?;
    let answer = match args.json {
        true => output::diff::document(&found)?,
        false => output::diff::draw(&found, all, &session.screen),
    };
    if found.known_by == KnownBy::Report {
        session.screen.notes(&[format!(
            "{} is gone; this is what the upgrade that made {} of it changed",
            found.from, found.to
        )]);
    }
    session.screen.answer(&answer)?;
    session.screen.warnings(&unread(&found));
    // What could be told was told; the status says that it is not all.
    match found.failures.into_iter().next() {
        Some(failure) => Err(failure),
        None => Ok(0),
    }
}

fn unread(found: &Difference) -> Vec<String> {
    let unread = found.files.as_ref().map_or(0, |f| f.unread.len());
    match unread {
        0 => Vec::new(),
        n if nix::unistd::geteuid().is_root() => vec![format!(
            "what lies deeper than a path can be long was not compared: {n} directories or more"
        )],
        n => vec![format!(
            "not being root, netbe could not read {n} files and directories, and takes them for the same"
        )],
    }
}
