//! The names of nodes and environments, and `NODE/ENV` as on the command line.
//!
//! A value of these types is safe without quotes on a kernel command line, in an exports line and in a path. Names are
//! checked only here.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// A node's name: one host name label of RFC 1123, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeName(String);

/// An environment's name: `[A-Za-z0-9][A-Za-z0-9._+-]{0,63}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnvName(String);

/// `NODE/ENV`, or `NODE` alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operand {
    /// The node.
    pub node: NodeName,
    /// The environment, if it is named.
    pub env: Option<EnvName>,
}

/// Why a name is not accepted, as a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAName(pub(super) String);

/// Has serde take a type for the text that it prints and parses.
macro_rules! as_text {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = <Self as std::str::FromStr>::Err;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    };
}
pub(super) use as_text;

/// What both kinds of names have.
macro_rules! name {
    ($name:ident) => {
        as_text!($name);

        impl $name {
            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(NodeName);
name!(EnvName);

impl EnvName {
    /// Returns the default name of an environment: the time in UTC, `20261120T101500Z`, with `-2`, `-3`, … appended
    /// while it is `taken`.
    pub fn made_at(now: Timestamp, taken: impl Fn(&EnvName) -> bool) -> Self {
        let stem = now
            .to_zoned(TimeZone::UTC)
            .strftime("%Y%m%dT%H%M%SZ")
            .to_string();
        let numbered = (2_u64..).map(|number| format!("{stem}-{number}"));
        let names = std::iter::once(stem.clone()).chain(numbered).map(Self);
        let mut free = names.filter(|name| !taken(name));
        free.next().expect("there is no end of numbers")
    }
}

impl FromStr for NodeName {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        let ends = text.bytes().next().is_some_and(inner) && text.bytes().last().is_some_and(inner);
        if ends && text.len() <= 63 && text.bytes().all(|c| inner(c) || c == b'-') {
            return Ok(Self(text.to_string()));
        }
        Err(NotAName(format!(
            "{text:?} is not a node name: 1 to 63 of a-z, 0-9 and -, not beginning or ending with -"
        )))
    }
}

impl FromStr for EnvName {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let first = text
            .bytes()
            .next()
            .is_some_and(|c| c.is_ascii_alphanumeric());
        let all = text
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || b"._+-".contains(&c));
        if first && all && text.len() <= 64 {
            return Ok(Self(text.to_string()));
        }
        Err(NotAName(format!(
            "{text:?} is not an environment name: 1 to 64 of A-Z, a-z, 0-9 and ._+-, beginning with a letter or digit"
        )))
    }
}

impl FromStr for Operand {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        Ok(match text.split_once('/') {
            Some((node, env)) => Self {
                node: node.parse()?,
                env: Some(env.parse()?),
            },
            None => Self {
                node: text.parse()?,
                env: None,
            },
        })
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.env {
            Some(env) => write!(f, "{}/{env}", self.node),
            None => write!(f, "{}", self.node),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invariant_12_names_are_safe_node() {
        for good in ["nog", "n", "1234", "a-b", "x9", &"a".repeat(63)] {
            assert!(good.parse::<NodeName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "-nog",
            "nog-",
            "Nog",
            "n.og",
            "n_og",
            "nög",
            "n og",
            "n/og",
            "..",
            ".",
            "nog\n",
            "n:og",
            "n,og",
            ".staged-x",
            &"a".repeat(64),
        ] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn invariant_12_names_are_safe_environment() {
        for good in [
            "a",
            "A.b_c+d-e",
            "1234",
            "20261120T101500Z-2",
            &"x".repeat(64),
        ] {
            assert!(good.parse::<EnvName>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            ".a",
            "_a",
            "+a",
            "a b",
            "a:b",
            "a,b",
            "a/b",
            "..",
            "a\n",
            "a\0",
            "é",
            "a\u{202e}b",
            "a@b",
            "a%b",
            "a*",
            &"x".repeat(65),
            &"x".repeat(300),
        ] {
            assert!(bad.parse::<EnvName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn operands() {
        let both: Operand = "nog/first".parse().unwrap();
        assert_eq!(both.to_string(), "nog/first");
        assert_eq!("nog".parse::<Operand>().unwrap().env, None);
        for bad in ["nog/", "/first", "nog/a/b", "nog/../x", "/", ""] {
            assert!(bad.parse::<Operand>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn made_names_are_distinct_within_a_second() {
        let now: Timestamp = "2026-11-20T10:15:00Z".parse().unwrap();
        let mut taken: Vec<EnvName> = Vec::new();
        for _ in 0..3 {
            let name = EnvName::made_at(now, |n| taken.contains(n));
            assert!(name.as_str().parse::<EnvName>().is_ok());
            taken.push(name);
        }
        let names: Vec<_> = taken.iter().map(EnvName::as_str).collect();
        assert_eq!(
            names,
            [
                "20261120T101500Z",
                "20261120T101500Z-2",
                "20261120T101500Z-3"
            ]
        );
    }
}
