//! The identifier of an environment: `NODE/ENV`.
//!
//! Not for the command line, where `/ENV` can be omitted: that is [`Operand`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::name::{EnvName, NodeName, NotAName, Operand, as_text};

/// The names of an environment and its node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EnvId {
    /// The node.
    pub node: NodeName,
    /// The environment.
    pub env: EnvName,
}

impl EnvId {
    /// Returns the identifier of a node's environment.
    pub fn new(node: &NodeName, env: &EnvName) -> Self {
        Self {
            node: node.clone(),
            env: env.clone(),
        }
    }
}

impl fmt::Display for EnvId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.node, self.env)
    }
}

impl FromStr for EnvId {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let operand: Operand = text.parse()?;
        match operand.env {
            Some(env) => Ok(Self {
                node: operand.node,
                env,
            }),
            None => Err(NotAName(format!(
                "{text:?} names a node; expected NODE/ENV"
            ))),
        }
    }
}

as_text!(EnvId);

impl From<EnvId> for Operand {
    fn from(id: EnvId) -> Self {
        Self {
            node: id.node,
            env: Some(id.env),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_alone_is_no_environment() {
        let id: EnvId = "nog/first".parse().unwrap();
        assert_eq!(id.to_string(), "nog/first");
        for bad in ["nog", "nog/", "/first", "nog/a/b", ""] {
            assert!(bad.parse::<EnvId>().is_err(), "{bad:?}");
        }
        let why = "nog".parse::<EnvId>().unwrap_err().to_string();
        assert_eq!(why, "\"nog\" names a node; expected NODE/ENV");
    }
}
