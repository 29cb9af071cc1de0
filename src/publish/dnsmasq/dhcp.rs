//! The DHCP mode of dnsmasq.

use super::inclusion;
use crate::pool::properties::{self, Dhcp};
use crate::pool::record::{self, PoolRecord};
use crate::pool::{Pool, layout};

/// Returns the DHCP mode that is effective for a pool: that of the first pool.
pub(super) fn dhcp(pool: &Pool) -> Dhcp {
    let first = first_record(pool);
    properties::effective("dhcp", None, first.as_ref().unwrap_or(pool.record()))
        .and_then(|v| v.value.parse().ok())
        .unwrap_or(Dhcp::Proxy)
}

/// Returns the record of the first pool, if that is another one and can be read.
pub(super) fn first_record(pool: &Pool) -> Option<PoolRecord> {
    let first = inclusion::find(pool.state()).first?;
    let text = record::read(&first.join(layout::POOL_RECORD)).ok()??;
    PoolRecord::parse(&text).ok()
}

/// Returns whether dnsmasq assigns the addresses: then firmware has the node's address too.
pub fn hands_out(pool: &Pool) -> bool {
    matches!(dhcp(pool), Dhcp::Range(..))
}
