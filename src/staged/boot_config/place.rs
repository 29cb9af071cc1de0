//! The place of an environment's root: on this server, on the node's own disk, or on the disk of this machine.

use std::net::Ipv4Addr;

use crate::boot::iscsi_root::IscsiRoot;
use crate::boot::{NfsVersion, RootPlace};
use crate::pool::record::{EnvRecord, NodeRecord};
use crate::pool::{EnvName, NodeName, Pool, layout, properties};
use crate::publish::iscsi_names;

/// Returns the place; the last arguments are the server's address, the NFS version, and whether the root is read-only.
pub(super) fn of(
    pool: &Pool,
    node: &NodeName,
    record: &NodeRecord,
    env: &EnvName,
    before: &EnvRecord,
    (server, version, is_read_only): (Ipv4Addr, Option<NfsVersion>, bool),
) -> RootPlace {
    if let Some(own) = pool.own_root(node, env) {
        return RootPlace::Own(own);
    }
    let property = |key| properties::effective(key, Some(record), pool.record()).map(|v| v.value);
    let root = layout::env(pool.root(), node, env).join(layout::ROOT);
    match (&before.disk, &before.image, property("root")) {
        (Some(disk), ..) => RootPlace::Disk(disk.clone()),
        (None, Some(uuid), _) => RootPlace::Iscsi(IscsiRoot {
            server,
            target: iscsi_names::target(&pool.record().uuid, node, env),
            initiator: iscsi_names::initiator(&pool.record().uuid, node),
            user: iscsi_names::user(&pool.record().uuid, node),
            secret: iscsi_names::secret(pool.key(), node),
            uuid: uuid.clone(),
        }),
        (None, None, Some(local)) if local != "nfs" && local != "iscsi" => RootPlace::Local(local),
        _ => RootPlace::Nfs {
            server,
            path: root.to_string_lossy().into_owned(),
            // An overlay in memory does not work over version 4.
            version: version.or(is_read_only.then_some(NfsVersion::V3)),
            options: property("nfs.options"),
        },
    }
}
