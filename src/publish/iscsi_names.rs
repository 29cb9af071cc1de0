//! The names of disks that are offered by iSCSI, and of the machines that ask for them: RFC 3720, section 3.2.6.3.
//!
//! Pure. A disk is named by pool, node and environment, so that boot files of each environment name its own disk.

use crate::pool::code::Key;
use crate::pool::{EnvName, NodeName};

/// The start of all names: rtslib requires a reversed domain name as authority; this one cannot be registered.
const AUTHORITY: &str = "iqn.2026-11.internal.netbe";
/// How many characters of the pool's UUID are in a name.
const POOL: usize = 8;

/// Returns the start of the names of a pool's targets.
pub fn of_pool(pool_uuid: &str) -> String {
    let pool: String = pool_uuid.chars().take(POOL).collect();
    format!("{AUTHORITY}:{pool}:")
}

/// Returns the name by which the machine of a node asks for its disk.
pub fn initiator(pool_uuid: &str, node: &NodeName) -> String {
    of_pool(pool_uuid) + node.as_str()
}

/// Returns the name by which a machine asks for a target.
pub fn initiator_of(target: &str) -> &str {
    // The authority, the pool and the node contain no colon.
    let end = target.match_indices(':').nth(2).map(|(at, _)| at);
    &target[..end.unwrap_or(target.len())]
}

/// Returns the user name that belongs to a node's secret: tgt has one list of users for all its targets, of all pools.
pub fn user(pool_uuid: &str, node: &NodeName) -> String {
    let pool: String = pool_uuid.chars().take(POOL).collect();
    format!("{pool}-{node}")
}

/// Returns the secret by which the machine of a node proves its name: 16 characters, as RFC 7143 (9.2.1) has twelve at least.
///
/// It is in the node's boot files, which every machine on its network can fetch.
pub fn secret(key: &Key, node: &NodeName) -> String {
    key.secret("iscsi", node.as_str(), 16)
}

/// Returns the name of the target that has the disk of an environment.
pub fn target(pool_uuid: &str, node: &NodeName, env: &EnvName) -> String {
    let mut name = initiator(pool_uuid, node) + ":";
    for byte in env.as_str().bytes() {
        // All characters that a target's name may have; a colon is in no environment's name.
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' => name.push(char::from(byte)),
            _ => name.push_str(&format!(":{byte:02x}")),
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_and_each_environments_own() {
        let name = |env: &str| {
            let (node, env) = ("nog".parse().unwrap(), env.parse().unwrap());
            target("1a2b3c4d-0000-0000-0000-000000000000", &node, &env)
        };
        assert_eq!(
            name("first"),
            "iqn.2026-11.internal.netbe:1a2b3c4d:nog:first"
        );
        assert_eq!(
            name("A_b"),
            "iqn.2026-11.internal.netbe:1a2b3c4d:nog::41:5fb"
        );
        let initiator = initiator("1a2b3c4d-0000", &"nog".parse().unwrap());
        assert_eq!(initiator_of(&name("A_b")), initiator);
        assert_eq!(
            name("2026-11-29"),
            "iqn.2026-11.internal.netbe:1a2b3c4d:nog:2026-11-29"
        );
    }

    #[test]
    fn each_node_has_a_secret_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let key = Key::make(&dir.path().join("key")).unwrap();
        let of = |node: &str| secret(&key, &node.parse().unwrap());
        assert_eq!(of("nog").len(), 16);
        assert_ne!(of("nog"), of("ordo"));
    }
}
