//! `check`: limits of the server that more machines than it was set up for run into.

use std::fs;
use std::process::Command;

use super::remedies::paste;
use crate::support::{Pool, install, run, wait_until};
use crate::tftp_of_dnsmasq::{TftpOfDnsmasq, leave_the_network};

/// Makes a pool with two machines that boot from it.
fn with_two_machines() -> Pool {
    let pool = Pool::with_served_node();
    pool.netbe()
        .ok("create ordo --from base --mac 02:00:00:00:77:01");
    pool
}

fn finding(pool: &Pool, about: &str) -> Option<(String, String)> {
    let found = pool.findings().into_iter();
    let mut about_it = found.filter(|(line, _)| line.starts_with(&format!("{about}: ")));
    about_it.next()
}

#[test]
fn more_machines_than_the_neighbour_table_holds_are_reported() {
    let pool = with_two_machines();
    let limit = pool.beside().join("gc_thresh3");
    fs::write(&limit, "1\n").unwrap();
    run(Command::new("mount")
        .arg("--bind")
        .arg(&limit)
        .arg("/proc/sys/net/ipv4/neigh/default/gc_thresh3"));
    let (problem, remedy) = finding(&pool, "network").unwrap();
    assert!(
        problem.contains("1 neighbours") && problem.contains("2 machines"),
        "{problem}"
    );
    let raised =
        "net.ipv4.neigh.default.gc_thresh3=4 >/etc/sysctl.d/60-netbe.conf; sysctl -p /etc/";
    assert!(remedy.contains(raised), "{remedy}");
    run(Command::new("mount").args(["-t", "tmpfs", "none", "/etc/sysctl.d"]));
    paste(&pool, &remedy);
    assert_eq!(fs::read_to_string(&limit).unwrap(), "4\n");
    assert_eq!(finding(&pool, "network"), None);
    fs::write(&limit, "2\n").unwrap();
    assert_eq!(finding(&pool, "network"), None);
}

#[test]
fn more_machines_than_tftp_max_are_reported_for_dnsmasq_only() {
    let pool = with_two_machines();
    leave_the_network();
    let settings = "/etc/dnsmasq.d/mine.conf";
    fs::write(settings, "tftp-max=1\n").unwrap();
    // Nobody serves.
    assert_eq!(finding(&pool, "dnsmasq"), None);
    let served = TftpOfDnsmasq::start();
    let mut found = None;
    wait_until("check finds dnsmasq", || {
        found = finding(&pool, "dnsmasq");
        found.is_some()
    });
    // What restarts dnsmasq where systemd runs.
    let bin = pool.beside().join("bin");
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("true"), "#!/bin/sh\n").unwrap();
    install(&bin.join("true"), &bin.join("systemctl"));
    paste(&pool, &found.as_ref().unwrap().1);
    let raised = fs::read_to_string(settings).unwrap();
    let mended = finding(&pool, "dnsmasq");
    fs::write(settings, "tftp-max=2\n").unwrap();
    let enough = finding(&pool, "dnsmasq");
    fs::remove_file(settings).unwrap();
    let default = finding(&pool, "dnsmasq");
    drop(served);
    let (problem, remedy) = found.unwrap();
    assert!(
        problem.contains("1 transfers") && problem.contains("2 machines"),
        "{problem}"
    );
    assert!(
        remedy.contains("tftp-max=4/' /etc/dnsmasq.d/mine.conf; systemctl restart dnsmasq"),
        "{remedy}"
    );
    assert_eq!(raised, "tftp-max=4\n");
    assert_eq!((mended, enough, default), (None, None, None));
}
