//! `netbe create`, `netbe clone`

use anyhow::Result;

use super::Session;
use crate::cli::{CloneEnv, Create};
use crate::failure::Failure;
use crate::lifecycle::Mode;
use crate::lifecycle::create::{self, Request};

/// Makes an environment, and its node where there is none.
pub fn create(session: &Session, args: Create) -> Result<u8> {
    let mut properties: Vec<(String, String)> = args
        .mac
        .into_iter()
        .map(|m| ("mac".to_string(), m))
        .collect();
    properties.extend(args.serial.map(|s| ("serial".to_string(), s)));
    properties.extend(args.ip.map(|i| ("ip".to_string(), i)));
    let request = Request {
        target: args.target,
        from: args.from,
        properties,
        description: args.said.description,
        activate: args.activate,
    };
    make(session, &request, args.changing.into())
}

/// Makes an environment from another.
pub fn clone(session: &Session, args: CloneEnv) -> Result<u8> {
    if let Err(e) = session.pool()?.node(&args.target.node) {
        return Err(match create::is_not_found(&e) {
            true => Failure::not_found(e.to_string())
                .hint(format!(
                    "netbe create {} --from {}",
                    args.target, args.source
                ))
                .into(),
            false => e,
        });
    }
    let request = Request {
        target: args.target,
        from: Some(args.source),
        properties: Vec::new(),
        description: args.said.description,
        activate: args.activate,
    };
    make(session, &request, args.changing.into())
}

fn make(session: &Session, request: &Request, mode: Mode) -> Result<u8> {
    let outcome = create::create(&session.pool()?, request, mode)?;
    if let Some(made) = session.done(outcome)? {
        let active = if made.active { ", active" } else { "" };
        session.screen.sentence(&format!(
            "Created {} from {}{active}.",
            made.name, made.origin
        ))?;
        session.screen.notes(&made.notes);
        session.screen.warnings(&made.warnings);
    }
    Ok(0)
}
