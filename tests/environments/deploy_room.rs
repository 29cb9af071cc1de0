//! What stays on the disk of a node, and what goes where room is needed: `deploy`.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::deploy::{on_disk, with_nog};
use crate::support::{self, Disk, Pool};

/// Writes data into a root that no compression makes smaller, in MiB.
pub(crate) fn fill(pool: &Pool, env: &str, mib: usize) {
    let path = pool.half(env, "root").join("large");
    let mut data = Command::new("dd");
    data.args(["if=/dev/urandom", "bs=1M", "status=none"]);
    support::run(
        data.arg(format!("count={mib}"))
            .arg(format!("of={}", path.display())),
    );
}

/// Destroys an environment whose node is off the network.
fn destroy(pool: &Pool, env: &str) {
    pool.netbe().ok("set mac= nog");
    pool.netbe().ok(&format!("destroy -y {env}"));
}

fn names(at: &Path) -> Vec<String> {
    let names = fs::read_dir(at.join("netbe")).unwrap().flatten();
    let names = names.map(|entry| entry.file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name != ".sent").collect();
    names.sort();
    names
}

fn starts(names: &[String], with: &[&str]) -> bool {
    names.len() == with.len()
        && names
            .iter()
            .zip(with)
            .all(|(name, start)| name.starts_with(start))
}

#[test]
fn what_was_sent_of_a_root_that_is_gone_goes_with_the_next_deploy() {
    let pool = with_nog();
    pool.netbe().ok("create nog/b");
    let disk = Disk::formatted(pool.beside());
    pool.netbe().ok(&format!("deploy nog/a {}", disk.show()));
    // As a removal leaves it that is interrupted.
    disk.with(false, |at| {
        let root = on_disk(at, "a");
        support::run(
            Command::new("btrfs")
                .args(["-q", "subvolume", "delete"])
                .arg(root),
        );
    });
    let output = pool.netbe().ok(&format!("deploy nog/b {} -n", disk.show()));
    assert!(!output.contains("what changed since"), "{output}");
    pool.netbe().ok(&format!("deploy nog/b {}", disk.show()));
    disk.with(false, |at| {
        let sent = fs::read_dir(at.join("netbe/.sent")).unwrap().flatten();
        let sent: Vec<_> = sent.map(|entry| entry.file_name()).collect();
        assert_eq!(sent, [on_disk(at, "b").file_name().unwrap()]);
    });
}

#[test]
fn invariant_14_a_destroyed_root_stays_on_the_disk_until_room_is_needed() {
    let pool = with_nog();
    let disk = Disk::formatted(pool.beside());
    for name in ["a", "b", "c", "d"] {
        if name != "a" {
            pool.netbe().ok(&format!("create nog/{name} --from base"));
        }
        fill(&pool, &format!("nog/{name}"), 60);
    }
    pool.netbe().ok(&format!("deploy nog/b {}", disk.show()));
    disk.with(false, |at| {
        fs::write(on_disk(at, "b").join("etc/motd"), "written").unwrap();
        // Of another server, for all that is known.
        let stranger = at.join("netbe/x-12345678");
        let mut create = Command::new("btrfs");
        support::run(create.args(["-q", "subvolume", "create"]).arg(stranger));
    });
    pool.netbe().ok(&format!("deploy nog/a {}", disk.show()));
    let deploy = format!("deploy nog/c {}", disk.show());
    // Either may boot.
    pool.refuses(3, &deploy, &["of free space"]);
    pool.netbe().ok("activate nog/d");
    destroy(&pool, "nog/a");
    destroy(&pool, "nog/b");
    let told = pool.netbe().ok(&format!("{deploy} -n"));
    assert!(
        told.contains("remove from ") && told.contains("until there is room: b-"),
        "{told}"
    );
    let all = |at: &Path| assert!(starts(&names(at), &["a-", "b-", "x-"]));
    disk.with(false, all);
    // For what can never fit, nothing goes.
    let large = pool.half("nog/d", "root").join("huge");
    support::run(Command::new("fallocate").args(["-l", "300M"]).arg(&large));
    let too_large = format!("deploy nog/d {}", disk.show());
    pool.refuses(3, &too_large, &["of free space"]);
    disk.with(false, all);
    let said = pool.netbe().run(&deploy);
    assert_eq!(said.status, 0, "{said:?}");
    let told = ", which nog boots no more, was removed from its disk to make room, in which nog has changed /etc/motd";
    assert!(said.stderr.contains(told), "{said:?}");
    disk.with(false, |at| assert!(starts(&names(at), &["a-", "c-", "x-"])));
    pool.assert_sound();
}

#[test]
fn a_difference_that_does_not_fit_has_the_oldest_go() {
    let pool = with_nog();
    let disk = Disk::formatted(pool.beside());
    pool.netbe().ok("create nog/z --from base");
    fill(&pool, "nog/z", 70);
    pool.netbe().ok(&format!("deploy nog/z {}", disk.show()));
    fill(&pool, "nog/a", 40);
    pool.netbe().ok(&format!("deploy nog/a {}", disk.show()));
    pool.netbe().ok("create nog/b --from nog/a");
    fill(&pool, "nog/b", 100);
    let deploy = format!("deploy nog/b {}", disk.show());
    let said = pool.netbe().run(&deploy);
    assert_eq!(said.status, 1, "{said:?}");
    assert!(said.stderr.contains("No space left on device"), "{said:?}");
    disk.with(false, |at| assert!(starts(&names(at), &["a-", "z-"])));
    destroy(&pool, "nog/z");
    let said = pool.netbe().run(&deploy);
    assert_eq!(said.status, 0, "{said:?}");
    assert!(
        said.stderr
            .contains("was removed from its disk to make room"),
        "{said:?}"
    );
    disk.with(false, |at| assert!(starts(&names(at), &["a-", "b-"])));
    pool.assert_sound();
}

