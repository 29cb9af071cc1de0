//! Properties: their names, their values, and which value is effective.
//!
//! A node's value overrides the pool's, and that overrides the default. Values are checked and normalised when they are
//! set. Pure: not for storing them, nor for what a change requires.

mod all;
mod dhcp;
mod http;
mod keep;
mod machines;
mod value;

pub use all::ALL;
pub use dhcp::Dhcp;
pub use http::Http;
pub use keep::{Keep, keep};
pub use machines::{addresses, has_several_machines, is_by_serial_alone, is_for_any, is_read_only};

use super::record::{NodeRecord, PoolRecord};
use super::similar::did_you_mean;
use crate::failure::Failure;

/// One property.
#[derive(Debug, Clone, Copy)]
pub struct Property {
    /// Its name.
    pub name: &'static str,
    /// What it sets, one line.
    pub help: &'static str,
    /// The format of its values.
    pub value: &'static str,
    /// Values that are words, and beginnings of values: for completion.
    pub choices: &'static [&'static str],
    /// The default, in words; `-` for none.
    pub default: &'static str,
    /// Whether it can be set on the pool, for every node.
    pub pool_wide: bool,
    normalise: fn(&str) -> Result<String, String>,
}

/// The value in `mac` that stands for every machine that no other node names.
pub const ANY: &str = "any";

/// Where a property's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Set on the node.
    Local,
    /// Set on the pool, for every node.
    Pool,
    /// Not set.
    Default,
}

impl Source {
    /// Returns the word `get` prints.
    pub fn word(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Pool => "pool",
            Self::Default => "default",
        }
    }
}

/// A value that was set, with its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// The value, normalised.
    pub value: String,
    /// Where it is set.
    pub source: Source,
}

/// Returns the property of that name.
///
/// # Errors
/// A usage failure that lists all properties.
pub fn find(name: &str) -> Result<&'static Property, Failure> {
    ALL.iter().find(|p| p.name == name).ok_or_else(|| {
        let names: Vec<&str> = ALL.iter().map(|p| p.name).collect();
        let suggestion = match did_you_mean(name, &names) {
            none if none.is_empty() => format!("; there are {}", names.join(", ")),
            meant => meant,
        };
        Failure::usage(format!("there is no property {name:?}{suggestion}"))
            .hint("netbe set --help")
    })
}

impl Property {
    /// Returns whether it can be set on a node; else only on the pool.
    pub fn is_of_nodes(&self) -> bool {
        // One dnsmasq serves all nodes, and one netbe serve.
        !["dhcp", "http"].contains(&self.name)
    }

    /// Returns the value normalised; an empty one removes the setting.
    ///
    /// # Errors
    /// A usage failure with the format of the values.
    pub fn normalise(&self, value: &str) -> Result<String, Failure> {
        if value.is_empty() {
            return Ok(String::new());
        }
        (self.normalise)(value).map_err(|why| {
            Failure::usage(format!(
                "{0}={value}: {why}; {0} is {1}: {2}",
                self.name, self.help, self.value
            ))
        })
    }
}

/// Returns the value that was set; `None` if the default is effective.
pub fn effective(name: &str, node: Option<&NodeRecord>, pool: &PoolRecord) -> Option<Value> {
    let local = node
        .and_then(|n| n.properties.get(name))
        .map(|v| (v, Source::Local));
    let (value, source) = local.or_else(|| pool.properties.get(name).map(|v| (v, Source::Pool)))?;
    Some(Value {
        value: value.clone(),
        source,
    })
}

#[cfg(test)]
mod tests;
