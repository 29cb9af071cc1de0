//! A machine writes while it is upgraded and until it reboots: nothing of that is lost, and a rollback keeps its data.

use crate::scene::{self, Scene};

const MAC: &str = "52:54:00:6c:65:66";

/// Writes without end, as a service: a number a line, into data and beside it.
const WRITER: &str = "mkdir -p /var/lib/app && systemd-run -q sh -c \
    'i=0; while :; do i=$((i+1)); echo $i >>/home/lines; echo $i >>/var/lib/app/lines; sleep 0.2; done'";

/// Returns the last number in a file of lines.
fn last(text: &str) -> u32 {
    let line = text.lines().last().unwrap_or_default();
    line.trim().parse().unwrap_or_else(|_| panic!("{text}"))
}

#[test]
fn files_written_until_the_reboot_are_merged() {
    let scene = Scene::new("left_behind");
    let server = &scene.server;
    server.create(&format!("nog/first --mac {MAC}"));
    server.ok("netbe set data=/home nog");

    let mut nog = scene.machine("nog", MAC).power_on();
    nog.wait_until_up();
    assert_eq!(nog.ok("findmnt -n -o FSTYPE /home"), "nfs4\n");
    nog.ok(WRITER);
    server.offer_greeting("2.0");
    server.ok("netbe upgrade --node nog --name second");
    nog.ok("echo 10.77.0.9 nas >>/etc/hosts && sync");
    let plan = server.ok("netbe activate -n nog");
    assert!(
        plan.contains("in nog/first that nog wrote there after nog/second was made")
            && plan.contains("/var/lib/app")
            && plan.contains("/etc")
            && !plan.contains("/home"),
        "{plan}"
    );
    let before = last(&nog.ok("sync; tail -n1 /var/lib/app/lines"));
    server.ok("netbe activate --merge nog");
    let merged = server.active("nog");
    assert_ne!(merged, "second");
    nog.ok("echo late >/var/lib/app/late && sync");
    assert_eq!(nog.environment(), "first");

    nog.restart();
    let output = nog.wait_until_up();
    assert!(output.contains("greeting 2.0."), "{output}");
    assert_eq!(nog.environment(), merged);
    assert!(last(&nog.ok("tail -n1 /var/lib/app/lines")) >= before);
    assert!(nog.ok("cat /etc/hosts").contains("10.77.0.9 nas\n"));
    nog.run("test ! -e /var/lib/app/late");
    let data = last(&nog.ok("tail -n1 /home/lines"));
    assert!(data >= before);

    // What was written after the merge is told, and comes by another one.
    server.ok("sync");
    let status = server.ok("netbe status nog");
    assert!(
        status.contains("behind") && status.contains("/var/lib/app"),
        "{status}"
    );
    server.ok(&format!(
        "netbe merge nog/first nog/{merged} --name whole && netbe activate nog/whole"
    ));
    let late = server.ok("cat /srv/netbe/nodes/nog/envs/whole/root/var/lib/app/late");
    assert_eq!(late, "late\n");
    // That what was merged boots has been seen; and a rollback keeps the same data by the same mount.
    if !scene::is_whole() {
        server.ok("netbe activate nog/first && netbe check");
        return;
    }
    nog.restart();
    nog.wait_until_up();
    assert_eq!(nog.environment(), "whole");
    assert_eq!(nog.ok("cat /var/lib/app/late"), "late\n");
    nog.ok("echo newest >/home/newest && sync");

    server.ok("netbe activate nog/first");
    nog.restart();
    nog.wait_until_up();
    assert_eq!(nog.environment(), "first");
    assert_eq!(nog.ok("cat /home/newest"), "newest\n");
    assert!(last(&nog.ok("tail -n1 /home/lines")) >= data);
}
