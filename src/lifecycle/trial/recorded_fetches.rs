//! Whether this server records a node's fetches, by which a pending boot ends.
//!
//! Reads only.

use super::How;
use super::judgement::ONCE_WITHOUT_FETCH;
use crate::evidence::{boots, transfers_recorded};
use crate::pool::Node;
use crate::publish::port_holder::{self, Holder};
use crate::serve;

/// Returns whether netbe serves a node's files, or transfers were recorded for the last boot that it reported.
pub(in crate::lifecycle) fn fetches_are_recorded(node: &Node) -> bool {
    let netbe = Holder::Program("netbe".to_string());
    transfers_recorded(&boots::read(&node.state)) || port_holder::of_udp(serve::PORT) == netbe
}

/// Returns the warning that a pending boot ends by its time limit.
pub(super) fn warning(node: &Node, how: How) -> Option<String> {
    let limit = match how {
        How::Once => ONCE_WITHOUT_FETCH,
        How::Try(within) => within,
    };
    (!fetches_are_recorded(node)).then(|| {
        format!(
            "no TFTP server tells netbe what {} fetches: unless it reports, this ends {limit:#} from now, whether it was \
             booted or not",
            node.name
        )
    })
}
