//! What only looks takes no lock, not even for an instant: somebody who does not wait for one would be refused.

use crate::tracer::trace;
use crate::verbs;

#[test]
fn invariant_10_what_only_looks_takes_no_lock() {
    if std::env::var("NETBE_FAULT").is_ok_and(|fault| !fault.starts_with("reading")) {
        return;
    }
    let ground = verbs::ground();
    for line in [
        "list",
        "list --tree nog",
        "list --json",
        "status",
        "get",
        "diff nog/b",
        "check",
        "check nog",
        "publish -n",
        "prune -n --keep 1",
        "destroy -n nog/b",
    ] {
        let mut command = ground.pool().netbe().plain();
        command.args(line.split(' '));
        let traced = trace(&command, None);
        assert_eq!(traced.outcome.status, 0, "{line}: {:#?}", traced.outcome);
        let is_lock = |what: &str| what.starts_with("flock");
        let locks: Vec<_> = traced
            .calls
            .iter()
            .filter(|call| is_lock(&call.what))
            .collect();
        assert!(locks.is_empty(), "{line}: {locks:#?}");
    }
}
