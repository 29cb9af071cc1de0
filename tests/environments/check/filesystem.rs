//! Problems of the pool's filesystem are reported.

use crate::support::Pool;

#[test]
fn a_filesystem_that_cannot_be_written_is_no_sound_one() {
    let pool = Pool::with_node();
    pool.assert_sound();
    pool.remount(true);
    let check = pool.netbe().run("check");
    let status = pool.netbe().run("status");
    let activate = pool.netbe().run("activate nog/a");
    pool.remount(false);
    assert_eq!(check.status, 1, "{check:#?}");
    assert!(
        check.stdout.contains("mounted read-only") && check.stdout.contains("remedy: "),
        "{check:#?}"
    );
    assert!(status.stderr.contains("mounted read-only"), "{status:#?}");
    assert_ne!(activate.status, 0, "{activate:#?}");
    pool.assert_sound();
}
