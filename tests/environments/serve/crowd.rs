//! Strangers that ask for everything, of everything, and never listen: others are served all the same.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::client::{Got, Wish};
use super::{Scene, mac_name, scene};
use crate::machine::PC;
use crate::support::{PATIENCE, SERVER, wait_until};

/// The address nog's machine asks from beside a stranger on the same wire.
const NOG: &str = "192.0.2.78";

/// Gives the asking machine these addresses too.
fn addresses(scene: &Scene, more: &[String]) {
    for address in more {
        let mut command = scene.network.client_runs("ip");
        let done = command
            .args(["address", "add", &format!("{address}/24"), "dev", "eth0"])
            .status();
        assert!(done.unwrap().success());
    }
}

/// Boots: fetches what a PC does.
fn boots(scene: &Scene) {
    for file in PC {
        let mut wish = Wish::new(&format!("{}/{file}", mac_name())).with("blksize", 1400);
        wish.from = NOG;
        let got = scene.get_as(wish);
        assert!(
            matches!(got, Got::File(_)),
            "{file}: {got:?}\n{}",
            scene.serve.log_text()
        );
    }
}

/// Boots while a stranger does something over and over, once it has begun and before it ends.
fn boots_beside(scene: &Scene, mut stranger: impl FnMut() -> bool + Send + 'static) {
    let (begun, over) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let (begins, is_over) = (Arc::clone(&begun), Arc::clone(&over));
    let flood = scene.network.on_client(move || {
        while !is_over.load(Ordering::SeqCst) {
            if stranger() {
                begins.store(true, Ordering::SeqCst);
            }
        }
    });
    wait_until("the flood has begun", || begun.load(Ordering::SeqCst));
    boots(scene);
    over.store(true, Ordering::SeqCst);
    flood.join().unwrap();
}

fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_thousand_requests_of_one_client_keep_no_other_waiting() {
    let scene = scene();
    addresses(&scene, &[NOG.to_string()]);
    fs::write(scene.boot("large"), vec![1; 4 << 20]).unwrap();
    let name = format!("{}/large", mac_name());
    let mut sockets = Vec::new();
    boots_beside(&scene, move || {
        if sockets.is_empty() {
            sockets.extend((0..500).map(|_| UdpSocket::bind("192.0.2.77:0").unwrap()));
        }
        for socket in &sockets {
            let _ = socket.send_to(&Wish::new(&name).request(), (SERVER, 69));
            let _ = socket.send_to(&Wish::new("nonsense").request(), (SERVER, 69));
        }
        std::thread::sleep(Duration::from_millis(50));
        true
    });
    let (back, front) = scene.serve.processes();
    assert!(
        memory(front) < 64 << 10 && memory(back) < 64 << 10,
        "{} {}",
        memory(front),
        memory(back)
    );
    let lines = scene.serve.log_text().lines().count();
    assert!(lines < 1000, "{lines}");
}

#[test]
fn requests_from_many_forged_addresses_do_not_block_a_boot() {
    let scene = scene();
    let strangers: Vec<String> = (100..250).map(|n| format!("192.0.2.{n}")).collect();
    addresses(&scene, &strangers);
    addresses(&scene, &[NOG.to_string()]);
    fs::write(scene.boot("large"), vec![1; 4 << 20]).unwrap();
    let name = format!("{}/large", mac_name());
    let mut sockets = Vec::new();
    boots_beside(&scene, move || {
        if sockets.is_empty() {
            // Each holds sixteen places, and says just enough to keep them.
            for address in &strangers {
                let address: Ipv4Addr = address.parse().unwrap();
                sockets.extend((0..12).map(|_| UdpSocket::bind((address, 0)).unwrap()));
            }
            for socket in &sockets {
                socket.set_nonblocking(true).unwrap();
                let _ = socket.send_to(&Wish::new(&name).request(), (SERVER, 69));
            }
        }
        let mut buffer = [0; 600];
        let mut is_served = false;
        for socket in &sockets {
            if let Ok((4.., from)) = socket.recv_from(&mut buffer) {
                is_served = true;
                let _ = socket.send_to(&[0, 4, buffer[2], buffer[3]], from);
            }
        }
        std::thread::sleep(Duration::from_millis(200));
        is_served
    });
}

#[test]
fn any_bytes_are_taken_at_any_port() {
    let scene = scene();
    let done = scene.network.on_client(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let mut state = 7_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) as usize
        };
        let mut transfer = None;
        for round in 0..5000 {
            let mut packet: Vec<u8> = (0..next() % 600).map(|_| next() as u8).collect();
            if packet.len() > 1 && round % 2 == 0 {
                (packet[0], packet[1]) = (0, (next() % 7) as u8);
            }
            let _ = socket.send_to(&packet, (SERVER, 69));
            if let Some(transfer) = transfer {
                let _ = socket.send_to(&packet, transfer);
            }
            if round % 500 == 0 {
                socket
                    .send_to(&Wish::new("pxelinux.0").request(), (SERVER, 69))
                    .unwrap();
                let mut buffer = [0; 600];
                while let Ok((_, from)) = socket.recv_from(&mut buffer) {
                    transfer = (from.port() != 69).then_some(from).or(transfer);
                }
            }
        }
    });
    done.join().unwrap();
    assert!(
        matches!(scene.get("pxelinux.0"), Got::File(_)),
        "{}",
        scene.serve.log_text()
    );
}

#[test]
fn a_request_with_a_forged_address_causes_few_packets() {
    let scene = scene();
    // Each knows the other's address from here on.
    scene.get("pxelinux.0");
    let name = format!("{}/pxelinux.0", mac_name());
    let count = scene.network.on_client(move || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        for _ in 0..100 {
            socket
                .send_to(&Wish::new(&name).request(), (SERVER, 69))
                .unwrap();
        }
        let mut count = usize::from(socket.recv(&mut [0; 600]).is_ok());
        socket
            .set_read_timeout(Some(Duration::from_secs(3)))
            .unwrap();
        let until = Instant::now() + Duration::from_secs(6);
        while Instant::now() < until && socket.recv(&mut [0; 600]).is_ok() {
            count += 1;
        }
        count
    });
    let count = count.join().unwrap();
    assert!((1..=5).contains(&count), "{count}");
}
