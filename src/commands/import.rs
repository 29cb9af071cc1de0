//! `netbe import`

use anyhow::Result;

use super::Session;
use crate::cli::Import;
use crate::lifecycle::import::unpack::{Driver, Progress, Source};
use crate::lifecycle::import::{self, NewNode, Request};
use crate::output::progress::Line;

impl Progress for Line {
    fn phase(&mut self, what: &str) {
        Line::phase(self, what);
    }

    fn advance(&mut self, bytes_done: u64, bytes_total: Option<u64>) {
        Line::advance(self, bytes_done, bytes_total);
    }
}

/// Brings a system in.
pub fn run(session: &Session, args: Import) -> Result<u8> {
    let request = Request {
        target: args.target,
        source: Source::from_operand(&args.source)?,
        boot: args.boot,
        base: args.base,
        driver: match args.kernel_driver {
            true => Driver::Kernel,
            false => Driver::Own,
        },
        description: args.said.description,
    };
    let mut line = Line::new(session.screen.draws_progress());
    let outcome = import::import(&session.pool()?, &request, &mut line, args.changing.into());
    drop(line);
    if let Some(made) = session.done(outcome?)? {
        let kernel = made
            .kernel
            .map_or(String::new(), |k| format!(", kernel {k}"));
        let node = match made.new_node {
            Some(NewNode::Template) => " as a template",
            Some(NewNode::Booted) => " as a new node",
            None => "",
        };
        session
            .screen
            .sentence(&format!("Imported {}{node}{kernel}.", made.name))?;
        session.screen.notes(&made.notes);
        session.screen.warnings(&made.warnings);
    }
    Ok(0)
}
