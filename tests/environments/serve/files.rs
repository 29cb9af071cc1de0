//! Machines get their own files, of what they boot now, over any wire; and what they got is noted.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use super::client::{Got, Wish};
use super::{mac_name, scene};
use crate::machine::{Machine, PC};
use crate::support::{PATIENCE, SERVER, run, wait_until};

const MENU: &str = "pxelinux.cfg/default";

/// Returns bytes that are nowhere the same.
fn content(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn a_machine_gets_its_own_files_by_any_of_its_names() {
    let scene = scene();
    let pool = &scene.pool;
    pool.netbe().ok("set serial=9ffefdef nog");
    pool.netbe().ok("create ordo/x --mac 02:00:00:00:00:01");
    let text = pool.boot_text("nog/a");
    let mac = mac_name();
    for name in [
        format!("{mac}/{MENU}"),
        format!("/{mac}//./{MENU}"),
        format!("{}/{MENU}", mac.to_uppercase()),
        "9ffefdef\\pxelinux.cfg\\default".to_string(),
        // By the address it comes from.
        MENU.to_string(),
        format!("/{MENU}"),
    ] {
        assert_eq!(scene.get(&name).text(), text, "{name}");
    }
    let other = scene.get(&format!("02-00-00-00-00-01/{MENU}")).text();
    assert!(other.contains("/ordo/envs/x/root"), "{other}");
    for name in [
        "",
        "/",
        &mac,
        &format!("{mac}/"),
        "nonsense",
        "02-00-00-00-00-02/pxelinux.0",
    ] {
        assert!(matches!(scene.get(name), Got::Error(1 | 2)), "{name}");
    }
    pool.netbe().ok("set mac= nog");
    assert_eq!(scene.get(MENU), Got::Error(1));
    assert_eq!(scene.get(&format!("9ffefdef/{MENU}")).text(), text);
    assert!(
        scene
            .serve
            .log_text()
            .contains("nog/a pxelinux.cfg/default"),
        "{}",
        scene.serve.log_text()
    );
}

/// As GRUB's, which looks at a kernel for longer than the server's system remembers it.
#[test]
fn a_machine_without_an_arp_entry_gets_its_files() {
    let scene = scene();
    let text = scene.pool.boot_text("nog/a");
    assert_eq!(scene.get(MENU).text(), text);
    run(Command::new("ip").args(["neigh", "flush", "dev", "lan0"]));
    let table = fs::read_to_string("/proc/thread-self/net/arp").unwrap();
    assert_eq!(table.lines().count(), 1, "{table}");
    assert_eq!(scene.get(MENU).text(), text);
}

#[test]
fn uefi_programs_get_netbes_configuration() {
    let scene = scene();
    let boot = scene.pool.half("nog/a", "boot");
    for file in [
        "shimx64.efi",
        "snponly.efi",
        "grub/netbe.cfg",
        "grub/grub.cfg",
    ] {
        let _ = fs::remove_file(boot.join(file));
    }
    fs::create_dir_all(boot.join("grub")).unwrap();
    assert_eq!(scene.get("grub/grub.cfg"), Got::Error(1));
    assert_eq!(scene.get("shimx64.efi"), Got::Error(1));
    // The system's own, as long as netbe has none.
    fs::write(boot.join("grub/grub.cfg"), "by update-grub").unwrap();
    assert_eq!(scene.get("/grub/grub.cfg").text(), "by update-grub");
    fs::write(boot.join("grub/netbe.cfg"), "by netbe").unwrap();
    assert_eq!(scene.get("/grub/grub.cfg").text(), "by netbe");
    // Firmware that is told to start shim starts what is there.
    fs::write(boot.join("snponly.efi"), "iPXE").unwrap();
    assert_eq!(scene.get("shimx64.efi").text(), "iPXE");
    fs::write(boot.join("shimx64.efi"), "shim").unwrap();
    assert_eq!(scene.get("shimx64.efi").text(), "shim");
}

#[test]
fn a_request_gets_and_records_the_active_environment() {
    let scene = scene();
    let pool = &scene.pool;
    pool.netbe().ok("create nog/b");
    let large = content(200_000);
    for env in ["nog/a", "nog/b"] {
        fs::write(pool.half(env, "boot").join("large"), &large).unwrap();
    }
    assert_eq!(scene.get("large").file(), large);
    assert_eq!(scene.noted_of("large"), "a");
    // One that goes on over the switch stays what it was, and is noted as that.
    let slow = scene.network.on_client(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
            .send_to(&Wish::new("pxelinux.0").request(), (SERVER, 69))
            .unwrap();
        let mut block = [0; 600];
        let (length, server) = socket.recv_from(&mut block).unwrap();
        (socket, server, length)
    });
    let (socket, server, mut length) = slow.join().unwrap();
    pool.netbe().ok("activate nog/b");
    let mut number = 1_u16;
    loop {
        let [high, low] = number.to_be_bytes();
        socket.send_to(&[0, 4, high, low], server).unwrap();
        if length < 516 {
            break;
        }
        number += 1;
        length = socket.recv(&mut [0; 600]).unwrap();
    }
    assert_eq!(scene.noted_of("pxelinux.0"), "a");
    let line = scene.noted().pop().unwrap();
    assert_eq!(line["client"], "192.0.2.77");
    assert!(line["uuid"].is_string(), "{line}");
    assert!(scene.get(MENU).text().contains("/nog/envs/b/root"));
    assert_eq!(scene.noted_of(MENU), "b");
    // Before any command: what the node has just put there itself.
    fs::write(pool.half("nog/b", "boot").join("new"), "kernel").unwrap();
    fs::rename(
        pool.half("nog/b", "boot").join("new"),
        pool.half("nog/b", "boot").join("large"),
    )
    .unwrap();
    assert_eq!(scene.get("large").text(), "kernel");
}

