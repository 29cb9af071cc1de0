//! `netbe init`

use anyhow::Result;

use super::{Session, confirm};
use crate::cli::Init;
use crate::lifecycle::init::{self, Ground, Request, TakeOver};
use crate::lifecycle::{Mode, Outcome};

/// Makes a pool, or takes one over.
pub fn run(session: &Session, args: Init) -> Result<u8> {
    let mut request = Request {
        dir: args.dir.unwrap_or_else(|| session.pool_dir.clone()),
        states: session.states.clone(),
        ground: match (args.file, args.device) {
            (Some(bytes), _) => Ground::File(bytes),
            (_, Some(device)) => Ground::Device(device, args.yes),
            _ => Ground::Directory,
        },
        server: args.server,
        services: args.services,
        take_over: match (args.take_over, args.yes) {
            (false, _) => TakeOver::No,
            (true, true) => TakeOver::Believe,
            (true, false) => TakeOver::Show,
        },
    };
    let mode: Mode = args.changing.into();
    if request.take_over == TakeOver::Show && !mode.dry_run {
        let shown = init::init(
            &request,
            Mode {
                dry_run: true,
                ..mode
            },
        )?;
        if let Outcome::Planned(steps) = shown
            && confirm::ask(&steps)?.is_ok()
        {
            request.take_over = TakeOver::Believe;
        }
    }
    let outcome = init::init(&request, mode)?;
    if let Some(made) = session.done(outcome)? {
        let dir = made.dir.display();
        session
            .screen
            .sentence(&match (made.taken_over, made.was_there) {
                (true, _) => format!("Took over the pool in {dir}."),
                (false, true) => format!("{dir} is a pool already."),
                (false, false) => format!("Made a pool in {dir}."),
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
