//! A PC whose kernel comes over the network, and whose root is a disk that the server offers by iSCSI.

use std::process::Command;

use crate::machine::Running;
use crate::scene::{self, Scene};
use crate::server::{POOL, Server};
use crate::support::run;
use crate::systems;

const MAC: &str = "52:54:00:69:73:63";

/// Looks where its root is, and that what an environment has to be there is.
fn is_by_iscsi(machine: &mut Running, environment: &str) {
    assert_eq!(machine.ok("findmnt -n -o FSTYPE /"), "ext4\n");
    let line = machine.ok("cat /proc/cmdline");
    let name = format!(":nog:{environment} ");
    assert!(line.contains(&name) && !line.contains("nfsroot"), "{line}");
    // Its kernel's own upgrades reach the server.
    assert_eq!(machine.ok("findmnt -n -o FSTYPE /boot"), "nfs4\n");
}

/// Has the kernel's own target take the place of tgt, and looks that it lets in who has the secret alone.
fn go_on_with_lio(server: &Server) {
    server.ok("pkill -KILL tgtd; mv /usr/sbin/tgt-admin /root/");
    server.ok("netbe publish && netbe check");
    let line = server.ok("cat /srv/netbe/nodes/nog/active/boot/pxelinux.cfg/default");
    let value = |key: &str| {
        let mut words = line.split_whitespace();
        let value = words.find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
        value.unwrap_or_else(|| panic!("{line}")).to_string()
    };
    let (initiator, target) = (value("iscsi_initiator"), value("iscsi_target_name"));
    let (user, secret) = (value("iscsi_username"), value("iscsi_password"));
    let ask = |name: &str, account: &str| {
        let asked = format!("iscsi-inq -i {name} iscsi://{account}127.0.0.1/{target}/1");
        server.run(&asked).status
    };
    assert_eq!(ask(&initiator, &format!("{user}%{secret}@")), 0);
    assert_ne!(ask(&initiator, &format!("{user}%{secret}0@")), 0);
    assert_ne!(ask(&initiator, ""), 0);
    assert_ne!(
        ask(&format!("{initiator}0"), &format!("{user}%{secret}@")),
        0
    );
    // Saved for its next start; and what is destroyed is withdrawn, while the other goes on being offered.
    let saved = "/etc/rtslib-fb-target/saveconfig.json";
    server.ok(&format!(
        "test $(stat -c %a {saved}) = 600 && grep -q {target} {saved}"
    ));
    server.ok("netbe create ordo/spare --from nog --mac 52:54:00:69:73:64");
    let offered = "ls /sys/kernel/config/target/iscsi";
    assert!(server.ok(offered).contains(":ordo:spare"));
    server.ok("netbe set --force mac= ordo && netbe destroy -y -r ordo");
    server.restart_dnsmasq();
    let left = server.ok(offered);
    assert!(
        left.contains(&target) && !left.contains(":ordo:spare"),
        "{left}"
    );
    server.ok(&format!("! grep -q :ordo:spare {saved}"));
    assert_eq!(ask(&initiator, &format!("{user}%{secret}@")), 0);
}

#[test]
fn a_pc_with_its_root_by_iscsi_is_upgraded_and_goes_back() {
    // While the machine's own network is within reach.
    let packages = systems::open_iscsi();
    let scene = Scene::with_more("iscsi", |netbe| {
        let packages = packages.display();
        let root = format!("{POOL}/nodes/debian/active/root/root");
        run(Command::new("sh").args(["-ec", &format!("cp {packages}/*.deb {root}")]));
        let install = "dpkg -i /root/*.deb && rm /root/*.deb";
        let output = netbe.run_with(&["run", "debian", "--", "sh", "-ec", install]);
        assert_eq!(output.status, 0, "{output:#?}");
    });
    let server = &scene.server;
    server.ok("netbe set root=iscsi");
    server.create(&format!("nog/first --mac {MAC}"));

    let machine = scene.machine("nog", MAC);
    let mut nog = machine.power_on();
    nog.wait_until_up();
    is_by_iscsi(&mut nog, "first");
    nog.is_well();
    let status = server.ok("netbe status nog");
    assert!(
        status.contains("booted   first, since ") && status.contains("report"),
        "{status}"
    );
    // An update of tgt restarts it: the machine logs in again.
    server
        .ok("pkill -KILL -x tgtd; while pgrep -x tgtd; do sleep 0.1; done; tgtd && netbe publish");
    nog.ok("echo mine >/etc/mark && sync");

    server.offer_greeting("2.0");
    // While nog writes to its disk.
    server.ok("netbe upgrade --node nog --name second");
    nog.ok("echo later >/etc/mark && sync");
    server.ok("netbe activate --try nog/second");
    nog.restart();
    let output = nog.wait_until_up();
    assert!(output.contains("greeting 2.0."), "{output}");
    is_by_iscsi(&mut nog, "second");
    assert_eq!(nog.ok("cat /etc/mark"), "mine\n");
    server.wait_until_active("nog", "second");
    server.ok("netbe rollback nog");
    if scene::is_whole() {
        nog.restart();
        nog.wait_until_up();
        is_by_iscsi(&mut nog, "first");
        assert_eq!(nog.ok("cat /etc/mark"), "later\n");
    }
    go_on_with_lio(server);
    if scene::is_whole() {
        // Its disk goes with tgt.
        drop(nog);
        nog = machine.power_on();
        nog.wait_until_up();
        is_by_iscsi(&mut nog, "first");
        assert_eq!(nog.ok("cat /etc/mark"), "later\n");
    }
    server.ok("netbe publish && netbe check");
}
