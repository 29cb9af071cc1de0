//! A node for any machine: what it rules out, and what is kept where a node becomes one.

use crate::access::{OTHER, machine_reports, with_web};
use crate::support::{MAC, wait_until};
use crate::tftp_of_dnsmasq::{TftpOfDnsmasq, leave_the_network};

#[test]
fn properties_that_need_known_machines_are_refused() {
    let pool = with_web();
    let words = [
        "every machine that no other node names boots",
        "would write to one root",
    ];
    pool.refuses(3, "create www --from base --mac any", &words);
    pool.netbe().ok("set mac=any web");
    pool.netbe().ok("create web/b");
    for (line, words) in [
        (
            "set access= web",
            &["every machine", "would write to one root"][..],
        ),
        ("set access=rw web", &["every machine", "access=ro"]),
        (
            "set ip=10.0.0.5/24 web",
            &["several machines boot web", "ip=dhcp web"],
        ),
        (
            "set data=/home web",
            &["one machine writes", "data=none web"],
        ),
        ("activate --once web/b", &["several machines boot web"]),
        ("activate --try web/b", &["several machines boot web"]),
        ("set serial=9ffefdef web", &["by its serial alone"]),
    ] {
        pool.refuses(3, line, words);
    }
    pool.netbe().ok("create www --from base");
    let words = ["web already has mac=any: one node boots every machine"];
    pool.netbe().ok("set access=ro www");
    pool.refuses(3, "set mac=any www", &words);
    let words = [
        "web has mac=any, and would boot a machine",
        "give it its mac too",
    ];
    pool.refuses(3, "set serial=9ffefdef www", &words);
    pool.netbe()
        .ok(&format!("set serial=9ffefdef mac={MAC} www"));
    pool.netbe().ok("set --force mac= web");
    pool.netbe().ok(&format!("set mac={OTHER} web"));
    pool.netbe().ok("set mac= www");
    let words = ["www is known by its serial alone"];
    pool.refuses(3, &format!("set mac={OTHER},any web"), &words);
    pool.netbe().ok("set serial= www");
    // It may have machines with a name of their own, too.
    pool.netbe().ok(&format!("set mac={OTHER},any web"));
    assert_eq!(
        pool.netbe().ok("get -H mac web"),
        format!("web\tmac\t{OTHER},any\tlocal\n")
    );
    pool.assert_sound();
}

#[test]
fn invariant_6_environments_of_formerly_named_machines_are_protected() {
    let pool = with_web();
    pool.netbe().ok(&format!("set --force mac={MAC} web"));
    pool.netbe().ok("set mac=any web");
    pool.netbe().ok("create web/b");
    pool.netbe().ok("activate web/b");
    let words = ["on 1 of its 1 machines (dc-a6-32-01-02-03 may have booted a at "];
    pool.refuses(3, "destroy -y web/a", &words);
    machine_reports(&pool, MAC, "b", "1");
    pool.netbe().ok("destroy -y web/a");

    // Of several, each; one that stays named is asked as before.
    let pool = with_web();
    machine_reports(&pool, MAC, "a", "1");
    pool.netbe().ok(&format!("set mac={MAC},any web"));
    pool.netbe().ok("create web/b -a");
    let words = [
        "web runs web/a, on 2 of its 2 machines",
        "dc-a6-32-01-02-03 reported a at",
        "dc-a6-32-01-02-04 may have booted a",
        "netbe set --force mac=any web",
    ];
    pool.refuses(3, "destroy -y web/a", &words);
    pool.assert_sound();
}

#[test]
fn check_reports_another_tftp_server_with_mac_any() {
    let pool = with_web();
    pool.netbe().ok("set mac=any web");
    leave_the_network();
    let served = TftpOfDnsmasq::start();
    let mut found = None;
    wait_until("check finds dnsmasq", || {
        let mut about = pool.findings().into_iter();
        found = about.find(|(line, _)| line.contains("dnsmasq serves TFTP"));
        found.is_some()
    });
    drop(served);
    let (problem, remedy) = found.unwrap();
    assert!(problem.starts_with("web: it has mac=any"), "{problem}");
    assert!(remedy.ends_with(" --services"), "{remedy}");
}
