//! Hostile files in a boot half: links, pipes and devices are not followed, waited for or opened.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Command;

use super::client::{Got, Wish};
use super::{Scene, mac_name, scene};
use crate::support::{run, wait_until};

/// Asks, and holds that there is an answer, and others are answered after.
fn refused(scene: &Scene, name: &str) {
    let got = scene.get(name);
    assert!(matches!(got, Got::Error(_)), "{name}: {got:?}");
    let menu = scene.get("pxelinux.cfg/default");
    assert!(matches!(menu, Got::File(_)), "after {name}: {menu:?}");
}

#[test]
fn no_link_leads_out() {
    let scene = scene();
    scene
        .pool
        .netbe()
        .ok("create ordo/x --mac 02:00:00:00:00:01");
    fs::write(scene.pool.beside().join("secret"), "of the server").unwrap();
    let outside = scene.pool.beside().join("secret").display().to_string();
    let pool = scene.pool.path().display().to_string();
    let ordo = format!("{pool}/nodes/ordo/envs/x/boot");
    symlink("/", scene.boot("r")).unwrap();
    symlink("../../../../..", scene.boot("up")).unwrap();
    symlink(&outside, scene.boot("absolute")).unwrap();
    symlink("absolute", scene.boot("by-two")).unwrap();
    symlink("by-two", scene.boot("by-three")).unwrap();
    symlink(&ordo, scene.boot("ordo")).unwrap();
    symlink("../../../../ordo/envs/x/boot", scene.boot("ordo-relative")).unwrap();
    symlink("../root", scene.boot("root")).unwrap();
    symlink("/proc/self/root", scene.boot("magic")).unwrap();
    symlink("loop", scene.boot("loop")).unwrap();
    for name in [
        format!("r{outside}"),
        "r/etc/passwd".to_string(),
        "up/etc/passwd".to_string(),
        "absolute".to_string(),
        "by-two".to_string(),
        "by-three".to_string(),
        "ordo/pxelinux.cfg/default".to_string(),
        "ordo-relative/pxelinux.cfg/default".to_string(),
        "root/etc/passwd".to_string(),
        "magic/etc/passwd".to_string(),
        "loop".to_string(),
        "../root/etc/passwd".to_string(),
        "pxelinux.cfg/../../root/etc/passwd".to_string(),
        "..\\root\\etc\\passwd".to_string(),
        format!("{}/../../nodes/nog/node.json", mac_name()),
        "/etc/passwd".to_string(),
        format!("{pool}/pool.json"),
        outside,
    ] {
        refused(&scene, &name);
        refused(&scene, &format!("{}/{name}", mac_name()));
    }
    // The links of a distribution, which stay inside.
    symlink("pxelinux.cfg", scene.boot("menu")).unwrap();
    symlink("../menu/default", scene.boot("pxelinux.cfg/same")).unwrap();
    let text = scene.pool.boot_text("nog/a");
    assert_eq!(scene.get("menu/same").text(), text);
}

#[test]
fn the_place_of_a_half_is_no_way_out_either() {
    let scene = scene();
    scene.pool.netbe().ok("create nog/b");
    for (place, target) in [
        ("nodes/nog/active", "../ordo/envs/x"),
        ("nodes/nog/active", "/etc"),
        ("nodes/nog/active", "envs/../envs/b"),
        ("nodes/nog/active", "envs/c"),
    ] {
        fs::remove_file(scene.pool.at(place)).unwrap();
        symlink(target, scene.pool.at(place)).unwrap();
        assert!(matches!(scene.get("passwd"), Got::Error(_)), "{target}");
        assert!(matches!(scene.get("pxelinux.0"), Got::Error(_)), "{target}");
    }
    fs::remove_file(scene.pool.at("nodes/nog/active")).unwrap();
    symlink("envs/a", scene.pool.at("nodes/nog/active")).unwrap();
    assert!(matches!(scene.get("pxelinux.0"), Got::File(_)));
    let boot = scene.pool.half("nog/a", "boot");
    fs::rename(&boot, boot.with_file_name("away")).unwrap();
    for target in ["/etc", "../b/boot", "../../../../ordo"] {
        symlink(target, &boot).unwrap();
        for name in ["passwd", "pxelinux.0"] {
            assert!(matches!(scene.get(name), Got::Error(_)), "{target} {name}");
        }
        fs::remove_file(&boot).unwrap();
    }
}

