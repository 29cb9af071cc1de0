//! The same files by HTTP: as confined as by TFTP, and as good an evidence.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;

use super::client::Got;
use super::{Scene, mac_name, scene};
use crate::machine::{Machine, PC};
use crate::support::{SERVER, run, wait_until};

const MENU: &str = "pxelinux.cfg/default";

/// Returns a scene whose files are served by HTTP, too.
fn by_http() -> Scene {
    let scene = scene();
    scene.pool.netbe().ok("set http=8080");
    wait_until("it listens", || scene.serve.log_text().contains("for HTTP"));
    scene
}

fn connect() -> TcpStream {
    let stream = TcpStream::connect((SERVER, 8080)).unwrap();
    let patience = Some(Duration::from_secs(30));
    stream.set_read_timeout(patience).unwrap();
    stream
}

/// Returns the status and the body of what the machine of nog's own address gets.
fn ask(scene: &Scene, head: &str) -> (String, Vec<u8>) {
    let head = format!("{head} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let asking = scene.network.on_client(move || {
        let mut stream = connect();
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer
    });
    let answer = asking.join().unwrap();
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().to_string();
    (status, answer[end + 4..].to_vec())
}

fn get(scene: &Scene, name: &str) -> (String, Vec<u8>) {
    ask(scene, &format!("GET /{name}"))
}

fn status(scene: &Scene, head: &str) -> String {
    ask(scene, head).0
}

