//! `netbe serve`: what machines fetch, whatever nodes plant, strangers ask, and wires lose.
//!
//! Two network namespaces with a cable between them; the client is the tests' own, for curl does as it should.

mod client;
mod confined;
mod crowd;
mod files;
mod for_any;
mod planted;
mod web;

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::network::Network;
use crate::support::{MAC, Pool, wait_until};

/// A running server.
pub(super) struct Serve {
    child: Child,
    log: PathBuf,
}

impl Serve {
    /// Starts one for the calling thread's network.
    pub(super) fn start(pool: &Pool) -> Self {
        Self::start_with(pool, &["--pool", &pool.path().to_string_lossy(), "serve"])
    }

    /// Starts one for all pools of the server.
    pub(super) fn start_for_all(pool: &Pool) -> Self {
        Self::start_with(pool, &["serve", "--all-pools"])
    }

    fn start_with(pool: &Pool, arguments: &[&str]) -> Self {
        let log = pool.beside().join("serve.log");
        let out = fs::File::create(&log).unwrap();
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL"])
            .arg(assert_cmd::cargo::cargo_bin!("netbe"))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        let serve = Self { child, log };
        wait_until("the TFTP server answers", || {
            serve.log_text().contains("Listening on")
        });
        serve
    }

    /// Returns what it has told.
    pub(super) fn log_text(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Returns the process that opens files, and the one that faces the network.
    pub(super) fn processes(&self) -> (u32, u32) {
        let back = self.child.id();
        let children = fs::read_to_string(format!("/proc/{back}/task/{back}/children")).unwrap();
        (back, children.trim().parse().unwrap())
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A served node `nog` with the active environment `a`, a network, and a server.
struct Scene {
    serve: Serve,
    network: Network,
    pool: Pool,
}

fn scene() -> Scene {
    scene_of(Pool::with_served_node())
}

fn scene_of(pool: Pool) -> Scene {
    let network = Network::new(&pool);
    let serve = Serve::start(&pool);
    Scene {
        serve,
        network,
        pool,
    }
}

impl Scene {
    /// Returns what the machine of nog's own address gets.
    fn get(&self, name: &str) -> client::Got {
        self.get_as(client::Wish::new(name))
    }

    fn get_as(&self, wish: client::Wish) -> client::Got {
        self.network.on_client(move || wish.fetch()).join().unwrap()
    }

    /// Returns a file's place in nog's active boot half.
    fn boot(&self, name: &str) -> PathBuf {
        self.pool.half("nog/a", "boot").join(name)
    }

    /// Returns the lines of what was noted of nog's boots.
    fn noted(&self) -> Vec<serde_json::Value> {
        let text = fs::read_to_string(self.pool.at("nodes/nog/boots.jsonl")).unwrap_or_default();
        text.lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect()
    }

    /// Waits until a file was noted as fetched; returns the environment it was of.
    fn noted_of(&self, file: &str) -> String {
        let mut env = None;
        wait_until(&format!("{file} is noted"), || {
            let noted = self.noted();
            let line = noted.iter().rev().find(|l| l["file"] == file);
            env = line.map(|l| l["env"].as_str().unwrap().to_string());
            env.is_some()
        });
        env.unwrap()
    }
}

/// The name that nog's machine has here.
fn mac_name() -> String {
    MAC.replace(':', "-")
}
