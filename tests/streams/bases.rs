//! The base that a stream leaves on both sides: where it goes along, when it is another one, and when it goes.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{Pool, output, run};
use crate::{tree, two};

fn has_base(pool: &Pool, environment: &str) -> bool {
    pool.base(environment).exists()
}

#[test]
fn the_base_stays_the_same_until_the_environment_changes() {
    let (here, there) = two();
    here.sends("nog/a", &there, "nog/a");
    let first = here.base_id("nog/a");
    // To a third one: who was since the first can be so still.
    here.sends("nog/a", &there, "other/a");
    here.netbe().ok("describe nog/a words-are-no-change");
    here.netbe().ok("export nog/a -o /dev/null");
    assert_eq!(here.base_id("nog/a"), first);
    fs::write(here.half("nog/a", "root").join("srv/x"), "x").unwrap();
    here.sends("nog/a --since nog/a", &there, "nog/a2");
    let second = here.base_id("nog/a");
    assert_ne!(second, first);
    assert_eq!(there.base_id("nog/a2"), second);
    assert_eq!(there.base_id("nog/a"), first);
    // The boot half counts too.
    fs::write(here.half("nog/a", "boot").join("x"), "x").unwrap();
    here.sends("nog/a --since nog/a", &there, "nog/a3");
    assert_ne!(here.base_id("nog/a"), second);
    assert!(there.half("nog/a3", "boot").join("x").exists());
    // What came and was made to name itself here is not what was sent; passed on it is a new one.
    there.netbe().ok("export nog/a3 -o /dev/null");
    assert_ne!(there.base_id("nog/a3"), here.base_id("nog/a"));
    here.assert_sound();
    there.assert_sound();
}

#[test]
fn files_just_written_are_sent() {
    let (here, there) = two();
    let file = here.half("nog/a", "root").join("srv/v");
    fs::write(&file, "one").unwrap();
    here.sends("nog/a", &there, "nog/one");
    for (number, options) in [" --since nog/a", "", " --since nog/a", ""]
        .iter()
        .enumerate()
    {
        // Nothing of the base waits in memory any more; what is written now does.
        run(&mut Command::new("sync"));
        let content = format!("{number}");
        fs::write(&file, &content).unwrap();
        let name = format!("nog/b{number}");
        here.sends(&format!("nog/a{options}"), &there, &name);
        let arrived = there.half(&name, "root").join("srv/v");
        assert_eq!(fs::read_to_string(arrived).unwrap(), content, "{options}");
    }
}

#[test]
fn a_base_is_renamed_and_destroyed_with_its_environment() {
    let (here, there) = two();
    here.sends("nog/a", &there, "nog/a");
    let id = here.base_id("nog/a");
    here.netbe().ok("rename nog/a first");
    here.netbe().ok("rename nog gon");
    assert_eq!(here.base_id("gon/first"), id);
    here.netbe().ok("create gon/b");
    assert!(!has_base(&here, "gon/b"), "it is not that of a copy");
    fs::write(here.half("gon/b", "root").join("srv/x"), "x").unwrap();
    let output = here.sends("gon/b --since gon/first", &there, "nog/b");
    assert!(output.stdout.starts_with("Imported nog/b"), "{output:?}");
    there.netbe().ok("rename nog/a renamed");
    let changes = here.exported("gon/b --since gon/first");
    there
        .netbe()
        .ok(&format!("import nog/c {}", changes.display()));
    there.netbe().ok("activate nog/c");
    there.netbe().ok("destroy -y nog/renamed");
    let output = there
        .netbe()
        .fails(3, &format!("import nog/d {}", changes.display()));
    assert!(
        output.contains("no environment of nog has that"),
        "{output}"
    );
    there.netbe().ok("destroy -y nog/b");
    there.netbe().ok("destroy -r -y nog");
    assert_eq!(there.subvolumes(), [] as [&str; 0]);
    here.netbe().ok("destroy -r -y gon");
    here.assert_sound();
    there.assert_sound();
}

#[test]
fn no_base_leaves_an_existing_base_unchanged() {
    let (here, there) = two();
    let before = here.skeleton();
    here.sends("nog/a --no-base", &there, "nog/a");
    assert_eq!(here.skeleton(), before);
    here.netbe().ok("export nog/a -o /dev/null");
    let id = here.base_id("nog/a");
    fs::write(here.half("nog/a", "root").join("srv/x"), "x").unwrap();
    here.netbe().ok("export nog/a --no-base -o /dev/null");
    assert_eq!(here.base_id("nog/a"), id);
    // One that was given up by hand is in nobody's way.
    run(Command::new("btrfs")
        .args(["-q", "subvolume", "delete"])
        .args(["root", "boot"].map(|half| here.base("nog/a").join(half))));
    let output = here
        .netbe()
        .fails(3, "export nog/a --since nog/a -o /dev/null");
    assert!(output.contains("cannot be used"), "{output}");
    here.netbe().ok("rename nog/a b");
    here.assert_sound();
    here.netbe().ok("export nog/b -o /dev/null");
    here.netbe().ok("export nog/b --since nog/b -o /dev/null");
}

