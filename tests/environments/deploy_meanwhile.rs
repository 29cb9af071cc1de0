//! What happens between the steps of `deploy`: programs that it calls do it, where they are called.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::deploy::{on_disk, with_nog};
use crate::deploy_room::fill;
use crate::support::{Disk, Outcome, Pool};

/// Runs a command line of netbe, with a program that does something first when this holds of its arguments.
pub(crate) fn run_with(pool: &Pool, line: &str, program: &str, when: &str, first: &str) -> Outcome {
    let own = pool.beside().join("programs");
    fs::create_dir(&own).unwrap();
    let told = pool.beside().join("told");
    let told = told.display();
    let script = format!(
        "#!/bin/sh\nPATH=${{PATH#*:}}\nif {when}; then {first} >{told} 2>&1; cat {told} >&2; fi\nexec {program} \"$@\"\n"
    );
    fs::write(own.join(program), script).unwrap();
    fs::set_permissions(own.join(program), fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = pool.netbe().plain();
    let path = format!("{}:{}", own.display(), "/usr/sbin:/usr/bin:/sbin:/bin");
    command.env("PATH", path).args(line.split_whitespace());
    command.output().unwrap().into()
}

#[test]
fn a_disk_that_was_written_since_it_was_looked_at_is_not_formatted() {
    let pool = with_nog();
    pool.netbe().ok("create ordo/x");
    let disk = Disk::new(pool.beside());
    let mut other = pool.netbe().plain();
    other.args(["deploy", "ordo"]).arg(disk.device());
    let words = std::iter::once(other.get_program()).chain(other.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    let said = run_with(
        &pool,
        &format!("deploy nog {}", disk.show()),
        "unshare",
        "[ \"$7\" = format ]",
        &words.join(" "),
    );
    assert_eq!(said.status, 3, "{said:#?}");
    assert!(
        said.stderr.contains("another deploy has written it"),
        "{said:#?}"
    );
    assert!(pool.boot_text("nog/a").contains("nfsroot="));
    disk.with(true, |at| assert!(on_disk(at, "x").join("etc").is_dir()));
    pool.assert_sound();
}

#[test]
fn a_kernel_that_came_while_the_root_was_sent_is_not_led_to_it() {
    let pool = with_nog();
    let disk = Disk::formatted(pool.beside());
    let boot = pool.half("nog/a", "boot");
    let said = run_with(
        &pool,
        &format!("deploy nog {}", disk.show()),
        "btrfs",
        "[ \"$2\" = receive ]",
        &format!("touch {}/vmlinuz-6.1.0-51-amd64", boot.display()),
    );
    assert_eq!(said.status, 3, "{said:#?}");
    assert!(
        said.stderr.contains("changed while its root was sent"),
        "{said:#?}"
    );
    assert!(pool.boot_text("nog/a").contains("nfsroot="));
    // With what is there now.
    pool.netbe().ok(&format!("deploy nog {}", disk.show()));
    assert!(
        pool.boot_text("nog/a")
            .contains("rootflags=subvol=netbe/a-")
    );
}

#[test]
fn a_disk_that_was_formatted_since_gets_no_root_of_another() {
    for filesystem in ["btrfs", "ext4"] {
        let pool = with_nog();
        let disk = Disk::new(pool.beside());
        // It has a partition by then, and the same one: only the filesystem is another.
        let verb = ["receive", "unpack"][usize::from(filesystem == "ext4")];
        let said = run_with(
            &pool,
            &format!("deploy nog {} --filesystem {filesystem}", disk.show()),
            "unshare",
            &format!("[ \"$7\" = {verb} ]"),
            &format!(
                "mkfs.{filesystem} -q $([ {filesystem} = ext4 ] && echo -F || echo -f) {}p1",
                disk.show()
            ),
        );
        assert_eq!(said.status, 3, "{said:#?}");
        assert!(
            said.stderr.contains("another deploy has formatted"),
            "{said:#?}"
        );
        assert!(pool.boot_text("nog/a").contains("nfsroot="));
        pool.netbe().ok("check --repair");
        pool.assert_sound();
    }
}

#[test]
fn invariant_11_a_disk_that_another_deploy_writes_is_waited_for() {
    let pool = with_nog();
    pool.netbe().ok("create ordo/x");
    let disk = Disk::formatted(pool.beside());
    let other = pool.netbe().plain();
    let netbe = other.get_program().to_string_lossy().into_owned();
    let line = |wait: u32| format!("deploy ordo {} --wait {wait}", disk.show());
    // While the disk is locked by the script, which has called this program.
    let clock = "$(cut -d. -f1 /proc/uptime)";
    let tried = format!(
        "since={clock}; {netbe} {}; echo status $?; echo took $(({clock} - since)) s",
        line(1)
    );
    let said = run_with(
        &pool,
        &format!("deploy nog {}", disk.show()),
        "btrfs",
        "[ \"$2\" = receive ]",
        &format!("({tried})"),
    );
    assert_eq!(said.status, 0, "{said:#?}");
    let told = fs::read_to_string(pool.beside().join("told")).unwrap();
    assert!(told.contains("status 5"), "{told}");
    assert!(
        told.contains("is being written by another netbe (pid "),
        "{told}"
    );
    assert!(told.contains(&format!(", {netbe} deploy nog ")), "{told}");
    assert!(told.contains("; waited 1 s; --wait"), "{told}");
    let took = told
        .split("took ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    let took: u64 = took.unwrap().parse().unwrap();
    assert!((1..30).contains(&took), "{told}");
    // It is free again.
    pool.netbe().ok(&line(0));
}

#[test]
fn invariant_11_while_a_root_is_on_its_way_to_a_disk_its_node_formats_none() {
    // What one writes, at which step of it, and what another is refused before the first has the lock of the disk.
    let (plain, formats) = ("", "--filesystem ext4 --yes");
    for (one, step, other) in [(plain, "receive", formats), (formats, "format", plain)] {
        let pool = with_nog();
        pool.netbe().ok("create nog/b");
        let disk = Disk::formatted(pool.beside());
        let deploy = |env: &str, how: &str| format!("deploy {env} {} {how}", disk.show());
        let refused = deploy("nog/b", other).trim_end().to_string();
        let said = run_with(
            &pool,
            &deploy("nog/a", one),
            "unshare",
            &format!("[ \"$7\" = {step} ]"),
            &tries(&pool, &[&refused]),
        );
        assert_eq!(said.status, 0, "{said:#?}");
        assert_ended(&pool, 5, &[&refused]);
        let told = fs::read_to_string(pool.beside().join("told")).unwrap();
        assert!(told.contains("works on a disk of nog"), "{told}");
        assert!(!pool.boot_text("nog/a").contains("nfsroot="));
        pool.assert_sound();
    }
}

/// Returns a script that runs these command lines of netbe, none of which waits, and tells how each ended.
pub(crate) fn tries(pool: &Pool, lines: &[&str]) -> String {
    let other = pool.netbe().plain();
    let netbe = other.get_program().to_string_lossy().into_owned();
    let tried = |line: &&str| format!("{netbe} {line} --wait 0 </dev/null; echo \"$? {line}\"; ");
    format!("({})", lines.iter().map(tried).collect::<String>())
}

/// Fails unless these command lines ended with a status, each as [`tries`] told.
pub(crate) fn assert_ended(pool: &Pool, status: i32, lines: &[&str]) {
    let told = fs::read_to_string(pool.beside().join("told")).unwrap();
    for line in lines {
        assert!(told.contains(&format!("\n{status} {line}\n")), "{told}");
    }
}

/// A disk beside another one.
fn second_disk(pool: &Pool) -> Disk {
    let beside = pool.beside().join("more");
    fs::create_dir(&beside).unwrap();
    Disk::formatted(&beside)
}

#[test]
fn while_a_root_is_sent_its_environment_stays_and_its_node_goes_on() {
    let pool = with_nog();
    pool.netbe().ok("create nog/b");
    pool.netbe().ok("create nog/d");
    let (disk, second) = (Disk::formatted(pool.beside()), second_disk(&pool));
    let elsewhere = format!("deploy nog/b {}", second.show());
    let refused = ["destroy -y nog/b", "rename nog/b x", &elsewhere];
    // Of an own failure, apart from the program's.
    let run = "run nog/b -- true";
    let go_on = ["create nog/e", "activate nog/d", "create ordo --from nog/b"];
    let said = run_with(
        &pool,
        &format!("deploy nog/b {}", disk.show()),
        "btrfs",
        "[ \"$2\" = receive ]",
        &tries(&pool, &[&refused[..], &[run], &go_on[..]].concat()),
    );
    assert_eq!(said.status, 0, "{said:#?}");
    assert_ended(&pool, 5, &refused);
    assert_ended(&pool, 125, &[run]);
    assert_ended(&pool, 0, &go_on);
    let told = fs::read_to_string(pool.beside().join("told")).unwrap();
    assert!(
        told.contains("another netbe deploy writes the root of nog/b to a disk"),
        "{told}"
    );
    disk.with(false, |at| assert!(on_disk(at, "b").join("etc").is_dir()));
    pool.assert_sound();
    // Afterwards it is as before.
    pool.netbe().ok(&elsewhere);
}

#[test]
fn invariant_14_a_root_that_goes_for_room_is_not_deployed_again_meanwhile() {
    let pool = with_nog();
    let (disk, second) = (Disk::formatted(pool.beside()), second_disk(&pool));
    for name in ["a", "b", "c"] {
        if name != "a" {
            pool.netbe().ok(&format!("create nog/{name} --from base"));
        }
        fill(&pool, &format!("nog/{name}"), 60);
    }
    pool.netbe().ok("create nog/d --from base -a");
    pool.netbe().ok(&format!("deploy nog/a {}", disk.show()));
    pool.netbe().ok(&format!("deploy nog/b {}", disk.show()));
    pool.netbe().ok(&format!("deploy nog/a {}", second.show()));
    pool.netbe().ok("set mac= nog");
    let back = format!("deploy nog/a {}", disk.show());
    let refused = ["destroy -y nog/c", "rename nog x", &back];
    let go_on = ["create nog/e", "activate nog/e"];
    // Before the script has the disk's lock, which another deploy would wait for.
    let said = run_with(
        &pool,
        &format!("deploy nog/c {}", disk.show()),
        "unshare",
        "[ \"$7\" = remove ]",
        &tries(&pool, &[&refused[..], &go_on[..]].concat()),
    );
    assert_eq!(said.status, 0, "{said:#?}");
    assert!(
        said.stderr.contains("was removed from its disk"),
        "{said:#?}"
    );
    assert_ended(&pool, 5, &refused);
    assert_ended(&pool, 0, &go_on);
    pool.assert_sound();
}

#[test]
fn a_root_that_would_not_boot_by_then_is_not_led_to() {
    let pool = with_nog();
    let disk = Disk::formatted(pool.beside());
    let modules = pool.half("nog/a", "root").join("usr/lib/modules");
    let said = run_with(
        &pool,
        &format!("deploy nog {}", disk.show()),
        "btrfs",
        "[ \"$2\" = receive ]",
        &format!("rm -r {}", modules.display()),
    );
    assert_eq!(said.status, 3, "{said:#?}");
    assert!(said.stderr.contains("nog/a would not boot: "), "{said:#?}");
    assert!(pool.boot_text("nog/a").contains("nfsroot="));
    assert!(!pool.netbe().ok("status nog").contains("a on "));
}

#[test]
fn an_environment_that_was_deployed_while_the_disk_was_looked_at_is_read_again() {
    let pool = with_nog();
    let (disk, second) = (Disk::formatted(pool.beside()), second_disk(&pool));
    let first = format!("deploy nog {}", disk.show());
    let said = run_with(
        &pool,
        &format!("deploy nog {}", second.show()),
        "unshare",
        "[ \"$7\" = look ]",
        &tries(&pool, &[&first]),
    );
    assert_eq!(said.status, 3, "{said:#?}");
    let told = "nog/a was deployed meanwhile";
    assert!(said.stderr.contains(told), "{said:#?}");
    second.with(false, |at| assert!(!at.join("netbe").exists()));
    disk.with(false, |at| assert!(on_disk(at, "a").join("etc").is_dir()));
    pool.assert_sound();
}
