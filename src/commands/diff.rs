//! `netbe diff`

use anyhow::Result;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::complete;
use super::session::Session;
use crate::lifecycle::diff::{self, Difference, KnownBy, Wanted};
use crate::output;
use crate::pool::Operand;

/// Show how an environment differs from another
///
/// Shows the changes from the first to the second; with one operand, from its origin to it: packages, boot
/// settings and files. If more than a few dozen files differ, only counts are shown; --files shows each.
///
/// Packages: added, removed, upgraded and downgraded, read from the package databases of both (dpkg, rpm, pacman,
/// apk) without running anything. If the origin is destroyed, the changes that its upgrade recorded are shown.
///
/// Files: added (+), removed (-) and changed (M) in content, permissions, owner, type, link target, device
/// numbers, ACLs, capabilities or other extended attributes, in both halves. Timestamps, hard links between files
/// and nested subvolumes are not compared. If both have a common origin, only what was written since is compared;
/// else all files are. An added or removed directory is one line with the number of files in it; -v shows every file.
/// Without root privileges all files are compared, and unreadable ones are reported.
///
/// Boot: the kernel command line, one argument on each line, the loader's configuration (config.txt, pxelinux.cfg)
/// and fstab, as a unified diff.
///
/// Data of the nodes (netbe-set) is the same in all of their environments, and left out.
///
/// Differences of identity are shown separately: the paths of root and boot half (root=, nfsroot=, ip=, netbe's
/// line in fstab), and between two nodes host name, machine-id, ssh host keys, leases and random seeds. The JSON
/// document marks them with "identity": true.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe diff ordo/next
  netbe diff nog ordo
  netbe diff --files nog/first nog/next | less
  netbe diff --json nog/first nog/next | jq -r '.packages.upgraded[].name'
  netbe diff --files --json nog | jq -r '.files[].path'")]
pub struct Diff {
    /// The first; alone, it is compared with its origin
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(complete::sources))]
    pub first: Operand,
    /// The second
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(complete::sources))]
    pub second: Option<Operand>,
    /// Compare only packages
    #[arg(long, group = "what")]
    pub packages: bool,
    /// Compare only files
    #[arg(long, group = "what")]
    pub files: bool,
    /// Compare only boot settings
    #[arg(long, group = "what")]
    pub boot: bool,
    /// For scripts: one JSON document
    #[arg(long)]
    pub json: bool,
}

/// Shows how an environment differs from another; without an option, in everything.
pub fn run(session: &Session, args: &Diff) -> Result<u8> {
    let pool = session.pool()?;
    let all = !(args.packages || args.files || args.boot);
    let wanted = Wanted {
        packages: args.packages || all,
        files: args.files || all,
        boot: args.boot || all,
    };
    let comparing = || diff::between(&pool, &args.first, args.second.as_ref(), wanted);
    let found = session.busy("Comparing", comparing)?;
    let answer = match args.json {
        true => output::diff::document(&found)?,
        false => output::diff::draw(&found, all, &session.screen),
    };
    if found.known_by == KnownBy::Report {
        session.notes(&[format!(
            "{} is destroyed; these are the changes that the upgrade to {} recorded",
            found.from, found.to
        )]);
    }
    session.answer(&answer)?;
    session.warnings(&unread(&found));
    // The other differences were printed; the exit status reports the failure.
    match found.failures.into_iter().next() {
        Some(failure) => Err(failure),
        None => Ok(0),
    }
}

fn unread(found: &Difference) -> Vec<String> {
    match found.files.as_ref().map_or(0, |f| f.unread.len()) {
        0 => Vec::new(),
        n => vec![format!(
            "{n} directories or more were not compared: their paths are longer than PATH_MAX"
        )],
    }
}
