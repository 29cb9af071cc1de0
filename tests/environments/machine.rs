//! What a machine does, as the server sees it: it fetches files, and reports that it came up.

use std::fs;

use super::support::{Pool, TFTP_NAME};

/// A served node with `a` active and `b` beside it, booted into `a`.
pub(super) fn with_b() -> Pool {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    pool.fetches(&PC);
    assert_eq!(pool.flags("nog/a"), "NR");
    pool
}

/// What a PC fetches, in its order.
pub(super) const PC: [&str; 5] = [
    "pxelinux.0",
    "ldlinux.c32",
    "pxelinux.cfg/default",
    "vmlinuz-6.1.0-50-amd64",
    "initrd.img-6.1.0-50-amd64",
];

pub(super) trait Machine {
    fn fetches(&self, files: &[&str]);
    fn reports(&self, env: &str, boot_id: &str);
    fn led_to(&self) -> String;
    fn pending(&self) -> String;
    /// Makes what is pending have been fetched so many seconds ago.
    fn age(&self, seconds: i64);
}

impl Machine for Pool {
    fn fetches(&self, files: &[&str]) {
        for file in files {
            let path = self.at(&format!("tftp/{TFTP_NAME}/{file}"));
            assert!(path.metadata().is_ok(), "{}", path.display());
            self.netbe()
                .ok(&format!("transfer 1000 10.0.0.5 {}", path.display()));
        }
    }

    fn reports(&self, env: &str, boot_id: &str) {
        let dir = self.half(env, "root").join("var/lib/netbe");
        fs::create_dir_all(&dir).unwrap();
        let text = format!("boot_id={boot_id}\nkernel=6.1.0-50-amd64\ntime=1\n");
        fs::write(dir.join("booted"), text).unwrap();
    }

    fn led_to(&self) -> String {
        let half = fs::canonicalize(self.at(&format!("tftp/{TFTP_NAME}"))).unwrap();
        let env = half.parent().unwrap().file_name().unwrap();
        env.to_str().unwrap().to_string()
    }

    fn pending(&self) -> String {
        fs::read_to_string(self.at("nodes/nog/pending.json")).unwrap_or_default()
    }

    fn age(&self, seconds: i64) {
        let text = self.pending();
        let mut pending: serde_json::Value = serde_json::from_str(&text).unwrap();
        let ago = |seconds: i64| {
            let now = jiff::Timestamp::now();
            (now - jiff::SignedDuration::from_secs(seconds)).to_string()
        };
        pending["since"] = ago(seconds + 60).into();
        if pending.get("fetched").is_some() {
            pending["fetched"] = ago(seconds).into();
        }
        self.write("nodes/nog/pending.json", &pending.to_string());
        // What was fetched is as old.
        let boots = self.read("nodes/nog/boots.jsonl");
        let older: String = boots
            .lines()
            .map(|line| {
                let mut seen: serde_json::Value = serde_json::from_str(line).unwrap();
                let before = if seen["env"] == pending["env"] {
                    0
                } else {
                    100
                };
                seen["time"] = ago(seconds + before).into();
                format!("{seen}\n")
            })
            .collect();
        self.write("nodes/nog/boots.jsonl", &older);
    }
}