#[test]
fn what_the_node_has_changed_is_kept_where_its_environment_comes_back_to_a_disk() {
    let pool = with_nog();
    let first = Disk::formatted(pool.beside());
    let beside = pool.beside().join("more");
    fs::create_dir(&beside).unwrap();
    let second = Disk::formatted(&beside);
    pool.netbe().ok(&format!("deploy nog {}", first.show()));
    first.with(false, |at| {
        fs::write(on_disk(at, "a").join("etc/motd"), "written").unwrap();
    });
    pool.netbe().ok(&format!("deploy nog {}", second.show()));
    let said = pool.netbe().run(&format!("deploy nog {}", first.show()));
    assert_eq!(said.status, 0, "{said:?}");
    for told in [
        "what nog/a had on that disk already is kept there as netbe/a-",
        ".1, which stays on the disk, nog has changed /etc/motd",
    ] {
        assert!(said.stderr.contains(told), "{said:?}");
    }
    first.with(false, |at| {
        let found = names(at);
        assert!(starts(&found, &["a-", "a-"]), "{found:?}");
        let motd = |name: &String| fs::read(at.join("netbe").join(name).join("etc/motd"));
        assert_eq!(motd(&found[1]).unwrap(), b"written");
        assert_ne!(motd(&found[0]).unwrap_or_default(), b"written");
    });
    // The second disk has what the node may be running, unchanged as it is.
    let said = pool.netbe().run(&format!("deploy nog {}", second.show()));
    assert!(
        said.stderr.contains("is kept there as netbe/a-"),
        "{said:?}"
    );
    second.with(false, |at| assert!(starts(&names(at), &["a-", "a-"])));
    pool.assert_sound();
}

#[test]
fn a_root_that_was_sent_anew_to_another_disk_is_no_parent_on_the_first() {
    let pool = with_nog();
    let first = Disk::formatted(pool.beside());
    let beside = pool.beside().join("more");
    fs::create_dir(&beside).unwrap();
    let second = Disk::formatted(&beside);
    for disk in [&first, &second] {
        pool.netbe().ok(&format!("deploy nog {}", disk.show()));
    }
    pool.netbe().ok("create nog/b");
    for (disk, is_whole) in [(&first, true), (&second, false)] {
        let line = format!("deploy nog/b {}", disk.show());
        let told = pool.netbe().ok(&format!("{line} -n"));
        assert_eq!(!told.contains("what changed since a-"), is_whole, "{told}");
        pool.netbe().ok(&line);
    }
    pool.assert_sound();
}

#[test]
fn what_may_be_running_does_not_go_for_room() {
    let pool = with_nog();
    let first = Disk::formatted(pool.beside());
    let beside = pool.beside().join("more");
    fs::create_dir(&beside).unwrap();
    let second = Disk::formatted(&beside);
    for name in ["a", "b", "c"] {
        if name != "a" {
            pool.netbe().ok(&format!("create nog/{name} --from base"));
        }
        fill(&pool, &format!("nog/{name}"), 60);
    }
    pool.netbe().ok(&format!("deploy nog/a {}", first.show()));
    pool.netbe().ok(&format!("deploy nog/a {}", second.show()));
    pool.netbe().ok(&format!("deploy nog/b {}", first.show()));
    let deploy = format!("deploy nog/c {}", first.show());
    // From which of the two disks nog has booted it, nothing tells.
    pool.refuses(3, &deploy, &["of free space"]);
    first.with(false, |at| assert!(starts(&names(at), &["a-", "b-"])));
    pool.netbe().ok("set mac= nog");
    pool.netbe().ok(&deploy);
    first.with(false, |at| assert!(starts(&names(at), &["b-", "c-"])));
    second.with(false, |at| assert!(starts(&names(at), &["a-"])));
    pool.assert_sound();
}

#[test]
fn invariant_14_what_was_changed_on_a_disk_that_is_formatted_is_named() {
    let pool = with_nog();
    let disk = Disk::formatted(pool.beside());
    pool.netbe().ok("create nog/b");
    pool.netbe().ok(&format!("deploy nog/b {}", disk.show()));
    disk.with(false, |at| {
        fs::write(on_disk(at, "b").join("etc/motd"), "written").unwrap();
    });
    destroy(&pool, "nog/b");
    let said = pool.netbe().run(&format!(
        "deploy nog {} --filesystem ext4 --yes",
        disk.show()
    ));
    assert_eq!(said.status, 0, "{said:?}");
    for told in [
        format!("{} was formatted, with netbe/b-", disk.show()),
        ", in which nog has changed /etc/motd".to_string(),
    ] {
        assert!(said.stderr.contains(&told), "{said:?}");
    }
    assert!(!said.stderr.contains("stays on the disk"), "{said:?}");
}

#[test]
fn status_tells_whether_the_disk_has_what_is_active() {
    let pool = with_nog();
    let disk = Disk::formatted(pool.beside());
    let disk_of = || {
        let said = pool.netbe().ok("status nog --json");
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        said["nodes"][0]["disk"].clone()
    };
    assert!(disk_of().is_null());
    pool.netbe().ok(&format!("deploy nog {}", disk.show()));
    assert_eq!(disk_of()["has_active"], true);
    assert!(!pool.netbe().ok("status nog").contains("is not: netbe"));
    pool.netbe().ok("create nog/b -a");
    let command = format!("netbe deploy nog/b {}", disk.show());
    let said = pool.netbe().ok("status nog");
    let told = format!("b, which is active, is not: {command}");
    assert!(said.contains(&told), "{said}");
    assert_eq!(disk_of()["has_active"], false);
    assert_eq!(disk_of()["remedy"], command.as_str());
}
