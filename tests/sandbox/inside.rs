//! The sandbox as a program inside sees it.

use std::fs;
use std::os::unix::fs::symlink;

use netbe::sandbox::{Durable, Ended, Network};

use super::Test;
use super::room::{Room, mounts, set_mode};

pub(super) const TESTS: &[Test] = &[
    ("inside::the_root_is_a_mount_point", root_is_mount_point),
    ("inside::the_boot_half_is_in_its_place", boot_half),
    ("inside::processes_and_names_are_its_own", own_world),
    ("inside::devices_work", devices),
    ("inside::no_disk_of_this_server_is_seen", disks),
    ("inside::the_environment_is_cleared_and_set", variables),
    ("inside::a_program_ends_with_its_own_status", statuses),
    ("inside::the_resolver_works_and_is_put_back", resolver),
    ("inside::services_may_not_start", policy),
    ("inside::many_at_once", many_at_once),
    ("inside::syncs_are_made_or_only_answered", syncs),
    ("inside::packages_are_downloaded_elsewhere", downloads),
    ("inside::processes_and_memory_are_limited", limited),
    ("inside::what_is_in_memory_has_a_size", sizes),
    ("inside::packages_can_do_what_they_do", what_packages_do),
];

fn root_is_mount_point(room: &Room) {
    let before = mounts();
    let table = room.output("cat /proc/self/mountinfo");
    let points: Vec<&str> = table.lines().filter_map(|l| l.split(' ').nth(4)).collect();
    for point in [
        "/",
        "/boot/firmware",
        "/proc",
        "/sys",
        "/dev",
        "/run",
        "/tmp",
        "/var/tmp",
    ] {
        assert!(points.contains(&point), "{point} in {table}");
    }
    assert_eq!(points.iter().filter(|p| **p == "/").count(), 1, "{table}");
    for line in table.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let (point, options) = (fields[4], fields[5]);
        assert!(options.contains("nosuid"), "{line}");
        let devices = ["/dev", "/dev/pts"].contains(&point);
        assert!(devices || options.contains("nodev"), "{line}");
        // All of what is the kernel's.
        let kernel = ["/proc", "/sys"].iter().any(|p| point.starts_with(p));
        assert!(!kernel || options.starts_with("ro"), "{line}");
    }
    assert_eq!(mounts(), before);
}

fn boot_half(room: &Room) {
    fs::write(room.boot().join("cmdline.txt"), "root=/dev/nfs").unwrap();
    let seen = room.output("cat /boot/firmware/cmdline.txt; echo new > /boot/firmware/kernel8.img");
    assert_eq!(seen, "root=/dev/nfs");
    assert_eq!(
        fs::read_to_string(room.boot().join("kernel8.img")).unwrap(),
        "new\n"
    );
    assert!(!room.root().join("boot/firmware/kernel8.img").exists());
}

fn own_world(room: &Room) {
    let seen =
        room.output("hostname; id -u; ls -d /proc/[0-9]* | wc -l; ls /tmp /run/lock | wc -l");
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines[0], "nog");
    assert_eq!(lines[1], "0");
    assert!(lines[2].trim().parse::<u32>().unwrap() <= 5, "{seen}");
}

fn devices(room: &Room) {
    let seen = room.output(
        "echo gone > /dev/null; dd if=/dev/zero bs=4 count=1 2>/dev/null | wc -c
         dd if=/dev/urandom bs=8 count=1 2>/dev/null | wc -c; echo out > /dev/stdout
         echo err > /dev/stderr; ls /dev/pts; cat < /dev/stdin",
    );
    assert_eq!(seen, "4\n8\nout\nerr\nptmx\n");
}

fn disks(room: &Room) {
    let seen = room.output(
        "cat /proc/partitions /proc/diskstats /proc/mdstat /proc/swaps 2>/dev/null
         ls /sys/block /sys/class/block /sys/dev/block /sys/firmware /sys/fs/btrfs 2>/dev/null | grep -v : || true
         ls /dev/disk 2>/dev/null || cat /proc/cmdline",
    );
    assert_eq!(seen.trim(), "root=/dev/nfs ip=dhcp");
    let seen = room.output(
        "while read -r device point kind rest; do case $point in /|/boot/*) echo \"$device $kind\" ;; esac; done \
         < /proc/mounts | sort; mount | grep -c ^/dev/; df -P / | grep -o ^server:/",
    );
    assert_eq!(
        seen,
        "server:/ nfs\nserver:/boot/firmware nfs\n0\nserver:/\n"
    );
}

fn variables(room: &Room) {
    let seen = room.output("env");
    for line in [
        "HOME=/root",
        "GIVEN=yes",
        "NETBE=1",
        "LANG=C.UTF-8",
        "TERM=dumb",
    ] {
        assert!(seen.lines().any(|l| l == line), "{line} in {seen}");
    }
    assert!(!seen.contains("CARGO"), "{seen}");
}

