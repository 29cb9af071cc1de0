//! The network inside: what is reached from there, and what is not.
//!
//! All tests run in a network namespace of their own, as a server with several addresses and one neighbour.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::process::Command;
use std::sync::mpsc::channel;

use netbe::sandbox::{Durable, Ended, Network};

use super::Test;
use super::room::{Room, anyone_runs};
use crate::wait::wait_until;

pub(super) const TESTS: &[Test] = &[
    ("network::a_neighbour_is_reached", neighbour),
    ("network::only_what_is_admitted_is_reached_here", admitted),
    ("network::an_address_that_comes_later_is_closed", later),
    ("network::a_resolver_is_admitted_by_both_ways", resolver),
    ("network::nothing_of_it_is_left", nothing_left),
];

/// The server's, two of one network and one of another.
pub(super) const OWN: [Ipv4Addr; 3] = [
    Ipv4Addr::new(198, 51, 100, 1),
    Ipv4Addr::new(198, 51, 100, 2),
    Ipv4Addr::new(203, 0, 113, 7),
];
const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 99);

/// Moves this process into a network of its own, with a neighbour who says a word at port 7777.
pub(super) fn make_one() {
    use nix::sched::{CloneFlags, unshare};
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    ip("link set lo up");
    ip("link add wire type veth peer name far");
    for address in OWN {
        ip(&format!("address add {address}/24 dev wire"));
    }
    ip("link set wire up");
    ip("route add default via 198.51.100.99");
    let (say, ready) = channel();
    let (moved, go) = channel();
    std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        say.send(nix::unistd::gettid()).unwrap();
        go.recv().unwrap();
        ip(&format!("address add {NEIGHBOUR}/24 dev far"));
        ip("link set far up");
        let listener = TcpListener::bind((NEIGHBOUR, 7777)).unwrap();
        say.send(nix::unistd::gettid()).unwrap();
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(b"neighbour\n");
        }
    });
    let thread = ready.recv().unwrap();
    ip(&format!("link set far netns {thread}"));
    moved.send(()).unwrap();
    ready.recv().unwrap();
}

fn ip(line: &str) {
    let status = Command::new("ip").args(line.split(' ')).status().unwrap();
    assert!(status.success(), "ip {line}");
}

/// Something that says a word to whoever connects.
fn speaker(address: &str, word: &'static str) -> u16 {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(word.as_bytes());
            // What the other side says comes back.
            let mut output = [0; 64];
            if let Ok(length @ 1..) = stream.read(&mut output) {
                let _ = stream.write_all(&output[..length]);
            }
        }
    });
    port
}

fn run(room: &Room, network: &str, script: &str) -> String {
    let argv = ["/bin/sh", "-c", script];
    let network: Network = network.parse().unwrap();
    let (ended, text) = room.run_in(&network, Durable::Always, None, &argv);
    assert_eq!(ended.unwrap(), Ended::Exited(0), "{text}");
    text
}

/// What an address and port say, or nothing.
fn say(address: &str, port: u16) -> String {
    format!("echo \"$(echo back | nc -w 2 {address} {port} 2>/dev/null)\";")
}

fn neighbour(room: &Room) {
    let seen = run(room, "private", &say(&NEIGHBOUR.to_string(), 7777));
    assert_eq!(seen, "neighbour\n");
}

fn admitted(room: &Room) {
    let (loopback, other) = (speaker("127.0.0.1", "one "), speaker("127.0.0.1", "two "));
    let (wire, second) = (
        speaker("198.51.100.2", "three "),
        speaker("198.51.100.2", "four "),
    );
    let script = [
        say("127.0.0.1", loopback),
        say("127.0.0.1", other),
        say("198.51.100.2", wire),
        say("198.51.100.2", second),
        say("198.51.100.1", wire),
        say("10.0.2.2", loopback),
    ]
    .concat();
    assert_eq!(run(room, "private", &script), "\n".repeat(6));
    let network = format!("private,127.0.0.1:{loopback},198.51.100.2:{wire}");
    assert_eq!(
        run(room, &network, &script),
        "one back\n\nthree back\n\n\n\n"
    );
    // As it was, for those who must.
    let seen = run(room, "host", &script);
    assert_eq!(seen, "one back\ntwo back\nthree back\nfour back\n\n\n");
}

fn later(room: &Room) {
    let port = speaker("0.0.0.0", "here ");
    // It is closed once netbe has heard of it, which is another process's affair: asked until it is.
    let closed = |address: &str| {
        let say = say(address, port);
        format!(
            "n=0; while x=$({say}) && test -n \"$x\" && test $n -lt 300; do n=$((n+1)); sleep 0.2; done; echo \"$x\";"
        )
    };
    let mut child = room.started(&format!(
        "touch /root/begun; while ! test -e /root/go; do sleep 0.1; done; {} {}",
        closed("198.51.100.77"),
        closed("192.0.2.78"),
    ));
    ip("address add 198.51.100.77/24 dev wire");
    ip("address add 192.0.2.78/32 dev lo");
    std::fs::write(room.root().join("root/go"), "").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    ip("address del 198.51.100.77/24 dev wire");
    ip("address del 192.0.2.78/32 dev lo");
    assert_eq!(room.log(), "\n\n");
}

fn resolver(room: &Room) {
    let server = UdpSocket::bind("198.51.100.1:53").unwrap();
    let streams = TcpListener::bind("198.51.100.1:53").unwrap();
    std::thread::spawn(move || {
        let mut text = [0; 512];
        while let Ok((length, from)) = server.recv_from(&mut text) {
            let _ = server.send_to(&reply(&text[..length]), from);
        }
    });
    std::thread::spawn(move || {
        for mut stream in streams.incoming().flatten() {
            let _ = stream.write_all(b"by TCP\n");
        }
    });
    let script = "cat /etc/resolv.conf; nslookup -type=a netbe.test 198.51.100.1 | cat; nc -w 2 198.51.100.1 53 </dev/null";
    let seen = run(room, "private,198.51.100.1:53", script);
    assert!(seen.starts_with("nameserver 198.51.100.1\n"), "{seen}");
    assert!(
        seen.contains("192.0.2.55") && seen.contains("by TCP"),
        "{seen}"
    );
}

/// Answers a question of one name with one address (RFC 1035).
fn reply(question: &[u8]) -> Vec<u8> {
    let mut answer = question.to_vec();
    answer[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1]);
    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 55]);
    answer
}

/// Whether the tool runs for this network; others are tested on this machine, too.
fn any_tool_runs() -> bool {
    let network = |of: &std::path::Path| std::fs::read_link(of.join("ns/net")).ok();
    let own = network("/proc/self".as_ref());
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let is_tool = line.split(|b| *b == 0).any(|word| word == b"tap0");
        is_tool && network(&entry.path()) == own
    })
}

fn nothing_left(room: &Room) {
    // slirp4netns takes the mounts away that it finds.
    let mounts = || std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    let before = mounts();
    assert_eq!(run(room, "private", "echo done"), "done\n");
    assert_eq!(mounts(), before);
    assert!(!any_tool_runs());
    let mut child = room.started("sleep 57777");
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(child.id().cast_signed()),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    child.wait().unwrap();
    wait_until("all of it is gone", || {
        !any_tool_runs() && !anyone_runs("57777")
    });
}
