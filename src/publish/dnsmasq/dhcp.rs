//! The DHCP mode of dnsmasq, and the HTTP port that firmware gets.

use super::{Publishing, inclusion};
use crate::pool::properties::{self, Dhcp, Http};
use crate::pool::record::{self, PoolRecord};
use crate::pool::{Pool, layout};

/// Returns the DHCP mode that is effective for a pool: that of the first pool.
pub(super) fn dhcp(pool: &Pool) -> Dhcp {
    let first = first_record(pool);
    properties::effective("dhcp", None, first.as_ref().unwrap_or(pool.record()))
        .and_then(|v| v.value.parse().ok())
        .unwrap_or(Dhcp::Proxy)
}

/// Returns the HTTP port that is effective for a pool: that of the first pool.
pub(super) fn http(pool: &Pool) -> Option<u16> {
    let first = first_record(pool);
    http_of(first.as_ref().unwrap_or(pool.record()))
}

/// Returns the HTTP port as it is on disk now, whatever it was when the pool was opened.
pub fn http_port(pool: &Pool) -> Option<u16> {
    let this_pool = || {
        let text = record::read(&pool.state().join(layout::POOL_RECORD)).ok()??;
        PoolRecord::parse(&text).ok()
    };
    http_of(&first_record(pool).or_else(this_pool)?)
}

fn http_of(record: &PoolRecord) -> Option<u16> {
    let set = properties::effective("http", None, record)?;
    match set.value.parse() {
        Ok(Http::Port(port)) => Some(port),
        _ => None,
    }
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

/// Warns if a pool that is not the first sets what only the first one decides.
pub(super) fn warn_of_ignored_settings(run: &mut Publishing<'_>) {
    let pool = run.pool;
    let property = |name| properties::effective(name, None, pool.record());
    let holds = dhcp(pool);
    if let Some(property) = property("dhcp").and_then(|v| v.value.parse::<Dhcp>().ok())
        && property != holds
    {
        run.warn(format!(
            "dhcp={property} of this pool has no effect: the one dnsmasq of this server uses dhcp={holds} of the \
             first pool"
        ));
    }
    let holds = http(pool).map_or(Http::Off, Http::Port);
    if let Some(property) = property("http").and_then(|v| v.value.parse::<Http>().ok())
        && property != holds
    {
        run.warn(format!(
            "http={property} of this pool has no effect: this server uses http={holds} of the first pool"
        ));
    }
}