fn statuses(room: &Room) {
    let ended = |script| room.sh(script).0.unwrap();
    assert_eq!(ended("exit 7"), Ended::Exited(7));
    assert_eq!(ended("kill -9 $$"), Ended::Signalled(9));
    // One that a shell would give 127 for is a status like any other.
    assert_eq!(ended("exit 127"), Ended::Exited(127));
    let run = |argv: &[&str]| room.run(argv).0.unwrap();
    assert!(matches!(run(&["no-such"]), Ended::NotFound(m) if m.contains("no-such")));
    assert!(matches!(run(&["/etc/no-such"]), Ended::NotFound(_)));
    assert!(matches!(run(&["/etc"]), Ended::CannotRun(_)));
    fs::write(room.root().join("bin/orphan"), "#!/no/such/shell\n").unwrap();
    set_mode(&room.root().join("bin/orphan"), 0o755);
    assert!(matches!(run(&["orphan"]), Ended::CannotRun(m) if m.contains("missing")));
    assert_eq!(run(&["no-such"]).status(), 127);
    assert_eq!(ended("kill -9 $$").status(), 137);
}

fn resolver(room: &Room) {
    let servers = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let host = |script: &str| {
        let argv = ["/bin/sh", "-c", script];
        let (ended, text) = room.run_in(&Network::Host, Durable::Always, None, &argv);
        assert_eq!(ended.unwrap(), Ended::Exited(0), "{text}");
        text
    };
    let path = room.root().join("etc/resolv.conf");
    let kinds: &[(&str, &dyn Fn())] = &[
        ("nothing", &|| ()),
        ("a file", &|| {
            fs::write(&path, "nameserver 192.0.2.1\n").unwrap();
            set_mode(&path, 0o640);
        }),
        ("into /run", &|| {
            symlink("../run/systemd/resolve/stub-resolv.conf", &path).unwrap();
        }),
        ("absolute into /run", &|| {
            symlink("/run/resolvconf/resolv.conf", &path).unwrap();
        }),
        ("dangling", &|| {
            symlink("/opt/none/resolv.conf", &path).unwrap();
        }),
        ("out of the root", &|| {
            symlink(room.outside("canary"), &path).unwrap();
        }),
    ];
    room.output("true");
    for (kind, make) in kinds {
        let _ = fs::remove_file(&path);
        make();
        let before = room.listing();
        let seen = room.output("cat /etc/resolv.conf");
        // Where its own connection answers.
        assert!(seen.starts_with("nameserver 10."), "{kind}: {seen}");
        assert!(seen.contains(".3\n"), "{kind}: {seen}");
        assert_eq!(room.listing(), before, "{kind}");
        let seen = host("cat /etc/resolv.conf");
        assert_eq!(seen, servers, "{kind}");
        assert_eq!(room.listing(), before, "{kind}");
        // What programs do to it counts: it is no mount point.
        room.output("echo mine > /etc/resolv.conf");
        // What a link leads to beneath /run and /tmp is the sandbox's own.
        match kind.contains("/run") || kind.contains("out of the root") {
            true => assert_eq!(room.listing(), before, "{kind}"),
            false => assert_eq!(fs::read_to_string(&path).unwrap(), "mine\n", "{kind}"),
        }
        room.output("ln -sf ../run/x/resolv.conf /etc/resolv.conf");
        let link = fs::read_link(&path).unwrap();
        assert_eq!(link.to_str(), Some("../run/x/resolv.conf"), "{kind}");
        let left = fs::read_dir(room.root().join("etc")).unwrap().count();
        assert_eq!(left, 2, "{kind}: only passwd and the link");
    }
    room.assert_outside_is_untouched();
}

fn policy(room: &Room) {
    let path = room.root().join("usr/sbin/policy-rc.d");
    room.output("true");
    for own in [None, Some("#!/bin/sh\nexit 0\n")] {
        if let Some(text) = own {
            fs::write(&path, text).unwrap();
            set_mode(&path, 0o700);
        }
        let before = room.listing();
        let (ended, text) = room.sh("exec /usr/sbin/policy-rc.d ssh start");
        assert_eq!(ended.unwrap(), Ended::Exited(101), "{text}");
        assert_eq!(room.listing(), before);
    }
    // What asks nobody; through `env`, or busybox' shell would take its own.
    room.output(
        "env start-stop-daemon -S -x /bin/touch -- /root/started; env service ssh start
         ! test -e /root/started; /bin/start-stop-daemon -S -x /bin/touch -- /root/started
         test -e /root/started",
    );
}

