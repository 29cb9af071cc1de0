//! `netbe init`

use anyhow::Result;

use super::Session;
use crate::cli::Init;
use crate::lifecycle::initialisation::{self, Ground};

/// Makes a pool.
pub fn run(session: &Session, args: Init) -> Result<u8> {
    let dir = args.dir.unwrap_or_else(|| session.pool_dir.clone());
    let ground = match (args.file, args.device) {
        (Some(bytes), _) => Ground::File(bytes),
        (_, Some(device)) => Ground::Device(device, args.yes),
        _ => Ground::Directory,
    };
    let outcome = initialisation::init(
        &dir,
        &ground,
        args.server.as_deref(),
        args.services,
        args.changing.into(),
    )?;
    if let Some(made) = session.done(outcome)? {
        let dir = made.dir.display();
        session.screen.sentence(&match made.was_there {
            true => format!("{dir} is a pool already."),
            false => format!("Made a pool in {dir}."),
        })?;
        match made.services.as_deref() {
            None => {}
            Some([]) => session
                .screen
                .sentence("Its services are installed already.")?,
            Some(steps) => session
                .screen
                .sentence(&format!("Installed its services: {}.", steps.join(", ")))?,
        }
        session.screen.notes(&made.notes);
        session.screen.warnings(&made.warnings);
    }
    Ok(0)
}
