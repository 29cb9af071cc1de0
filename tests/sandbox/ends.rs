//! However it ends, nothing is left: no process, no mount, no file.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use netbe::sandbox::Ended;

use super::Test;
use super::room::{Room, anyone_runs, mounts};
use crate::wait::wait_until;

pub(super) const TESTS: &[Test] = &[
    ("ends::daemons_die_with_it", daemons),
    ("ends::stopped_politely", politely),
    ("ends::stopped_in_spite_of_itself", stubborn),
    ("ends::killed", killed),
    ("ends::killed_at_any_moment", killed_at_any_moment),
    ("ends::its_program_killed", program_killed),
    ("ends::a_failed_start_leaves_nothing", failed_start),
];

fn send(child: &std::process::Child, signal: Signal) {
    kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
}

fn daemons(room: &Room) {
    let before = mounts();
    room.output(
        "setsid sleep 51111 & (setsid sh -c 'trap \"\" TERM HUP INT; sleep 51111' &) ; sleep 0.2",
    );
    assert!(!anyone_runs("51111"));
    assert_eq!(mounts(), before);
    assert_no_cgroup_stays(room);
}

fn politely(room: &Room) {
    room.output("true");
    let (before, files) = (mounts(), room.listing());
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut child = room.started("sleep 52222");
        send(&child, signal);
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(128 + signal as i32), "{signal}");
        assert!(!anyone_runs("52222"), "{signal}");
        assert_eq!(mounts(), before);
        assert_eq!(room.listing(), files);
    }
}

fn stubborn(room: &Room) {
    let mut child = room.started("trap '' INT TERM HUP; sleep 53333; sleep 53333");
    // Before it has set its trap, it would heed.
    wait_until("53333 runs", || anyone_runs("53333"));
    send(&child, Signal::SIGINT);
    std::thread::sleep(Duration::from_millis(300));
    assert!(anyone_runs("53333"));
    send(&child, Signal::SIGINT);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!anyone_runs("53333"));
}

fn killed(room: &Room) {
    let before = mounts();
    let mut child = room.started("setsid sleep 54444 & trap '' TERM; sleep 54444");
    send(&child, Signal::SIGKILL);
    assert_eq!(child.wait().unwrap().signal(), Some(9));
    wait_until("54444 is gone", || !anyone_runs("54444"));
    assert_eq!(mounts(), before);
    // What was lent is left; who runs programs in what is kept records it, and puts it back (tests/upgrade/lent.rs).
    for path in ["etc/resolv.conf", "usr/sbin/policy-rc.d"] {
        std::fs::remove_file(room.root().join(path)).unwrap();
    }
    room.output("true");
    assert_no_cgroup_stays(room);
}

/// Holds that no cgroup stays of processes that are gone: a neighbour's that was killed goes with whatever runs next.
fn assert_no_cgroup_stays(room: &Room) {
    let none_stays = || {
        room.output("true");
        limits().is_empty()
    };
    wait_until("no limit is left", none_stays);
}

/// The cgroups that processes which are gone have left; other tests may be running.
fn limits() -> Vec<String> {
    let trees = [
        "/sys/fs/cgroup/pids",
        "/sys/fs/cgroup/memory",
        "/sys/fs/cgroup/cpu",
        "/sys/fs/cgroup",
    ];
    let entries = trees.iter().filter_map(|tree| std::fs::read_dir(tree).ok());
    entries
        .flatten()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| {
            let owner = name.strip_prefix("netbe-sandbox-");
            owner.is_some_and(|pid| !std::path::Path::new("/proc").join(pid).exists())
        })
        .collect()
}

fn killed_at_any_moment(room: &Room) {
    let before = mounts();
    for millis in 0..25 {
        let mut child = room.netbe("log", "exec sleep 55555").spawn().unwrap();
        std::thread::sleep(Duration::from_millis(millis));
        send(&child, Signal::SIGKILL);
        child.wait().unwrap();
    }
    let root = room.root().display().to_string();
    wait_until("55555 is gone", || {
        !anyone_runs("55555") && !anyone_runs(&root)
    });
    wait_until("the sandbox is gone", || !anyone_runs("netbe-sandbox"));
    assert_eq!(mounts(), before);
    // Nothing holds the root any more: it can be taken away whole.
    std::fs::remove_dir_all(room.root()).unwrap();
}

fn program_killed(room: &Room) {
    let (ended, _) = room.sh("sleep 56666 & kill -9 $$");
    assert_eq!(ended.unwrap(), Ended::Signalled(9));
    assert!(!anyone_runs("56666"));
}

fn failed_start(room: &Room) {
    room.output("true");
    std::fs::remove_dir_all(room.boot()).unwrap();
    let (before, files) = (mounts(), room.listing());
    let error = room.sh("true").0.unwrap_err();
    assert!(format!("{error:#}").contains("boot"), "{error:#}");
    assert_eq!(mounts(), before);
    assert_eq!(room.listing(), files);
}
