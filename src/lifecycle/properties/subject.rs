//! The node whose properties contradict each other, as a refusal names it; and the command that changes one of them.

use std::fmt;

use crate::pool::{NodeName, properties};

/// The owner of the properties.
#[derive(Debug, Clone, Copy)]
pub(super) enum Subject<'a> {
    /// A node.
    Node(&'a NodeName),
    /// A node that is being created: properties that are not given come from the pool.
    New,
}

impl Subject<'_> {
    /// Returns the command that sets these values (`data=none`); the first one decides whether they can be set on the pool.
    pub(super) fn setting(self, values: &str) -> String {
        let name = values.split('=').next().unwrap_or_default();
        let pool_wide = properties::find(name).is_ok_and(|property| property.pool_wide);
        match self {
            Self::Node(name) => format!("netbe set {values} {name}"),
            Self::New if pool_wide => format!("netbe set {values}"),
            Self::New => "netbe create --help".to_string(),
        }
    }
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(name) => name.fmt(f),
            Self::New => f.write_str("the new node"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_not_there_yet_is_not_named_in_a_command() {
        let nog: NodeName = "nog".parse().unwrap();
        for (subject, values, command) in [
            (Subject::Node(&nog), "data=none", "netbe set data=none nog"),
            (
                Subject::New,
                "root=nfs access=ro",
                "netbe set root=nfs access=ro",
            ),
            (Subject::New, "ip=dhcp", "netbe create --help"),
        ] {
            assert_eq!(subject.setting(values), command);
        }
    }
}
