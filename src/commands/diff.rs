//! `netbe diff`

use anyhow::Result;
use serde_json::json;

use super::Session;
use crate::cli::Diff;
use crate::lifecycle::difference::files::{Changed, Files};
use crate::lifecycle::difference::{self, Difference, KnownBy, Wanted, boot};
use crate::output::screen::Talk;
use crate::output::{changes, files, json, unified};
use crate::pool::Origin;

/// How many lines of files are shown where not only they were asked for.
const FEW: usize = 40;

/// Shows how an environment differs from another; without a choice in everything that is compared.
pub fn run(session: &Session, args: &Diff) -> Result<u8> {
    let pool = session.pool()?;
    let all = !(args.packages || args.files || args.boot);
    let wanted = Wanted {
        packages: args.packages || all,
        files: args.files || all,
        boot: args.boot || all,
    };
    let difference = difference::between(&pool, &args.first, args.second.as_ref(), wanted)?;
    let answer = match args.json {
        true => document(&difference)?,
        false => Shown::new(session, &difference, all).text(),
    };
    if difference.known_by == KnownBy::Report {
        session.screen.notes(&[format!(
            "{} is gone; this is what the upgrade that made {} of it changed",
            name(&difference.from),
            name(&difference.to)
        )]);
    }
    session.screen.answer(&answer)?;
    session.screen.warnings(&unread(&difference));
    // What could be told was told; the status says that it is not all.
    match difference.failures.into_iter().next() {
        Some(failure) => Err(failure),
        None => Ok(0),
    }
}

fn name(one: &Origin) -> String {
    format!("{}/{}", one.node, one.name)
}

fn unread(difference: &Difference) -> Vec<String> {
    let unread = difference.files.as_ref().map_or(0, |f| f.unread.len());
    match unread {
        0 => Vec::new(),
        n => vec![format!(
            "not being root, netbe could not read {n} files and directories, and takes them for the same"
        )],
    }
}

/// An answer for people in the making.
struct Shown<'a> {
    session: &'a Session,
    difference: &'a Difference,
    names: [String; 2],
    /// Whether everything was asked for: then each part has a head, and files are summed up where there are many.
    all: bool,
}

impl<'a> Shown<'a> {
    fn new(session: &'a Session, difference: &'a Difference, all: bool) -> Self {
        Self {
            session,
            difference,
            names: [name(&difference.from), name(&difference.to)],
            all,
        }
    }

    fn text(&self) -> String {
        let difference = self.difference;
        let mut parts = Vec::new();
        if let Some(packages) = &difference.packages {
            let text = changes::draw(packages, self.session.screen.colour);
            parts.push(self.part("package", "Packages", text));
        }
        if let Some(texts) = &difference.boot {
            parts.push(self.boot(texts));
        }
        if let Some(found) = &difference.files {
            parts.push(self.files(found));
        }
        parts.retain(|part| !part.is_empty());
        parts.join(if self.all { "\n" } else { "" })
    }

    /// Returns a part with its head, or the sentence that nothing differs.
    fn part(&self, what: &str, head: &str, text: String) -> String {
        let [from, to] = &self.names;
        let is_quiet = self.session.screen.talks() == Talk::Quiet;
        match (text.is_empty(), self.all) {
            (true, _) if is_quiet => String::new(),
            (true, _) => format!("No {what} differs from {from} to {to}.\n"),
            (false, true) => format!("{}\n{text}", self.head(head)),
            (false, false) => text,
        }
    }

    fn head(&self, head: &str) -> String {
        match self.session.screen.colour {
            true => format!("\x1b[1m{head}:\x1b[0m"),
            false => format!("{head}:"),
        }
    }

    fn boot(&self, texts: &[boot::Text]) -> String {
        let [from, to] = &self.names;
        let text = unified::draw(texts, [from, to], self.session.screen.colour);
        let mut part = self.part("boot setting", "Boot", text);
        let own = unified::draw_identity(texts);
        if !own.is_empty() {
            part.push_str(&format!("Their own by nature:\n{own}"));
        }
        part
    }

    fn files(&self, found: &Files) -> String {
        let colour = self.session.screen.colour;
        let each = self.session.screen.talks() == Talk::Verbose;
        let (own, other): (Vec<&Changed>, Vec<&Changed>) =
            found.changes.iter().partition(|c| c.identity);
        let mut text = files::draw(other.iter().copied(), each, colour);
        if self.all && !each && text.lines().count() > FEW {
            text = files::summary(other.iter().copied(), colour);
        }
        if !other.is_empty() {
            text.push_str(&format!("{}.", files::totals(other.iter().copied())));
            let [from, to] = &self.names;
            text.push_str(&match self.all {
                true => format!(" Each: netbe diff --files {from} {to}\n"),
                false => "\n".to_string(),
            });
        }
        let mut part = self.part("file", "Files", text);
        let own = files::draw(own, each, colour);
        if !own.is_empty() {
            part.push_str("Their own by nature:\n");
            part.extend(own.lines().map(|line| format!("  {line}\n")));
        }
        part
    }
}

fn document(difference: &Difference) -> Result<String> {
    let names = [name(&difference.from), name(&difference.to)];
    let mut fields = json!({
        "from": difference.from,
        "to": difference.to,
        "known_by": difference.known_by,
    });
    if let Some(packages) = &difference.packages {
        fields["packages"] = json!(changes::Named::of(packages));
    }
    if let Some(found) = &difference.files {
        fields["files"] = files::document(&found.changes);
    }
    if let Some(texts) = &difference.boot {
        fields["boot"] = unified::document(texts, [&names[0], &names[1]]);
    }
    json::object(fields)
}
