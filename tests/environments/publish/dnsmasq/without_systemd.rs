//! `init --services` on a machine that systemd does not run.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::network::Network;
use crate::serve::Serve;
use crate::support::{Pool, run};

const LINE: &str = "/etc/dnsmasq.d/netbe.conf";
const TIMER: &str = "/etc/systemd/system/netbe-reconcile.timer";

#[test]
fn without_systemd_init_names_the_commands_and_check_finds_missing_services() {
    let pool = Pool::with_served_node();
    let _network = Network::new(&pool);
    let output = pool.netbe().run("init --services");
    assert_eq!(output.status, 0, "{output:#?}");
    assert!(
        output.stderr.contains("systemd does not run here: "),
        "{output:#?}"
    );
    let silent = pool.netbe().run("check");
    assert!(
        silent.stdout.contains("no TFTP server listens"),
        "{silent:#?}"
    );
    let _serve = Serve::start(&pool);
    pool.assert_sound();
    fs::remove_file(TIMER).unwrap();
    fs::write(pool.at("publish/dnsmasq.conf"), "").unwrap();
    let output = pool.netbe().run("check");
    assert_eq!(output.status, 1);
    for words in [
        "netbe-reconcile.timer is missing",
        "--services",
        "dnsmasq.conf",
    ] {
        assert!(output.stdout.contains(words), "{words}: {output:#?}");
    }
    pool.netbe().run("check --repair");
    pool.netbe().ok("init --services");
    pool.assert_sound();
}

#[test]
fn where_no_systemd_is_installed_it_writes_no_units() {
    let pool = Pool::with_served_node();
    let _network = Network::new(&pool);
    run(Command::new("mount").args(["-t", "tmpfs", "none", "/usr/lib/systemd"]));
    let planned = pool.plans("init --services");
    assert!(!planned.contains("/systemd/"), "{planned}");
    let output = pool.netbe().run("init --services");
    assert_eq!(output.status, 0, "{output:#?}");
    let units: Vec<_> = fs::read_dir("/etc/systemd/system").unwrap().collect();
    assert!(units.is_empty(), "{units:?}");
    assert!(Path::new(LINE).exists());
    // What cron runs it by.
    let netbe = pool.netbe().plain();
    let program = netbe.get_program().display();
    let line = format!(
        "* * * * * {program} reconcile --all-pools; sleep 30; {program} reconcile --all-pools\n"
    );
    assert!(output.stderr.contains(&line), "{output:#?}");
    let silent = pool.netbe().run("check").stdout;
    assert!(silent.contains("no TFTP server listens"), "{silent}");
    assert!(!silent.contains(".timer"), "{silent}");
    let _serve = Serve::start(&pool);
    pool.assert_sound();
}