fn many_at_once(_: &Room) {
    std::thread::scope(|threads| {
        for number in 0..6 {
            threads.spawn(move || {
                let room = Room::new();
                let seen = room.output(&format!("seq 1 20000 | wc -l; echo {number}"));
                assert_eq!(seen, format!("20000\n{number}\n"));
            });
        }
    });
}

fn syncs(room: &Room) {
    // A pipe cannot be synced: one that is asked for says so.
    let script = "dd if=/dev/zero bs=1 count=1 conv=fsync 2>&1 | cat";
    for (durable, made) in [(Durable::Always, true), (Durable::AtTheEnd, false)] {
        let (ended, text) = room.run_with(durable, None, &["/bin/sh", "-c", script]);
        assert_eq!(ended.unwrap(), Ended::Exited(0));
        assert_eq!(
            text.contains("nvalid argument"),
            made,
            "{durable:?}: {text}"
        );
    }
}

/// What the filter, the capabilities and the mounts must leave alone.
fn what_packages_do(room: &Room) {
    let seen = room.output(
        "set -e; cd /root; touch f; chown 33:33 f; chmod 4755 f; ln f g; ln -s f h; mkfifo p
         mkdir a b; touch a/x; mv a/x b/x; mknod q p; setpriv --nnp true
         umask 077; ulimit -c 0; test $(ulimit -c) = 0 || true; chroot / true; kill -0 $$; sleep 0
         su -s /bin/sh nobody -c 'id -u; test ! -w /root' ; stat -c %a f; setsid true; wait",
    );
    assert_eq!(seen, "65534\n4755\n");
}

fn downloads(room: &Room) {
    let place = room.outside("packages");
    fs::create_dir(&place).unwrap();
    fs::write(place.join("had.deb"), "had").unwrap();
    let script = "cat $APT_CONFIG /run/netbe/packages/had.deb; cd /run/netbe/packages; echo new >new.deb; \
        ln -s /etc link.deb; cp /bin/busybox run && ./run true; ls ..; cat ../../canary ../canary";
    let (ended, text) = room.run_with(Durable::Always, Some(&place), &["/bin/sh", "-c", script]);
    ended.unwrap();
    assert!(
        text.contains("Dir::Cache::Archives \"/run/netbe/packages/\";\n"),
        "{text}"
    );
    assert!(text.contains("had"), "{text}");
    // It leads nowhere, and nothing there can be run.
    assert!(text.contains("./run: Permission denied"), "{text}");
    assert!(!text.contains("alive"), "{text}");
    assert_eq!(fs::read(place.join("new.deb")).unwrap(), b"new\n");
    assert!(!room.root().join("run/netbe/packages/new.deb").exists());
    let without = room.output("cat $APT_CONFIG; ls -d /run/netbe/packages || true");
    assert!(!without.contains("Archives"), "{without}");
}

/// Where this machine has control groups for it, by their names in both versions.
fn limited(room: &Room) {
    let mut child = room.started("sleep 58888");
    let read = |path: std::path::PathBuf| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let limit = |controller: &str, names: [&str; 2]| -> Option<u64> {
        let trees = [
            format!("/sys/fs/cgroup/{controller}"),
            "/sys/fs/cgroup".into(),
        ];
        let groups = trees
            .iter()
            .filter_map(|tree| fs::read_dir(tree).ok())
            .flatten()
            .flatten();
        let ours = groups.filter(|group| {
            let holds = fs::read_to_string(group.path().join("cgroup.procs")).unwrap_or_default();
            let sleeps = |pid: &str| {
                fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|l| l.ends_with(b"58888\0"))
            };
            holds.lines().any(sleeps)
        });
        ours.flat_map(|group| names.map(|name| read(group.path().join(name))))
            .flatten()
            .next()
    };
    let unlimited = netbe::sandbox::unlimited();
    let there = |what: &str| !unlimited.contains(&what);
    let memory = fs::read_to_string("/proc/meminfo").unwrap();
    let total = memory
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        << 10;
    let processes = limit("pids", ["pids.max", "pids.max"]);
    let bytes = limit("memory", ["memory.max", "memory.limit_in_bytes"]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(
        processes.is_some_and(|most| most <= 4096),
        there("processes")
    );
    assert_eq!(
        bytes.is_some_and(|most| most <= total / 4 * 3),
        there("memory"),
        "{bytes:?}"
    );
}

fn sizes(room: &Room) {
    let table = room.output("cat /proc/self/mountinfo");
    let in_memory: Vec<&str> = table.lines().filter(|l| l.contains(" - tmpfs ")).collect();
    assert!(in_memory.len() >= 5, "{table}");
    for line in in_memory {
        // Half of an even number of pages is the kernel's own default, which it does not show.
        let has_size = line.contains("size=") || line.contains(" / /var/tmp ");
        assert!(has_size && line.contains("nr_inodes="), "{line}");
    }
}