#[test]
fn the_same_files_are_had_by_http() {
    let scene = by_http();
    let text = scene.pool.boot_text("nog/a");
    for name in [MENU.to_string(), format!("{}/{MENU}", mac_name())] {
        assert_eq!(get(&scene, &name), ("200".into(), text.clone().into()));
    }
    assert_eq!(scene.noted_of(MENU), "a");
    let head = format!("HEAD /{MENU}");
    assert_eq!(ask(&scene, &head), ("200".into(), Vec::new()));
    assert_eq!(status(&scene, "GET /nothing"), "404");
    assert_eq!(status(&scene, "POST /nothing"), "405");
    assert!(ask(&scene, "nonsense\r\n").0.starts_with('4'));
    let range = format!("GET /{MENU} HTTP/1.1\r\nRange: bytes=3-6\r\nX: ");
    assert_eq!(ask(&scene, &range), ("206".into(), text[3..7].into()));
    let beyond = format!("GET /{MENU} HTTP/1.1\r\nRange: bytes=999999-\r\nX: ");
    assert_eq!(status(&scene, &beyond), "416");

    // Requests on one connection, the second before the first is answered.
    let request = |more: &str| format!("GET /{MENU} HTTP/1.1\r\n{more}\r\n");
    let two = request("") + &request("Connection: close\r\n");
    let both = scene.network.on_client(move || {
        let mut stream = connect();
        stream.write_all(two.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    let both = both.join().unwrap();
    assert_eq!(both.matches(text.as_str()).count(), 2, "{both}");
}

#[test]
fn no_link_leads_out_by_http_either() {
    let scene = by_http();
    fs::write(scene.pool.beside().join("secret"), "of the server").unwrap();
    let outside = scene.pool.beside().join("secret");
    symlink(&outside, scene.boot("absolute")).unwrap();
    symlink("../../../../..", scene.boot("up")).unwrap();
    symlink("../root", scene.boot("root")).unwrap();
    run(Command::new("mkfifo").arg(scene.boot("pipe")));
    for name in [
        "absolute",
        "up/etc/passwd",
        "root/etc/passwd",
        "pipe",
        "../root/etc/passwd",
        "%2e%2e/root/etc/passwd",
        "..%5croot/etc/passwd",
        "etc/passwd",
        &outside.display().to_string(),
    ] {
        let (status, body) = get(&scene, name);
        assert!(
            ["403", "404"].contains(&status.as_str()),
            "{name}: {status}"
        );
        assert!(!String::from_utf8_lossy(&body).contains("root"), "{name}");
        assert_eq!(get(&scene, MENU).0, "200", "after {name}");
    }
}

/// Returns the size of a file of the boot half.
fn size(scene: &Scene, file: &str) -> u64 {
    fs::metadata(scene.boot(file)).unwrap().len()
}

#[test]
fn an_unacknowledged_answer_is_not_recorded_as_fetched() {
    let scene = by_http();
    // Less than the server's kernel takes at once, and more than the client's does from a program that reads nothing.
    fs::write(scene.boot("small"), vec![1; 200 << 10]).unwrap();
    let asking = scene.network.on_client(|| {
        let mut stream = connect();
        stream.write_all(b"GET /small HTTP/1.1\r\n\r\n").unwrap();
        std::thread::sleep(Duration::from_secs(3));
        stream
    });
    let stalled = asking.join().unwrap();
    assert!(scene.noted().is_empty(), "{:?}", scene.noted());
    drop(stalled);
    std::thread::sleep(Duration::from_secs(3));
    assert!(scene.noted().is_empty(), "{:?}", scene.noted());
    assert_eq!(get(&scene, "small").0, "200");
    assert_eq!(scene.noted_of("small"), "a");
}

#[test]
fn a_range_of_all_of_a_file_is_a_fetch() {
    let scene = by_http();
    let all = format!("GET /{MENU} HTTP/1.1\r\nRange: bytes=0-\r\nX: ");
    assert_eq!(status(&scene, &all), "206");
    assert_eq!(scene.noted_of(MENU), "a");
}

#[test]
fn a_boot_for_once_is_led_to_until_it_was_fetched_by_http() {
    let scene = by_http();
    scene.pool.netbe().ok("create nog/b");
    scene.pool.netbe().ok("activate --once nog/b");
    // Neither is a fetch.
    for file in PC {
        assert_eq!(status(&scene, &format!("HEAD /{file}")), "200");
        // The first byte, all but the last, and all but the first.
        for range in [
            "0-0".to_string(),
            format!("0-{}", size(&scene, file) - 2),
            "1-".to_string(),
        ] {
            let part = format!("GET /{file} HTTP/1.1\r\nRange: bytes={range}\r\nX: ");
            assert_eq!(status(&scene, &part), "206", "{file} {range}");
        }
    }
    std::thread::sleep(Duration::from_secs(8));
    assert!(scene.noted().is_empty(), "{:?}", scene.noted());
    assert_eq!(scene.pool.led_to(), "b");
    for file in PC {
        assert_eq!(get(&scene, file).0, "200", "{file}");
        assert_eq!(scene.noted_of(file), "b", "{file}");
    }
    wait_until("it is led back", || scene.pool.led_to() == "a");
}

#[test]
fn stalled_clients_are_not_recorded_and_do_not_block_others() {
    let scene = by_http();
    fs::write(scene.boot("large"), vec![1; 16 << 20]).unwrap();
    let stalls = scene.network.on_client(|| {
        let begun = |text: &str| {
            let mut stream = connect();
            stream.write_all(text.as_bytes()).unwrap();
            stream
        };
        // Heads that do not end, and more connections than one address may have.
        let heads = (0..200).map(|_| begun("GET /large HTTP/1.1\r\n"));
        let mut all: Vec<_> = heads.collect();
        all.truncate(10);
        std::thread::sleep(Duration::from_secs(1));
        let large = (0..10).map(|_| begun("GET /large HTTP/1.1\r\n\r\n"));
        all.extend(large);
        all[10].read_exact(&mut [0; 1000]).unwrap();
        all
    });
    let stalled = stalls.join().unwrap();
    assert_eq!(get(&scene, MENU).0, "200");
    assert!(matches!(scene.get(MENU), Got::File(_)));
    drop(stalled);
    let (status, body) = get(&scene, "large");
    assert_eq!((status.as_str(), body.len()), ("200", 16 << 20));
    assert_eq!(scene.noted_of("large"), "a");
    let large = |l: &&serde_json::Value| l["file"] == "large";
    assert_eq!(scene.noted().iter().filter(large).count(), 1);
}

#[test]
fn the_http_server_follows_the_property_and_has_no_privileges() {
    let scene = by_http();
    let back = scene.serve.child.id();
    let children = || {
        let path = format!("/proc/{back}/task/{back}/children");
        let text = fs::read_to_string(path).unwrap();
        text.split_whitespace()
            .map(str::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(get(&scene, MENU).0, "200");
    assert_eq!(children().len(), 2);
    for pid in children() {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        for line in ["CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
            assert!(status.contains(line), "{status}");
        }
        assert!(!status.contains("Uid:\t0\t"), "{status}");
    }
    // A process that has ended is started again.
    run(Command::new("kill").args(["-KILL", &children()[1]]));
    wait_until("it is there again", || {
        scene.serve.log_text().matches("for HTTP").count() == 2
    });
    assert_eq!(get(&scene, MENU).0, "200");

    let _taken = TcpListener::bind((SERVER, 8081)).unwrap();
    scene.pool.netbe().ok("set http=8081");
    wait_until("it is told", || {
        scene
            .serve
            .log_text()
            .contains("serves nothing by HTTP: 0.0.0.0:8081 is taken by ")
    });
    assert!(matches!(scene.get(MENU), Got::File(_)));
    scene.pool.netbe().ok("set http=8080");
    wait_until("it is back", || {
        scene.serve.log_text().matches("for HTTP").count() == 3
    });
    assert_eq!(get(&scene, MENU).0, "200");
    scene.pool.netbe().ok("set http=");
    wait_until("it has ended", || children().len() == 1);
    assert!(matches!(scene.get(MENU), Got::File(_)));
}
