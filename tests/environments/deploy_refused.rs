//! What refuses `deploy` before anything on the disk is changed, by the same rule in a dry run.

use std::io::Write;
use std::process::Stdio;

use crate::deploy::with_nog;
use crate::support::{self, Disk, Outcome, Pool};

/// Runs a deploy to a disk that it would format, and its dry run: both are refused in the same words, and the disk stays
/// empty. Returns the words.
fn refuses_unformatted(pool: &Pool, disk: &Disk, line: &str, status: i32) -> String {
    let line = format!("{line} {}", disk.show());
    let planned: Outcome = pool.netbe().run(&format!("{line} -n"));
    let done = pool.netbe().run(&line);
    assert_eq!((planned.status, done.status), (status, status), "{done:#?}");
    assert_eq!(planned.stderr, done.stderr);
    disk.assert_empty();
    done.stderr
}

#[test]
fn a_disk_is_not_formatted_for_a_pool_that_is_read_only() {
    let pool = with_nog();
    let disk = Disk::new(pool.beside());
    pool.remount(true);
    let said = refuses_unformatted(&pool, &disk, "deploy nog", 1);
    assert!(said.contains("ead-only"), "{said}");
    pool.remount(false);
}

#[test]
fn a_disk_is_not_formatted_for_an_environment_in_which_a_program_runs() {
    let pool = with_nog();
    pool.netbe().ok("create nog/b");
    let disk = Disk::new(pool.beside());
    let mut running = pool.netbe().spawn("run nog/b -- cat", Stdio::piped());
    support::wait_until("the program runs", || {
        pool.at("locks/nog,b").metadata().is_ok_and(|m| m.len() > 0)
    });
    let said = refuses_unformatted(&pool, &disk, "deploy nog/b --wait 0", 5);
    assert!(
        said.contains("nog/b is being changed by another netbe"),
        "{said}"
    );
    // It ends where its input does.
    running.stdin.take().unwrap().flush().unwrap();
    assert!(running.wait().unwrap().success());
    pool.netbe().ok(&format!("deploy nog/b {}", disk.show()));
    pool.assert_sound();
}

#[test]
fn a_disk_is_not_formatted_while_the_node_is_being_changed() {
    let pool = with_nog();
    let disk = Disk::new(pool.beside());
    let lock = std::fs::File::open(pool.at("locks/nog")).unwrap();
    lock.lock().unwrap();
    let said = pool
        .netbe()
        .run(&format!("deploy nog --wait 0 {}", disk.show()));
    assert_eq!(said.status, 5, "{said:#?}");
    disk.assert_empty();
}
