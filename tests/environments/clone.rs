//! `clone`. Refusals that it shares with `create`: `create`; identity: `identity`; data: `data/carried`.

use crate::support::Pool;

#[test]
fn clone_takes_the_first_as_the_second() {
    let pool = Pool::with_node();
    pool.netbe().ok("create ordo/x");
    assert_eq!(
        pool.netbe().ok("clone nog ordo/y"),
        "Created ordo/y from nog/a.\n"
    );
    assert_eq!(pool.active("ordo"), "x");
    assert_eq!(
        pool.netbe().ok("clone nog/a nog/b -a"),
        "Created nog/b from nog/a, active.\n"
    );
    assert_eq!(pool.active("nog"), "b");
    pool.assert_sound();
}
