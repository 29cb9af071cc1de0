//! How a pool comes to be damaged that `check` looks at.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{Pool, System, run};

/// A Raspberry Pi's node with `nog/a` active and `nog/b` beside it.
pub(super) fn pool() -> Pool {
    let pool = Pool::with_template_of(&System::raspberry_pi());
    pool.netbe().ok("create nog/a --serial 9ffefdef");
    pool.netbe().ok("create nog/b");
    pool.assert_sound();
    pool
}

fn remove(path: &Path) {
    fs::remove_dir_all(path).unwrap();
}

pub(super) fn without_modules(pool: &Pool, env: &str) {
    remove(&pool.half(env, "root").join("usr/lib/modules"));
}

pub(super) fn delete(pool: &Pool, env: &str) {
    for half in ["root", "boot"] {
        run(Command::new("btrfs")
            .args(["-q", "subvolume", "delete"])
            .arg(pool.half(env, half)));
    }
    remove(&pool.half(env, ""));
}

pub(super) fn without_boot(pool: &Pool, env: &str) {
    run(Command::new("btrfs")
        .args(["-q", "subvolume", "delete"])
        .arg(pool.half(env, "boot")));
}

pub(super) fn without_data(pool: &Pool, paths: &str, lost: &str) {
    for env in ["nog/a", "nog/b"] {
        fs::write(pool.half(env, "root").join("usr/sbin/mount.nfs"), "\x7fELF").unwrap();
    }
    pool.netbe().ok(&format!("set data={paths} nog"));
    run(Command::new("btrfs")
        .args(["-q", "subvolume", "delete"])
        .arg(pool.at("nodes/nog/data").join(lost)));
}