#[test]
fn invariant_3_no_request_meets_a_switch_half_done() {
    let scene = scene();
    let pool = &scene.pool;
    pool.netbe().ok("create nog/b");
    let link = pool.at("nodes/nog/active");
    let switcher = std::thread::spawn(move || {
        for round in 0..3000 {
            let env = ["envs/a", "envs/b"][round % 2];
            let new = link.with_file_name(".new");
            symlink(env, &new).unwrap();
            fs::rename(&new, &link).unwrap();
        }
    });
    let (mut a, mut b) = (0, 0);
    while !switcher.is_finished() || a + b < 100 {
        let text = scene.get(MENU).text();
        assert!(text.contains("KERNEL"), "{text}");
        match text.contains("/nog/envs/a/root") {
            true => a += 1,
            false => b += 1,
        }
    }
    switcher.join().unwrap();
}

#[test]
fn a_boot_for_once_is_served_until_it_was_fetched() {
    let scene = scene();
    scene.pool.netbe().ok("create nog/b");
    scene.pool.netbe().ok("activate --once nog/b");
    for file in PC {
        let got = scene.get(file);
        assert!(
            matches!(got, Got::File(_)),
            "{file}: {got:?}\n{}",
            scene.serve.log_text()
        );
        assert_eq!(scene.noted_of(file), "b", "{file}");
    }
    // It is quiet from here on. The last of them has netbe look at the node, some seconds later.
    wait_until("it is led back", || scene.pool.led_to() == "a");
}

#[test]
fn any_options_over_any_wire_bring_the_same_bytes() {
    let scene = scene();
    let bytes = content(70_001);
    fs::write(scene.boot("f"), &bytes).unwrap();
    fs::write(scene.boot("even"), &bytes[..4 * 512]).unwrap();
    fs::write(scene.boot("empty"), "").unwrap();
    assert_eq!(scene.get("even").file(), &bytes[..4 * 512]);
    assert_eq!(scene.get("empty").file(), b"");
    for (block, window) in [
        (512, 1),
        (1468, 1),
        (1024, 4),
        (1400, 16),
        (8192, 7),
        (65464, 65535),
    ] {
        for lose in [0, 11] {
            let mut wish = Wish::new("f")
                .with("blksize", block)
                .with("tsize", 0)
                // It is not granted: five seconds for each would be minutes.
                .with("timeout", 5);
            if window > 1 {
                wish = wish.with("windowsize", window);
            }
            wish.lose = lose;
            assert!(
                scene.get_as(wish).file() == bytes,
                "{block} {window} {lose}"
            );
        }
    }
    let mut deaf = Wish::new("f");
    deaf.ends = false;
    assert!(scene.get_as(deaf).file() == bytes);
}

#[test]
fn block_numbers_go_on_after_65535() {
    let scene = scene();
    let bytes = content(8 * 70_000 + 3);
    fs::write(scene.boot("initrd"), &bytes).unwrap();
    let wish = Wish::new("initrd")
        .with("blksize", 8)
        .with("windowsize", 32);
    assert!(scene.get_as(wish).file() == bytes);
    assert_eq!(scene.noted_of("initrd"), "a");
}

#[test]
fn private_files_are_served_only_if_boot_files_name_them() {
    let scene = scene();
    let secret = |name: &str| {
        fs::set_permissions(scene.boot(name), fs::Permissions::from_mode(0o600)).unwrap();
    };
    fs::write(scene.boot("secret"), "x").unwrap();
    fs::create_dir(scene.boot("closed")).unwrap();
    fs::write(scene.boot("closed/file"), "x").unwrap();
    fs::set_permissions(scene.boot("closed"), fs::Permissions::from_mode(0o700)).unwrap();
    secret("secret");
    for kernel in &PC[3..] {
        secret(kernel);
        let got = scene.get(kernel);
        assert!(
            matches!(got, Got::File(_)),
            "{kernel}: {got:?}\n{}",
            scene.serve.log_text()
        );
    }
    assert_eq!(scene.get("secret"), Got::Error(2));
    assert_eq!(scene.get("closed/file"), Got::Error(2));
}

#[test]
fn invariant_6_a_node_with_an_unreadable_record_is_served() {
    let scene = scene();
    scene.pool.write("nodes/nog/node.json", "garbage");
    let name = format!("{}/{MENU}", mac_name());
    assert!(
        matches!(scene.get(&name), Got::File(_)),
        "{}",
        scene.serve.log_text()
    );
    wait_until("something is noted", || !scene.noted().is_empty());
}
