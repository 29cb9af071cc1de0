//! `netbe diff`

use anyhow::Result;
use serde_json::json;

use super::Session;
use crate::cli::Diff;
use crate::lifecycle::difference::{self, Difference, KnownBy};
use crate::output::{changes, json};
use crate::pool::Origin;

/// Shows how an environment differs from another.
///
/// Without a choice, in everything that is compared; that is packages only, so far.
pub fn run(session: &Session, args: &Diff) -> Result<u8> {
    let pool = session.pool()?;
    let difference = difference::between(&pool, &args.first, args.second.as_ref())?;
    if args.json {
        session.screen.answer(&document(&difference)?)?;
        return Ok(0);
    }
    let (from, to) = (name(&difference.from), name(&difference.to));
    if difference.known_by == KnownBy::Report {
        session.screen.notes(&[format!(
            "{from} is gone; this is what the upgrade that made {to} of it changed"
        )]);
    }
    if difference.packages.is_empty() {
        session
            .screen
            .sentence(&format!("No package differs from {from} to {to}."))?;
    } else {
        session
            .screen
            .answer(&changes::draw(&difference.packages, session.screen.colour))?;
    }
    Ok(0)
}

fn name(one: &Origin) -> String {
    format!("{}/{}", one.node, one.name)
}

fn document(difference: &Difference) -> Result<String> {
    json::object(json!({
        "from": difference.from,
        "to": difference.to,
        "known_by": difference.known_by,
        "packages": changes::Named::of(&difference.packages),
    }))
}
