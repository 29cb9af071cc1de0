//! The values of the property `keep`.

use std::fmt;
use std::str::FromStr;

use crate::pool::{Node, Pool};

/// How many environments of a node `prune` keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// This many.
    Newest(usize),
    /// All of them.
    All,
}

/// The default.
const DEFAULT: Keep = Keep::Newest(5);

/// Returns how many environments of a node `prune` keeps.
///
/// A malformed value, written into a record by hand, keeps all.
pub fn keep(node: &Node, pool: &Pool) -> Keep {
    match node.property(pool, "keep") {
        Some(value) => value.parse().unwrap_or(Keep::All),
        None => DEFAULT,
    }
}

impl FromStr for Keep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self::All);
        }
        let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse().ok().filter(|_| is_number);
        number
            .map(Self::Newest)
            .ok_or_else(|| "neither a number nor all".to_string())
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest(number) => write!(f, "{number}"),
            Self::All => f.write_str("all"),
        }
    }
}
