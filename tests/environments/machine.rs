//! A machine as the server sees it: it fetches files, mounts its root, and reports a completed boot.

use std::fs;

use crate::support::{Pool, TFTP_NAME};

/// The machine's address, which is kept for it.
pub(super) const ADDRESS: &str = "10.0.0.5";

/// Another's.
pub(super) const STRANGER: &str = "10.0.0.66";

/// A served node of known address, with `a` active and `b` beside it, booted into `a`.
pub(super) fn with_b() -> Pool {
    let pool = with_b_of_no_address();
    pool.netbe().ok(&format!("set ip=dhcp,{ADDRESS} nog"));
    pool.boots("nog/a", "first-boot");
    assert_eq!(pool.flags("nog/a"), "NR");
    pool
}

/// The same, but that nobody knows its address, and nothing was seen of it.
pub(super) fn with_b_of_no_address() -> Pool {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
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
    fn fetched_by(&self, client: &str, files: &[&str]);
    /// Fetches all that what it is led to has, and reports from there.
    fn boots(&self, env: &str, boot_id: &str);
    /// Has these directories of the pool in use over NFS, and no others.
    fn mounts(&self, halves: &[&str]);
    fn reports(&self, env: &str, boot_id: &str);
    fn led_to(&self) -> String;
    fn pending(&self) -> String;
    /// Makes what is pending have been fetched so many seconds ago.
    fn age(&self, seconds: i64);
}

impl Machine for Pool {
    fn fetches(&self, files: &[&str]) {
        self.fetched_by(ADDRESS, files);
    }

    fn boots(&self, env: &str, boot_id: &str) {
        self.fetches(&PC);
        self.reports(env, boot_id);
    }

    fn mounts(&self, halves: &[&str]) {
        let dir = self.beside().join("nfsd");
        fs::create_dir_all(&dir).unwrap();
        let line = |half: &&str| {
            format!(
                "{}\t{ADDRESS}(rw,no_root_squash)\n",
                self.at(half).display()
            )
        };
        fs::write(
            dir.join("content"),
            halves.iter().map(line).collect::<String>(),
        )
        .unwrap();
        fs::write(dir.join("flush"), "").unwrap();
    }

    fn fetched_by(&self, client: &str, files: &[&str]) {
        for file in files {
            let path = self.at(&format!("tftp/{TFTP_NAME}/{file}"));
            assert!(path.metadata().is_ok(), "{}", path.display());
            self.netbe()
                .ok(&format!("transfer 1000 {client} {}", path.display()));
        }
    }

    fn reports(&self, env: &str, boot_id: &str) {
        let dir = self.half(env, "root").join("var/lib/netbe");
        fs::create_dir_all(&dir).unwrap();
        let text = format!("boot_id={boot_id}\nkernel=6.1.0-50-amd64\ntime=1\n");
        fs::write(dir.join(".booted.new"), text).unwrap();
        fs::rename(dir.join(".booted.new"), dir.join("booted")).unwrap();
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
        for key in ["fetched", "withdrawn"] {
            if pending.get(key).is_some() {
                pending[key] = ago(seconds).into();
            }
        }
        self.write("nodes/nog/pending.json", &pending.to_string());
        // What was fetched is as old.
        for (file, keys) in [
            ("boots.jsonl", ["time"].as_slice()),
            ("fetching.jsonl", &["time", "since"]),
        ] {
            let Ok(text) = fs::read_to_string(self.at(&format!("nodes/nog/{file}"))) else {
                continue;
            };
            let older = text.lines().filter(|line| !line.is_empty()).map(|line| {
                let mut seen: serde_json::Value = serde_json::from_str(line).unwrap();
                let before = if seen["env"] == pending["env"] {
                    0
                } else {
                    100
                };
                seen["time"] = ago(seconds + before).into();
                if keys.contains(&"since") {
                    seen["since"] = pending["since"].clone();
                }
                format!("{seen}\n")
            });
            self.write(&format!("nodes/nog/{file}"), &older.collect::<String>());
        }
    }
}
