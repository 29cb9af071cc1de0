//! The paths in a pool and in its state directory. Nothing here reads or writes, except for listing names.

use std::path::{Path, PathBuf};

use super::name::{EnvName, NodeName};

/// The link to a node's active environment.
pub const ACTIVE: &str = "active";
/// The directory of nodes, in the pool.
pub const NODES: &str = "nodes";
/// The directory of environments, in a node.
pub const ENVS: &str = "envs";
/// The root half of an environment, a subvolume.
pub const ROOT: &str = "root";
/// The boot half of an environment, a subvolume.
pub const BOOT: &str = "boot";
/// The base of an environment, a directory.
pub const BASE: &str = ".base";
/// The directory of a node's data, in a node: a subvolume for each path.
pub const DATA: &str = "data";
/// The subvolume of a node for the reports of machines with a read-only root.
pub const REPORTS: &str = "reports";
/// The directory of roots that were sent to a node's own disk, in a node: a subvolume for each environment.
pub const DEPLOYED: &str = "deployed";
/// The snapshots of a node's data as of when it last left an environment, a directory of the environment.
pub const KEPT_DATA: &str = ".data";
/// The log of the upgrade that made an environment, a file of the environment.
pub const UPGRADE_LOG: &str = "upgrade.log";
/// The origin's texts that are merged by content, a file of the environment.
pub const ORIGIN_TEXTS: &str = "origin-texts.json";
/// The log of the last failed upgrade, a file of the node.
pub const FAILED_UPGRADE_LOG: &str = "failed-upgrade.log";
/// The prefix of the names of directories that are being made.
pub const STAGED: &str = ".staged-";
/// The prefix of the names of directories that are being deleted.
pub const TRASH: &str = ".trash-";

/// The pool's record: in the state directory, and in the pool, where it marks the directory as one.
pub const POOL_RECORD: &str = "pool.json";
/// A node's record: in the state directory, and a copy in the node's directory of the pool.
pub const NODE_RECORD: &str = "node.json";
/// An environment's record.
pub const ENV_RECORD: &str = "env.json";

/// Returns the file that marks a directory as a pool. Only its UUID is used.
pub fn pool_record(pool: &Path) -> PathBuf {
    pool.join(POOL_RECORD)
}

/// Returns the state directory of the pool of that UUID.
pub fn state(states: &Path, uuid: &str) -> PathBuf {
    states.join(uuid)
}

/// Returns a node's directory in a state directory.
pub fn node_state(state: &Path, node: &NodeName) -> PathBuf {
    node_states(state).join(node.as_str())
}

/// Returns the directory of nodes in a state directory.
pub fn node_states(state: &Path) -> PathBuf {
    state.join(NODES)
}

/// Returns the directory of all nodes.
pub fn nodes(pool: &Path) -> PathBuf {
    pool.join(NODES)
}

/// Returns a node's directory.
pub fn node(pool: &Path, node: &NodeName) -> PathBuf {
    nodes(pool).join(node.as_str())
}

/// Returns an environment's directory.
pub fn env(pool: &Path, node_name: &NodeName, env: &EnvName) -> PathBuf {
    node(pool, node_name).join(ENVS).join(env.as_str())
}

/// Returns the subvolume in which a node's machines report.
pub fn reports(pool: &Path, node_name: &NodeName) -> PathBuf {
    node(pool, node_name).join(REPORTS)
}

/// Returns the text of a node's `active` link for an environment.
pub fn active_target(env: &EnvName) -> PathBuf {
    Path::new(ENVS).join(env.as_str())
}

/// Returns the directory the TFTP server serves.
pub fn tftp(pool: &Path) -> PathBuf {
    pool.join("tftp")
}

/// Returns the directory of generated files, in a state directory.
pub fn publish(state: &Path) -> PathBuf {
    state.join("publish")
}

/// Returns the directory of lock files, in a state directory.
pub fn locks(state: &Path) -> PathBuf {
    state.join("locks")
}

/// Returns the directory of the package cache.
pub fn packages(pool: &Path) -> PathBuf {
    pool.join(".packages")
}

/// Returns the directory of destroyed environments that merges need.
pub fn kept_bases(pool: &Path) -> PathBuf {
    pool.join(".kept")
}

/// Returns whether a path can be written without quotes on a kernel command line, in an fstab and in an exports file.
pub fn is_plain(path: &Path) -> bool {
    let plain = |c: &u8| c.is_ascii_alphanumeric() || b"/._+-".contains(c);
    path.as_os_str().as_encoded_bytes().iter().all(plain)
}

/// Returns the name of the node or environment in the hidden name of a stage or of trash: [`STAGED`] or [`TRASH`], that name,
/// and a number.
///
/// A directory that a user has hidden by the same word, with a date, is none of these.
pub fn hidden_work(name: &str) -> Option<&str> {
    // The number has the microseconds since 1970, in hexadecimal.
    const DIGITS: usize = 9;
    const MORE_THAN_A_DATE: usize = 15;
    let rest = name
        .strip_prefix(STAGED)
        .or_else(|| name.strip_prefix(TRASH))?;
    let (name, number) = rest.rsplit_once('-')?;
    let is_date = number.len() < MORE_THAN_A_DATE && number.bytes().all(|c| c.is_ascii_digit());
    let is_number =
        number.len() >= DIGITS && !is_date && number.bytes().all(|c| c.is_ascii_hexdigit());
    (is_number && !name.is_empty()).then_some(name)
}

/// Returns the file, beside a directory, that holds the filesystem of a pool there.
pub fn image(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_os_string();
    name.push(".btrfs");
    dir.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_directories_of_users_are_not_stages() {
        for (name, made_for) in [
            (".staged-nog-66154cbdd0f3c63be0", Some("nog")),
            (".trash-rack-1-661546648371152320", Some("rack-1")),
            (".staged-k-64c0ffee1", Some("k")),
            (".trash-mine", None),
            (".staged-mine", None),
            (".trash-old-2026", None),
            (".trash-old-20261128", None),
            (".trash-old-202611281200", None),
            (".staged-64c0ffee1", None),
            ("trash-k-64c0ffee1", None),
        ] {
            assert_eq!(hidden_work(name), made_for, "{name}");
        }
    }
}
