//! `netbe mount`, `netbe umount`

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueHint};
use clap_complete::engine::ArgValueCompleter;

use super::args::Changing;
use super::complete;
use super::session::Session;
use crate::lifecycle::mount;
use crate::pool::Operand;

/// Mount an environment: root, and boot at its mount point
///
/// Prints the directory. An environment that is active or may be running is mounted read-only. The mount has nosuid and
/// nodev.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe mount nog/first
  netbe mount nog/first /mnt
  vi \"$(netbe mount nog/next)/etc/fstab\"; netbe umount nog/next")]
pub struct Mount {
    /// The environment; of NODE alone the active one
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(complete::environments))]
    pub operand: Operand,
    /// The mount point [default: a directory under /run/netbe]
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Unmount an environment
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe umount nog/first
  netbe umount /mnt")]
pub struct Umount {
    /// The environment (of NODE alone the active one), or its mount point
    #[arg(value_name = "NODE[/ENV]|DIR", add = ArgValueCompleter::new(complete::sources))]
    pub what: String,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Mounts an environment and prints the mount point.
pub fn mount(session: &Session, args: &Mount) -> Result<u8> {
    let outcome = mount::mount_env(
        &session.pool()?,
        &args.operand,
        args.dir.as_deref(),
        args.changing.into(),
    )?;
    if let Some(done) = session.done(outcome)? {
        session.answer(&format!("{}\n", done.dir.display()))?;
        if let Some(why) = done.read_only {
            session.warnings(&[format!("{} is mounted read-only: {why}", args.operand)]);
        }
    }
    Ok(0)
}

/// Unmounts an environment.
pub fn umount(session: &Session, args: &Umount) -> Result<u8> {
    let outcome = mount::umount_env(&session.pool()?, &args.what, args.changing.into())?;
    if session.done(outcome)?.is_some() {
        session.sentence(&format!("Unmounted {}.", args.what))?;
    }
    Ok(0)
}
