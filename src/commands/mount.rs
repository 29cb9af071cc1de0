//! `netbe mount`, `netbe umount`

use anyhow::Result;

use super::Session;
use crate::cli::{Mount, Umount};
use crate::lifecycle::mount;

/// Mounts an environment and prints where.
pub fn mount(session: &Session, args: &Mount) -> Result<u8> {
    let outcome = mount::mount_env(
        &session.pool()?,
        &args.operand,
        args.dir.as_deref(),
        args.changing.into(),
    )?;
    if let Some(done) = session.done(outcome)? {
        session
            .screen
            .answer(&format!("{}\n", done.dir.display()))?;
        if let Some(why) = done.read_only {
            session
                .screen
                .warnings(&[format!("{} is mounted read-only: {why}", args.operand)]);
        }
    }
    Ok(0)
}

/// Unmounts an environment.
pub fn umount(session: &Session, args: &Umount) -> Result<u8> {
    let outcome = mount::umount_env(&session.pool()?, &args.what, args.changing.into())?;
    if session.done(outcome)?.is_some() {
        session
            .screen
            .sentence(&format!("Unmounted {}.", args.what))?;
    }
    Ok(0)
}
