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
/// From the first to the second; of one alone, from what it was made from to it. Packages, what it boots with,
/// and files; of more than a few dozen files how many differ where, and --files shows each.
///
/// Packages: added, removed, upgraded and downgraded, by the package databases of both (dpkg, rpm, pacman,
/// apk), which are read without running anything. Where what it was made from is gone, what its upgrade
/// changed when it made it.
///
/// Files: added (+), removed (-) and changed (M) in content, permissions, owner, type, link target, device
/// numbers, ACLs, capabilities or other extended attributes, in both halves. Times are no difference, nor is
/// which names are one file, nor what is in a nested subvolume. Where both come from one environment only what
/// was written since is looked at, so it costs what changed; else all files are. A directory that was added or
/// removed is one line with what is in it; -v shows every file. Without being root all files are walked, and
/// what may not be read is told.
///
/// Boot: the kernel command line, an argument a line, the loader's configuration (config.txt, pxelinux.cfg)
/// and fstab, as unified text.
///
/// What says which environment or machine this is differs by nature, and is told apart: where root and boot
/// half are (root=, nfsroot=, ip=, netbe's line in fstab), and between two nodes host name, machine-id, ssh
/// host keys, leases and random seeds. In the document it has "identity": true.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe diff ordo/next
  netbe diff nog ordo
  netbe diff --files nog/first nog/next | less
  netbe diff --json nog/first nog/next | jq -r '.packages.upgraded[].name'
  netbe diff --files --json nog | jq -r '.files[] | select(.identity | not) | .path'")]
pub struct Diff {
    /// The first; alone, the one that is compared with its origin
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(complete::sources))]
    pub first: Operand,
    /// The second
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(complete::sources))]
    pub second: Option<Operand>,
    /// Only which packages differ
    #[arg(long, group = "what")]
    pub packages: bool,
    /// Only which files differ
    #[arg(long, group = "what")]
    pub files: bool,
    /// Only how they boot
    #[arg(long, group = "what")]
    pub boot: bool,
    /// For scripts: one JSON document
    #[arg(long)]
    pub json: bool,
}

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
