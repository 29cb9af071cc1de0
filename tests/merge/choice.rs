//! The choice of paths and of a side, for texts and accounts as for files.

use crate::support::Pool;
use crate::{read, write};

const FSTAB: &str = "etc/fstab";
const PASSWD: &str = "etc/passwd";
const ANN: &str = "ann:x:1002:1002::/home/ann:/bin/sh\n";

fn add(pool: &Pool, env: &str, path: &str, line: &str) {
    let text = read(pool, env, path);
    write(pool, env, path, &format!("{text}{line}"));
}

#[test]
fn texts_and_accounts_outside_of_the_named_paths_stay() {
    let pool = Pool::with_node();
    write(&pool, "nog/a", PASSWD, "root:x:0:0::/root:/bin/sh\n");
    pool.netbe().ok("create nog/b");
    add(&pool, "nog/a", PASSWD, ANN);
    add(&pool, "nog/a", FSTAB, "server:/music /music nfs ro 0 0\n");
    write(&pool, "nog/a", "srv/x", "x");
    pool.netbe().ok("merge nog/a nog/b /srv --name m");
    assert_eq!(read(&pool, "nog/m", "srv/x"), "x");
    assert!(!read(&pool, "nog/m", PASSWD).contains("ann"));
    assert!(!read(&pool, "nog/m", FSTAB).contains("/music"));
    pool.netbe().ok("merge nog/a nog/b /etc --name n");
    assert!(read(&pool, "nog/n", PASSWD).contains(ANN));
    assert!(read(&pool, "nog/n", FSTAB).contains("/music"));
}

#[test]
fn theirs_and_ours_decide_texts_and_files_against_directories() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    add(&pool, "nog/a", FSTAB, "server:/theirs /x nfs ro 0 0\n");
    add(&pool, "nog/b", FSTAB, "server:/ours /x nfs ro 0 0\n");
    write(&pool, "nog/a", "srv/both/file", "of a");
    write(&pool, "nog/b", "srv/both", "of b");
    pool.netbe().run("merge nog/a nog/b --theirs --name theirs");
    let fstab = read(&pool, "nog/theirs", FSTAB);
    assert!(
        fstab.contains("/theirs") && !fstab.contains("/ours"),
        "{fstab}"
    );
    pool.netbe().ok("merge nog/a nog/b --ours --name ours");
    assert!(!read(&pool, "nog/ours", FSTAB).contains("/theirs"));
    assert_eq!(read(&pool, "nog/ours", "srv/both"), "of b");
    let beside = pool.half("nog/ours", "root").join("srv/both.netbe-a");
    assert!(!beside.exists());
}

#[test]
fn a_system_of_another_node_is_refused_with_a_hint() {
    let pool = Pool::with_node();
    pool.netbe().ok("create ordo/x --from nog/a");
    pool.refuses(
        3,
        "merge nog/a ordo/x",
        &["are of two nodes", "netbe clone ordo/x nog/x"],
    );
}
