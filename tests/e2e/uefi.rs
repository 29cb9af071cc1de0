//! PCs with UEFI firmware: with Secure Boot by shim and GRUB, by iPXE beside somebody else's DHCP server, and by HTTP.

use crate::child::{self, EndedChild};
use crate::machine::Machine;
use crate::scene::{self, Scene};
use crate::server::{DISK_OF_MACHINE, Server};
use crate::systems;

const MAC: &str = "52:54:00:75:65:66";
/// Where the boot server serves by HTTP; its apt repository has port 80.
const HTTP: &str = "http://10.77.0.1:8080";

/// What iPXE says first.
const IPXE: &str = "iPXE initialising devices";

/// Gives the template the signed loaders, as its own packages would.
fn give_loaders(server: &Server) {
    let loaders = systems::signed_loaders("amd64");
    server.ok(&format!(
        "cp -r {}/usr /srv/netbe/nodes/debian/active/root/",
        loaders.display()
    ));
}

#[test]
fn secure_boot_accepts_every_boot_through_upgrade_trial_and_rollback() {
    let loaders = systems::signed_loaders("amd64");
    assert!(loaders.is_dir());
    let scene = Scene::with_disk_of_machine("uefi");
    let server = &scene.server;
    give_loaders(server);
    server.create(&format!("nog/first --mac {MAC}"));
    let machine = scene.machine("nog", MAC);
    let mut nog = machine.power_on_uefi(true);
    nog.wait_until_up();
    assert_eq!(nog.environment(), "first");
    assert!(nog.ok("dmesg").contains("Secure boot enabled"));
    assert!(
        nog.ok("cat /proc/cmdline")
            .contains(&format!("BOOTIF=01-{MAC}"))
    );

    server.offer_greeting("2.0");
    server.ok("netbe upgrade --node nog --name second");
    server.ok("netbe activate --try nog");
    nog.restart();
    let output = nog.wait_until_up();
    assert!(output.contains("This is nog, environment second, greeting 2.0."));
    server.wait_until_active("nog", "second");
    server.ok("netbe rollback nog");
    // A PC with BIOS boots what it was rolled back to, too.
    if scene::is_whole() {
        nog.restart();
        nog.wait_until_up();
        assert_eq!(nog.environment(), "first");
    }
    server.ok("netbe publish && netbe check");
    if scene::is_whole() {
        drop(nog);
        by_a_stick(&scene, machine);
    }
}

/// Tells the same machine's story from a stick, without a network in its boot order: shim and GRUB are on that.
fn by_a_stick(scene: &Scene, machine: Machine) {
    let server = &scene.server;
    let machine = machine.with_disk(&scene.directory().join(DISK_OF_MACHINE));
    for env in ["first", "second"] {
        server.ok(&format!("netbe activate nog/{env}"));
        server.ok("netbe deploy nog --boot /dev/ubdb --yes");
        let mut nog = machine.power_on_uefi_from_disk();
        let output = nog.wait_until_up();
        assert!(!output.contains("PXE"), "{output}");
        assert_eq!(nog.environment(), env);
        assert!(nog.ok("dmesg").contains("Secure boot enabled"));
        let status = server.ok("netbe status nog");
        let card = format!("card     {env}, written ");
        let line = status.lines().find(|line| line.contains(&card));
        assert!(
            line.is_some_and(|line| !line.contains("behind")),
            "{status}"
        );
    }
}

#[test]
fn beside_another_dhcp_server_ipxe_boots_the_active_environment() {
    systems::signed_loaders("amd64");
    let scene = Scene::new("uefi_proxy");
    let server = &scene.server;
    give_loaders(server);
    server.ok("netbe set dhcp=proxy http=8080");
    server.create(&format!("nog/first --mac {MAC}"));
    let mut another = child::command("dnsmasq");
    another.args([
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--port=0",
        "--interface=shared",
        "--bind-interfaces",
        "--dhcp-range=10.77.0.50,10.77.0.60,255.255.255.0",
        "--dhcp-authoritative",
        "--pid-file=",
        "--user=root",
        "--dhcp-leasefile=/dev/null",
    ]);
    let _another = EndedChild::start(&mut another);

    let machine = scene.machine("nog", MAC);
    server.ok("netbe create nog/second");
    if scene::is_whole() {
        let mut nog = machine.power_on_uefi(false);
        nog.wait_until_up();
        assert_eq!(nog.environment(), "first");
    }
    server.ok("netbe activate --once nog/second");
    let mut nog = machine.power_on_uefi(false);
    let output = nog.wait_until_up();
    assert!(
        output.contains(&format!("{HTTP}/netbe.ipxe... ok")),
        "{output}"
    );
    assert_eq!(nog.environment(), "second");
    assert!(nog.ok("cat /proc/cmdline").contains("BOOTIF=01-"));
    // What was fetched by HTTP has ended the boot for once. A machine that starts its kernel can leave the last bytes without an
    // acknowledgement, and the file is not known to have arrived: then the root that it mounts ends it, when the timer looks.
    let ended = "pending  second was fetched; the next boot is the active environment";
    let mut status = server.ok("netbe status nog");
    if !status.contains(ended) {
        server.ok("netbe reconcile");
        status = server.ok("netbe status nog");
    }
    assert!(
        status.contains(ended) && server.active("nog") == "first",
        "{status}"
    );
    if !scene::is_whole() {
        return;
    }
    // And by TFTP it goes as well.
    server.ok("netbe set http=");
    server.restart_dnsmasq();
    nog.restart();
    let output = nog.wait_until_up();
    assert!(output.contains(IPXE) && !output.contains(HTTP), "{output}");
    assert_eq!(nog.environment(), "first");
}

#[test]
fn firmware_that_boots_by_http_fetches_every_file_by_http() {
    let scene = Scene::new("uefi_http");
    let server = &scene.server;
    server.ok("netbe set http=8080");
    server.create(&format!("nog/first --mac {MAC}"));
    server.ok("netbe create nog/second");
    server.ok("netbe activate --try nog/second");
    let mut nog = scene.machine("nog", MAC).power_on_uefi_by_http();
    let output = nog.wait_until_up();
    for file in ["snponly.efi", "netbe.ipxe... ok"] {
        assert!(
            output.contains(&format!("{HTTP}/{file}")),
            "{file}: {output}"
        );
    }
    assert_eq!(nog.environment(), "second");
    server.wait_until_active("nog", "second");
    if scene::is_whole() {
        server.offer_greeting("2.0");
        server.ok("netbe upgrade --node nog --name third -a");
        nog.restart();
        let output = nog.wait_until_up();
        assert!(output.contains("This is nog, environment third, greeting 2.0."));
        server.ok("netbe rollback nog");
        nog.restart();
        nog.wait_until_up();
        assert_eq!(nog.environment(), "second");
    }
    server.ok("netbe publish && netbe check");
}
