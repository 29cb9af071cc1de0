//! Where everything stands: in a pool, and in its state directory on the server's own disk. Paths only: nothing here
//! reads or writes, but for listing names.

use std::path::{Path, PathBuf};

use super::name::{EnvName, NodeName};

/// The name of the link that says what a node boots next.
pub const ACTIVE: &str = "active";
/// The directory of the pool that holds its nodes.
pub const NODES: &str = "nodes";
/// The directory of a node that holds its environments.
pub const ENVS: &str = "envs";
/// The subvolume of an environment that is the node's `/`.
pub const ROOT: &str = "root";
/// The subvolume of an environment that TFTP hands out.
pub const BOOT: &str = "boot";
/// The directory of an environment that holds what was last sent or received of it.
pub const BASE: &str = ".base";
/// The file of an environment with what was said in the upgrade that made it.
pub const UPGRADE_LOG: &str = "upgrade.log";
/// The file of a node with what was said in the last upgrade that failed.
pub const FAILED_UPGRADE_LOG: &str = "failed-upgrade.log";
/// What the name of everything begins with that is being made.
pub const STAGED: &str = ".staged-";
/// What the name of everything begins with that is being deleted.
pub const TRASH: &str = ".trash-";

/// The name of the pool's own record: in the pool, where it makes a directory one, and in its state directory.
pub const POOL_RECORD: &str = "pool.json";
/// The name of a node's record: in its state directory, and as a copy in its directory of the pool.
pub const NODE_RECORD: &str = "node.json";
/// The name of an environment's record.
pub const ENV_RECORD: &str = "env.json";

/// Returns the file that makes a directory a pool. What it says is believed of no more than which pool it is.
pub fn pool_record(pool: &Path) -> PathBuf {
    pool.join(POOL_RECORD)
}

/// Returns the state directory of the pool of that UUID.
pub fn state(states: &Path, uuid: &str) -> PathBuf {
    states.join(uuid)
}

/// Returns what a state directory holds of a node.
pub fn node_state(state: &Path, node: &NodeName) -> PathBuf {
    node_states(state).join(node.as_str())
}

/// Returns the directory of what a state directory holds of nodes.
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

/// Returns the directory of packages that were downloaded once.
pub fn packages(pool: &Path) -> PathBuf {
    pool.join(".packages")
}

/// Returns whether a path can stand unquoted on a kernel command line, in an fstab and in an exports file.
pub fn is_plain(path: &Path) -> bool {
    let plain = |c: &u8| c.is_ascii_alphanumeric() || b"/._+-".contains(c);
    path.as_os_str().as_encoded_bytes().iter().all(plain)
}

/// Returns whether a name is of something being made or being deleted.
pub fn is_hidden_work(name: &str) -> bool {
    name.starts_with(STAGED) || name.starts_with(TRASH)
}