#[test]
fn a_base_of_another_node_needs_the_option_base() {
    let (here, _) = two();
    here.netbe().ok("create ordo/a --from base");
    fs::write(here.half("ordo/a", "root").join("root/secret"), "of ordo").unwrap();
    here.netbe().ok("export ordo/a -o /dev/null");
    here.netbe().ok("clone ordo/a ordo/b");
    let changes = here.exported("ordo/b --since ordo/a");
    let whole = here.exported("ordo/b --no-base");
    let before = here.skeleton();
    // All that this takes is the identity of ordo's base: to who made the stream nothing of ordo belongs.
    for target in ["mallory", "nog/x"] {
        for line in ["import", "import -n"] {
            let output = here
                .netbe()
                .fails(3, &format!("{line} {target} {}", changes.display()));
            let node = target.split('/').next().unwrap();
            assert!(
                output.contains(&format!("no environment of {node} has that")),
                "{output}"
            );
            assert!(output.contains("--base NODE"), "{output}");
        }
        let line = format!("import --base nog {target} {}", changes.display());
        here.netbe().fails(3, &line);
        let line = format!("import --base ordo {target} {}", whole.display());
        here.netbe().fails(2, &line);
    }
    assert_eq!(here.skeleton(), before);
    let line = format!("import --base ordo nog/x {}", changes.display());
    here.netbe().ok(&line);
    let secret = here.half("nog/x", "root").join("root/secret");
    assert_eq!(fs::read_to_string(secret).unwrap(), "of ordo");
    here.netbe()
        .ok(&format!("import ordo/c {}", changes.display()));
    here.assert_sound();
}

#[test]
fn only_root_can_read_the_identity_of_a_base() {
    let (here, there) = two();
    here.sends("nog/a", &there, "nog/a");
    for pool in [&here, &there] {
        let dir = pool.base("nog/a");
        let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&dir), mode(&dir.join("base.json"))), (0o700, 0o600));
        // Anybody can ask the kernel for what a subvolume is called, and what it was made from.
        let shown = output(
            Command::new("btrfs")
                .args(["subvolume", "list", "-u", "-q", "-R", "-a"])
                .arg(pool.path()),
        );
        let shown = String::from_utf8(shown).unwrap();
        assert!(!shown.contains(&pool.base_id("nog/a")), "{shown}");
    }
}

/// Ends the writer whatever comes of the test.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_running_environment_can_be_sent() {
    let (here, there) = two();
    here.saw_boot("nog", "a");
    let root = here.half("nog/a", "root");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _stop = Stop(&stop);
        scope.spawn(|| {
            // A node that goes on writing: in pairs, so that a torn state could be told.
            for i in 0_u64.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let mut file = File::create(root.join("srv/.new")).unwrap();
                file.write_all(format!("{i}\n").repeat(5000).as_bytes())
                    .unwrap();
                // What is not on disk when a snapshot is taken need not be in it.
                file.sync_all().unwrap();
                fs::rename(root.join("srv/.new"), root.join("srv/log")).unwrap();
            }
        });
        here.sends("nog/a", &there, "nog/a");
        for i in 0..5 {
            here.sends("nog/a --since nog/a", &there, &format!("nog/x{i}"));
            tree::assert_same(
                &tree::read(&here.base("nog/a").join("root")),
                &tree::read(&there.base(&format!("nog/x{i}")).join("root")),
            );
        }
    });
    let text = fs::read_to_string(there.half("nog/x4", "root").join("srv/log")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() == 5000 && lines.iter().all(|l| l == &lines[0]));
    there.assert_sound();
}

#[test]
fn subvolumes_inside_go_along_as_directories() {
    let (here, there) = two();
    let nested = here.half("nog/a", "root").join("srv/nested");
    run(Command::new("btrfs")
        .args(["-q", "subvolume", "create"])
        .arg(&nested));
    fs::write(nested.join("inside"), "one").unwrap();
    here.sends_with_notes("nog/a", &there, "nog/a");
    let arrived = there.half("nog/a", "root").join("srv/nested/inside");
    assert_eq!(fs::read_to_string(arrived).unwrap(), "one");
    // What changes only in there is a change.
    fs::write(nested.join("inside"), "two").unwrap();
    here.sends_with_notes("nog/a --since nog/a", &there, "nog/b");
    let arrived = there.half("nog/b", "root").join("srv/nested/inside");
    assert_eq!(fs::read_to_string(arrived).unwrap(), "two");
    there.assert_sound();
}

#[test]
fn attributes_that_a_stream_does_not_carry_are_named() {
    let (here, there) = two();
    let root = here.half("nog/a", "root");
    let chattr = |flag: &str, path: &str| {
        run(Command::new("chattr").arg(flag).arg(root.join(path)));
    };
    fs::create_dir(root.join("srv/data")).unwrap();
    chattr("+C", "srv/data");
    fs::write(root.join("srv/data/file"), "x").unwrap();
    fs::write(root.join("srv/kept"), "x").unwrap();
    chattr("+i", "srv/kept");
    let stream = here.at("stream");
    let export = format!("export nog/a -o {}", stream.display());
    for _ in ["first", "unchanged"] {
        let output = here.netbe().run(&export);
        assert_eq!(output.status, 0, "{output:#?}");
        let told = "3 files have attributes of chattr(1), which a stream does not carry: srv/data (+C), srv/data/file (+C), \
                    srv/kept (+i)\n";
        assert!(output.stderr.contains(told), "{output:#?}");
        fs::remove_file(&stream).unwrap();
    }
    chattr("-i", "srv/kept");
    fs::remove_dir_all(root.join("srv/data")).unwrap();
    here.sends("nog/a", &there, "nog/a");
}

impl Pool {
    fn sends_with_notes(&self, export: &str, to: &Pool, import: &str) {
        let mut sender = self
            .netbe()
            .spawn(&format!("export {export}"), Stdio::null());
        let stream = sender.stdout.take().unwrap();
        let receiver = to.netbe().spawn(&format!("import {import}"), stream.into());
        assert!(receiver.wait_with_output().unwrap().status.success());
        let sent = sender.wait_with_output().unwrap();
        let output = String::from_utf8_lossy(&sent.stderr).into_owned();
        assert!(
            sent.status.success() && output.contains("is a nested subvolume of nog/a"),
            "{output}"
        );
    }
}
