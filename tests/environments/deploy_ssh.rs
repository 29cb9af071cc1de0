//! `deploy` to a machine that is reached by ssh: a real server and client, in a network of their own.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::deploy::with_nog;
use crate::support::{self, Disk, MAC, Outcome, Pool};

/// An ssh server that lets this machine's root in; what it runs sees the mounts of the test.
struct Server(Child);

impl Server {
    /// Starts it on a loopback device of the test's own, and has the client know it as `node`.
    fn start(directory: &Path) -> Self {
        unshare(CloneFlags::CLONE_NEWNET).expect("root may make a network namespace");
        support::run(Command::new("ip").args(["link", "set", "lo", "up"]));
        let ssh = directory.join("ssh");
        fs::create_dir(&ssh).unwrap();
        let (own, host) = (ssh.join("own"), ssh.join("host"));
        support::run(
            Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(&own),
        );
        let made = Command::new("dropbearkey")
            .args(["-t", "ed25519", "-f"])
            .arg(&host)
            .output()
            .expect("dropbear-bin is installed");
        let said = String::from_utf8(made.stdout).unwrap();
        let key = said.lines().find(|l| l.starts_with("ssh-ed25519 "));
        let known = format!(
            "node {}\n",
            key.expect("dropbearkey prints the public half")
        );
        fs::write(ssh.join("known"), known).unwrap();
        // Nothing of these directories of the machine is read or written.
        for place in ["/root", "/etc/ssh/ssh_config.d"] {
            support::run(
                Command::new("mount").args(["-t", "tmpfs", "-o", "mode=700", "tmpfs", place]),
            );
        }
        fs::create_dir("/root/.ssh").unwrap();
        fs::copy(own.with_extension("pub"), "/root/.ssh/authorized_keys").unwrap();
        let settings = format!(
            "Host node\nHostName 127.0.0.1\nHostKeyAlias node\nIdentityFile {}\nUserKnownHostsFile {}\n\
             StrictHostKeyChecking yes\n",
            own.display(),
            ssh.join("known").display()
        );
        fs::write("/etc/ssh/ssh_config.d/netbe.conf", settings).unwrap();
        let server = Command::new("dropbear")
            .args(["-F", "-E", "-s", "-p", "127.0.0.1:22", "-P"])
            .arg(ssh.join("pid"))
            .arg("-r")
            .arg(&host)
            .spawn()
            .expect("dropbear-bin is installed");
        support::wait_until("the ssh server listens", || {
            TcpStream::connect("127.0.0.1:22").is_ok()
        });
        Self(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_disk_of_a_running_node_is_reached_by_ssh() {
    let pool = Pool::with_template();
    pool.netbe().ok(&format!("create nog/a --mac {MAC}"));
    let disk = Disk::new(pool.beside());
    let _server = Server::start(pool.beside());
    let to = format!("ssh://root@node{}", disk.show());
    pool.netbe().ok(&format!("deploy nog {to}"));
    let line = pool.boot_text("nog/a");
    assert!(line.contains("root=PARTUUID=") && line.contains("rootflags=subvol=netbe/a-"));
    disk.with(true, |at| {
        assert_eq!(fs::read_dir(at.join("netbe")).unwrap().count(), 2);
    });
    // The next one as a difference, and to a directory on the same disk.
    pool.netbe().ok("create nog/b");
    fs::write(pool.half("nog/b", "root").join("etc/more"), "more").unwrap();
    disk.with(true, |at| {
        let said = pool
            .netbe()
            .ok(&format!("deploy nog/b ssh://root@node{} -n", at.display()));
        assert!(said.contains("what changed since a-"), "{said}");
        pool.netbe()
            .ok(&format!("deploy nog/b ssh://root@node{}", at.display()));
    });
    assert!(
        pool.boot_text("nog/b")
            .contains("rootflags=subvol=netbe/b-")
    );
    pool.assert_sound();
    let said = pool
        .netbe()
        .run("deploy nog/b ssh://root@node:2223/dev/sda");
    assert_eq!(said.status, 1, "{said:?}");
    let told = "looking at ssh://root@node:2223/dev/sda: ";
    assert!(
        said.stderr.contains(told) && said.stderr.contains("port 2223"),
        "{said:?}"
    );
    let said = pool.netbe().run("deploy nog/b ssh://root@nowhere/dev/sda");
    assert_eq!(said.status, 1, "{said:?}");
    assert!(
        said.stderr
            .contains("looking at ssh://root@nowhere/dev/sda"),
        "{said:?}"
    );
}

/// Returns a deploy to a machine whose ssh is this script.
fn deploy_with_ssh(pool: &Pool, script: &str) -> Command {
    let own = pool.beside().join("programs");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("ssh"), format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(own.join("ssh"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = pool.netbe().plain();
    let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", own.display());
    command.env("PATH", path);
    command.args(["deploy", "nog", "ssh://root@node/dev/sda"]);
    command
}

#[test]
fn a_machine_that_tells_without_end_or_never_ends_is_given_up() {
    let pool = with_nog();
    let said: Outcome = deploy_with_ssh(&pool, "echo \"$@\" >\"$0.called\"; yes has=a-1")
        .output()
        .unwrap()
        .into();
    assert_eq!(said.status, 1, "{said:?}");
    assert!(
        said.stderr.contains("its output exceeds 1.0 MiB"),
        "{said:?}"
    );
    // One that is gone is told by ssh itself.
    let called = fs::read_to_string(pool.beside().join("programs/ssh.called")).unwrap();
    for option in ["ConnectTimeout=", "ServerAliveInterval=", "BatchMode=yes"] {
        assert!(called.contains(option), "{called}");
    }
    let netbe = deploy_with_ssh(&pool, "echo >\"$0.hangs\"; sleep 300")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    support::wait_until("ssh runs", || {
        pool.beside().join("programs/ssh.hangs").exists()
    });
    let pid = Pid::from_raw(i32::try_from(netbe.id()).unwrap());
    let since = Instant::now();
    kill(pid, Signal::SIGTERM).unwrap();
    let said: Outcome = netbe.wait_with_output().unwrap().into();
    assert!(said.stderr.contains("stopped by SIGTERM"), "{said:?}");
    assert!(
        since.elapsed() < Duration::from_secs(60),
        "{:?}",
        since.elapsed()
    );
    pool.assert_sound();
}