#[test]
fn pipes_devices_and_sockets_are_not_opened() {
    let scene = scene();
    for line in [
        "mkfifo pipe",
        "mknod zero c 1 5",
        "mknod null c 1 3",
        "mknod loop b 7 0",
        "mknod watchdog c 10 200",
    ] {
        let mut words = line.split(' ');
        run(Command::new(words.next().unwrap())
            .args(words)
            .current_dir(scene.boot("")));
    }
    let _socket = UnixListener::bind(scene.boot("socket")).unwrap();
    symlink("pipe", scene.boot("to-pipe")).unwrap();
    fs::create_dir(scene.boot("mounted")).unwrap();
    for name in [
        "pipe",
        "to-pipe",
        "zero",
        "null",
        "loop",
        "watchdog",
        "socket",
        "pxelinux.cfg",
        "pxelinux.cfg/",
        ".",
    ] {
        refused(&scene, name);
    }
}

#[test]
fn files_on_mounts_below_are_not_served() {
    let scene = scene();
    fs::create_dir(scene.boot("mounted")).unwrap();
    run(Command::new("mount")
        .args(["--bind", "/etc"])
        .arg(scene.boot("mounted")));
    refused(&scene, "mounted/passwd");
    symlink("mounted/passwd", scene.boot("to-mounted")).unwrap();
    refused(&scene, "to-mounted");
}

#[test]
fn huge_files_and_hostile_names_are_refused_at_once() {
    let scene = scene();
    let sparse = fs::File::create(scene.boot("sparse")).unwrap();
    sparse.set_len(1 << 50).unwrap();
    refused(&scene, "sparse");
    sparse.set_len(1 << 20).unwrap();
    let wish = Wish::new("sparse")
        .with("blksize", 1468)
        .with("windowsize", 8);
    assert_eq!(scene.get_as(wish).file().len(), 1 << 20);
    for name in [
        "x/".repeat(240),
        "x".repeat(300),
        "x".repeat(500),
        "%s%n".to_string(),
        "\u{202e}gpj".to_string(),
    ] {
        refused(&scene, &name);
    }
    for name in [&b"a\nb"[..], b"\x1b[2J", b"\xff\xfe", b"pxelinux.0\x01"] {
        let mut wish = Wish::new("");
        wish.name = name.to_vec();
        assert!(matches!(scene.get_as(wish), Got::Error(_)), "{name:?}");
    }
    assert!(!scene.serve.log_text().contains('\x1b'));
    // Behind the end of a name stands its mode.
    let mut wish = Wish::new("");
    wish.name = b"pxelinux.0\0octet\0\0/../../../../etc/passwd".to_vec();
    assert!(matches!(scene.get_as(wish), Got::File(_)));
}

#[test]
fn a_file_that_shrinks_while_it_is_sent_is_not_whole() {
    let scene = scene();
    fs::write(scene.boot("f"), vec![7; 3 << 20]).unwrap();
    // In so small blocks that it is sent for seconds.
    let client = || Wish::new("f").with("blksize", 8).fetch();
    let client = scene.network.on_client(client);
    let (_, front) = scene.serve.processes();
    wait_until("it is being sent", || {
        let open = fs::read_dir(format!("/proc/{front}/fd")).unwrap();
        open.flatten()
            .any(|file| fs::read_link(file.path()).is_ok_and(|to| to.ends_with("boot/f")))
    });
    let file = fs::File::options().write(true).open(scene.boot("f"));
    file.unwrap().set_len(1 << 10).unwrap();
    assert_eq!(client.join().unwrap(), Got::Error(0));
    assert!(scene.noted().iter().all(|line| line["file"] != "f"));
}
