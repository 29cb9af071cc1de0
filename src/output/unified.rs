//! Differences of boot settings: a unified diff, and the JSON.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};
use similar::TextDiff;

use super::clean;
use crate::lifecycle::diff::boot::{Part, Text};

/// The time limit for the smallest diff of two texts; after it any diff is used, since texts come from a node and may
/// be long.
const PATIENCE: Duration = Duration::from_millis(500);

/// Returns the unified diff, with the differences of identity below; empty without differences.
pub fn draw(texts: &[Text], names: [&str; 2], colour: bool) -> String {
    let mut all = String::new();
    for text in texts.iter().filter(|t| t.differs()) {
        for line in unified(text, names).lines() {
            let code = match line.as_bytes().first() {
                _ if !colour => None,
                _ if line.starts_with("--- ") || line.starts_with("+++ ") => Some("1"),
                Some(b'+') => Some("32"),
                Some(b'-') => Some("31"),
                Some(b'@') => Some("36"),
                _ => None,
            };
            // A tab separates the fields of an fstab, and is harmless.
            let line = line.split('\t').map(clean).collect::<Vec<_>>().join("\t");
            match code {
                Some(code) => all.push_str(&format!("\x1b[{code}m{line}\x1b[0m\n")),
                None => all.push_str(&format!("{line}\n")),
            }
        }
    }
    all
}

/// Returns the differences of identity in these texts, one line each; empty without differences.
pub fn draw_identity(texts: &[Text]) -> String {
    let mut all = String::new();
    for text in texts {
        let Some((before, after)) = text.identity() else {
            continue;
        };
        for (sign, own, other) in [('-', before, after), ('+', after, before)] {
            let other: HashSet<_> = other.iter().collect();
            for piece in own.iter().filter(|piece| !other.contains(piece)) {
                all.push_str(&format!("  {sign} {}\n", clean(piece)));
            }
        }
    }
    all
}

fn unified(text: &Text, names: [&str; 2]) -> String {
    let path = text.path.display();
    let what = match text.part {
        Part::Cmdline => format!("kernel command line ({path})"),
        Part::File => path.to_string(),
    };
    let side = |side: &Option<_>, name: &str| match side {
        Some(_) => format!("{name} {what}"),
        None => format!("{name} (none)"),
    };
    let rest = |side: &Option<crate::boot::normalize::Separated>| {
        side.as_ref().map_or(String::new(), |p| p.rest.clone())
    };
    let (old, new) = (rest(&text.before), rest(&text.after));
    let heads = (
        clean(&side(&text.before, names[0])),
        clean(&side(&text.after, names[1])),
    );
    let mut unified = TextDiff::configure()
        .timeout(PATIENCE)
        .diff_lines(&old, &new)
        .unified_diff()
        .context_radius(3)
        .header(&heads.0, &heads.1)
        .to_string();
    if unified.is_empty() {
        // A missing file is an empty one.
        unified = format!("--- {}\n+++ {}\n", heads.0, heads.1);
    }
    unified
}

/// Returns the JSON.
pub fn document(texts: &[Text], names: [&str; 2]) -> Value {
    let one = |text: &Text| {
        let (before, after) = text.identity().unwrap_or_default();
        json!({
            "path": text.path.to_string_lossy(),
            "what": match text.part {
                Part::Cmdline => "cmdline",
                Part::File => "file",
            },
            "differs": text.differs(),
            "unified": match text.differs() {
                true => Some(unified(text, names)),
                false => None,
            },
            "identity": {"before": before, "after": after},
        })
    };
    texts.iter().map(one).collect()
}
