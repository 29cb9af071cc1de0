//! The differences of two environments, part by part: the text of `diff`, and the JSON.
//!
//! Not for the parts themselves: packages are [`changes`], boot settings [`unified`], files [`files`].

use anyhow::Result;
use serde_json::json;

use super::screen::{Screen, Talk};
use super::{changes, files, json, unified};
use crate::lifecycle::diff::Difference;
use crate::lifecycle::diff::boot::Text;
use crate::lifecycle::diff::files::{Changed, Files};

/// The number of lines of files that are shown without `--files`.
const FEW: usize = 40;

/// Returns the text for this screen; with `all`, each part has a head, and many files are summarised.
pub fn draw(difference: &Difference, all: bool, screen: &Screen) -> String {
    let drawing = Drawing {
        screen,
        names: names(difference),
        all,
    };
    let mut parts = Vec::new();
    if let Some(packages) = &difference.packages {
        let text = changes::draw(packages, screen.look);
        parts.push(drawing.part("package", "Packages", text));
    }
    if let Some(texts) = &difference.boot {
        parts.push(drawing.boot(texts));
    }
    if let Some(found) = &difference.files {
        parts.push(drawing.files(found));
    }
    parts.retain(|part| !part.is_empty());
    parts.join(if all { "\n" } else { "" })
}

fn names(difference: &Difference) -> [String; 2] {
    [difference.from.to_string(), difference.to.to_string()]
}

struct Drawing<'a> {
    screen: &'a Screen,
    names: [String; 2],
    all: bool,
}

impl Drawing<'_> {
    /// Returns a part with its head, or the sentence for no differences.
    fn part(&self, what: &str, head: &str, text: String) -> String {
        let [from, to] = &self.names;
        let is_quiet = self.screen.talks() == Talk::Quiet;
        match (text.is_empty(), self.all) {
            (true, _) if is_quiet => String::new(),
            (true, _) => format!("No {what} differs from {from} to {to}.\n"),
            (false, true) => format!("{}\n{text}", self.head(head)),
            (false, false) => text,
        }
    }

    fn head(&self, head: &str) -> String {
        match self.screen.look.colour {
            true => format!("\x1b[1m{head}:\x1b[0m"),
            false => format!("{head}:"),
        }
    }

    fn boot(&self, texts: &[Text]) -> String {
        let [from, to] = &self.names;
        let text = unified::draw(texts, [from, to], self.screen.look.colour);
        let mut part = self.part("boot setting", "Boot", text);
        let own = unified::draw_identity(texts);
        if !own.is_empty() {
            part.push_str(&format!("Differences of identity:\n{own}"));
        }
        part
    }

    fn files(&self, found: &Files) -> String {
        let colour = self.screen.look.colour;
        let each = self.screen.talks() == Talk::Verbose;
        let (own, other): (Vec<&Changed>, Vec<&Changed>) =
            found.changes.iter().partition(|c| c.identity);
        let mut text = files::draw(other.iter().copied(), each, colour);
        if self.all && !each && text.lines().count() > FEW {
            text = files::summary(other.iter().copied(), self.screen.look);
        }
        if !other.is_empty() {
            text.push_str(&format!("{}.", files::totals(other.iter().copied())));
            let [from, to] = &self.names;
            text.push_str(&match self.all {
                true => format!(" To list them: netbe diff --files {from} {to}\n"),
                false => "\n".to_string(),
            });
        }
        let mut part = self.part("file", "Files", text);
        let own = files::draw(own, each, colour);
        if !own.is_empty() {
            part.push_str("Differences of identity:\n");
            part.extend(own.lines().map(|line| format!("  {line}\n")));
        }
        part
    }
}

/// Returns the document of `diff --json`.
pub fn document(difference: &Difference) -> Result<String> {
    let [from, to] = &names(difference);
    let mut fields = json!({
        "from": difference.from,
        "to": difference.to,
        "known_by": difference.known_by,
    });
    if let Some(packages) = &difference.packages {
        fields["packages"] = changes::named(packages);
    }
    if let Some(found) = &difference.files {
        fields["files"] = files::document(&found.changes);
    }
    if let Some(texts) = &difference.boot {
        fields["boot"] = unified::document(texts, [from, to]);
    }
    json::object(fields)
}
