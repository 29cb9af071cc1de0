//! Whether this server learns of what a node fetches, by which a pending boot ends.
//!
//! Reads only.

use super::How;
use super::judgement::ONCE_UNTOLD;
use crate::evidence::{boots, transfers_told};
use crate::pool::Node;
use crate::publish::tftp_port::{self, Holder};
use crate::serve;

/// Returns whether netbe serves a node's files, or somebody told of the last boot that it reported.
pub(in crate::lifecycle) fn transfers_are_told(node: &Node) -> bool {
    let own = Holder::Program("netbe".to_string());
    transfers_told(&boots::read(&node.state)) || tftp_port::holder(serve::PORT) == own
}

/// Returns the warning that a boot ends by its time.
pub(super) fn warning(node: &Node, how: How) -> Option<String> {
    let limit = match how {
        How::Once => ONCE_UNTOLD,
        How::Try(within) => within,
    };
    (!transfers_are_told(node)).then(|| {
        format!(
            "no TFTP server tells netbe what {} fetches: unless it reports, this ends {limit:#} from now, whether it was \
             booted or not",
            node.name
        )
    })
}
