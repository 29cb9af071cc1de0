//! Which of two names an interrupted rename left is the one that counts.

use super::Environment;

/// What an environment says of whose place it takes.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// Its node.
    pub node: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its identity.
    pub uuid: Option<&'a str>,
    /// The environment of the same node it is the new name of.
    pub replaces: Option<&'a str>,
    /// Whether the node boots it next.
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

    /// Leaves out what an interrupted rename left.
    pub fn without_replaced(found: Vec<Self>) -> Vec<Self> {
        without_replaced(found, Self::claim)
    }
}

/// Leaves out what an interrupted rename left: of the old name and the new, the one that is not active,
/// or the old one where neither is.
///
/// The new one came whole, by one rename, and says in its record whose place it takes; the active link
/// follows after that.
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
