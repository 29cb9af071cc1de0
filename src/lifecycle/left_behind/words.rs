//! The files left behind, as a sentence.

use super::{LeftBehind, Since};
use crate::terminal::{bytes, line};

/// The maximum number of places that are named.
const NAMED: usize = 4;

impl LeftBehind {
    /// Returns the sentence about it.
    pub fn sentence(&self) -> String {
        let (wrote_in, missing_in) = (&self.wrote_in, &self.missing_in);
        format!(
            "{} wrote {} in {wrote_in} {}, and {missing_in} does not have them: {}; \
             to have them, too: netbe merge {wrote_in} {missing_in}",
            wrote_in.node,
            self.amount(),
            self.since_when(),
            self.named()
        )
    }

    pub(super) fn since_when(&self) -> String {
        match self.since {
            Since::OtherMade => format!("after {} was made", self.missing_in),
            Since::FirstLed => "since it was first activated".to_string(),
            Since::Made => "since it was made".to_string(),
            Since::Merged => "since it was merged".to_string(),
        }
    }

    /// Returns the number and size in words.
    pub fn amount(&self) -> String {
        let files = match self.files {
            1 => "1 file".to_string(),
            more => format!("{more} files"),
        };
        let least = if self.more { "at least " } else { "" };
        format!("{least}{files} ({})", bytes(self.bytes))
    }

    /// Names the largest places.
    pub fn named(&self) -> String {
        let first = self.places.iter().take(NAMED);
        let mut named: Vec<String> = first
            .map(|place| {
                let path = line(&place.path);
                match (place.files, place.bytes) {
                    (1, size) => format!("{path} {}", bytes(size)),
                    (files, size) => format!("{path} {files} files {}", bytes(size)),
                }
            })
            .collect();
        let more = self.places.len().saturating_sub(NAMED);
        if more > 0 {
            named.push(format!("{more} more places"));
        }
        named.join(", ")
    }
}
