//! A PC boots, is upgraded while it runs, boots the new environment, and goes back.

use crate::scene::Scene;
use crate::server::Server;
use crate::systems;

const MAC: &str = "52:54:00:6e:6f:67";

/// Returns a checksum of all files of an environment that its own machine does not write while it runs.
fn checksum(server: &Server, environment: &str) -> String {
    server.ok(&format!(
        "cd /srv/netbe/nodes/nog/envs/{environment} && find root boot -type f \\
             ! -path 'root/var/log/*' ! -path 'root/var/lib/systemd/*' ! -path 'root/root/*' ! -path 'root/var/tmp/*' \\
             -print0 | sort -z | xargs -0 sha256sum | sha256sum"
    ))
}

/// The same of a part of it, as the machine sees it: it has no fast disk, and an emulated processor.
const SEEN_FROM_INSIDE: &str = "echo 3 >/proc/sys/vm/drop_caches; \
    (find /etc /boot /usr/sbin -xdev -printf '%p %i %s %m %T@\\n'; \
     find /etc -type f -exec sha256sum {} +) | sort | sha256sum";

/// What it runs is refused to be destroyed, whatever it boots next.
fn refuses_to_destroy(server: &Server, environment: &str) {
    assert_ne!(server.active("nog"), environment);
    let output = server.fails(3, &format!("netbe destroy -y nog/{environment}"));
    assert!(
        output.contains("may be running") || output.contains("runs"),
        "{output}"
    );
}

/// What `status` says is booted, and how it knows.
fn booted(server: &Server) -> String {
    let status = server.ok("netbe status nog");
    let line = status.lines().find_map(|l| l.trim().strip_prefix("booted"));
    line.unwrap_or_else(|| panic!("{status}"))
        .trim()
        .to_string()
}

#[test]
fn a_pc_boots_is_upgraded_while_it_runs_and_goes_back() {
    let scene = Scene::new("a_pc");
    let server = &scene.server;
    server.create(&format!("nog/first --mac {MAC}"));

    let mut nog = scene.machine("nog", MAC).power_on();
    let output = nog.wait_until_up();
    assert!(output.contains("This is nog, environment first, greeting 1.0."));
    assert_eq!(nog.environment(), "first");
    nog.is_well();

    let known = booted(server);
    assert!(
        known.starts_with("first, since ") && known.contains("report"),
        "{known}"
    );

    // At midnight it would rotate logs and keep a copy of dpkg's database, in what is compared.
    nog.ok("systemctl stop '*.timer'");
    let (outside, inside) = (checksum(server, "first"), nog.ok(SEEN_FROM_INSIDE));
    // With a kernel in it, for which the environment makes its initramfs itself.
    let kernel = nog.ok("uname -r");
    server.offer_greeting_with("2.0", &systems::newest_kernel());
    let table = server.ok("netbe upgrade --node nog --name second");
    let row = |line: &str| {
        line.split_whitespace().collect::<Vec<_>>() == ["netbe-greeting", "1.0", "2.0"]
    };
    assert!(table.lines().any(row), "{table}");
    assert_eq!(checksum(server, "first"), outside);
    assert_eq!(server.active("nog"), "first");

    server.ok("netbe activate nog");
    assert_eq!(
        nog.environment(),
        "first",
        "what it boots next is not what it runs"
    );
    assert_eq!(nog.ok(SEEN_FROM_INSIDE), inside);
    nog.restart();
    let output = nog.wait_until_up();
    assert!(output.contains("This is nog, environment second, greeting 2.0."));
    assert_eq!(nog.environment(), "second");
    assert_ne!(nog.ok("uname -r"), kernel);
    nog.is_well();

    assert!(booted(server).starts_with("second, "));

    server.ok("netbe rollback nog");
    refuses_to_destroy(server, "second");
    nog.restart();
    let output = nog.wait_until_up();
    assert!(output.contains("This is nog, environment first, greeting 1.0."));
    assert_eq!(nog.environment(), "first");
    assert_eq!(nog.ok("uname -r"), kernel);
    nog.is_well();
    assert!(booted(server).starts_with("first, "));

    server.ok("netbe destroy -y nog/second");
    server.ok("netbe publish && netbe check");
}
