//! Which of the two environments that an interrupted rename left is valid.

use super::Environment;

/// The parts of an environment that decide which one it replaces.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// Its node.
    pub node: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its identity.
    pub uuid: Option<&'a str>,
    /// The environment of the same node that it was renamed from.
    pub replaces: Option<&'a str>,
    /// Whether it is active.
    pub active: bool,
}

impl Environment {
    fn claim(&self) -> Claim<'_> {
        Claim {
            node: self.node.as_str(),
            name: self.name.as_str(),
            uuid: self.uuid(),
            replaces: self.record.as_ref().and_then(|r| r.replaces.as_deref()),
            active: self.active,
        }
    }

    /// Omits the leftovers of an interrupted rename.
    pub fn without_replaced(found: Vec<Self>) -> Vec<Self> {
        without_replaced(found, Self::claim)
    }
}

/// Omits the leftovers of an interrupted rename: of old and new environment, the one that is not active, or the old one
/// if neither is.
///
/// The new one is published complete, by one rename, and its record names the old one; the active link is changed after
/// that.
pub fn without_replaced<T>(
    mut found: Vec<T>,
    claim: impl for<'a> Fn(&'a T) -> Claim<'a>,
) -> Vec<T> {
    let mut hidden: Vec<(String, String)> = Vec::new();
    for new in found.iter().map(&claim) {
        let Some(old) = new.replaces else {
            continue;
        };
        if let Some(old) = found
            .iter()
            .map(&claim)
            .find(|e| (e.node, e.name) == (new.node, old) && e.uuid == new.uuid)
        {
            let loser = if old.active { new } else { old };
            hidden.push((loser.node.to_string(), loser.name.to_string()));
        }
    }
    found.retain(|e| {
        let e = claim(e);
        !hidden
            .iter()
            .any(|(node, name)| (node.as_str(), name.as_str()) == (e.node, e.name))
    });
    found
}
