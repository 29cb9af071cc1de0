//! `mount` and `umount`: looking in from the server.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::support::{Pool, System, mounts};

/// Mounts an environment, and returns where.
fn mount(pool: &Pool, line: &str) -> PathBuf {
    PathBuf::from(pool.netbe().ok(&format!("mount {line}")).trim_end())
}

#[test]
fn root_is_mounted_with_boot_in_its_place() {
    for (system, place) in [
        (System::debian(), "boot"),
        (System::raspberry_pi(), "boot/firmware"),
    ] {
        let pool = Pool::with_template_of(&system);
        pool.netbe().ok("create nog/a");
        pool.netbe().ok("create nog/b");
        let at = mount(&pool, "nog/b");
        assert_eq!(at, Path::new("/run/netbe/mnt/nog-b"));
        assert_eq!(
            fs::read_to_string(at.join("etc/hostname")).unwrap(),
            "nog\n"
        );
        let names = |dir: &Path| {
            let mut names: Vec<_> = fs::read_dir(dir)
                .unwrap()
                .map(|e| e.unwrap().file_name())
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(&at.join(place)), names(&pool.half("nog/b", "boot")));
        fs::write(at.join("etc/motd"), "b").unwrap();
        fs::write(at.join(place).join("mark"), "b").unwrap();
        assert!(pool.half("nog/b", "root").join("etc/motd").exists());
        assert!(pool.half("nog/b", "boot").join("mark").exists());
        assert_eq!(mount(&pool, "nog/b"), at);
        assert_eq!(pool.netbe().ok("umount nog/b"), "Unmounted nog/b.\n");
        assert!(!at.exists());
        let output = pool.netbe().fails(4, "umount nog/b");
        assert!(output.contains("nog/b is not mounted"), "{output}");
    }
}

#[test]
fn a_directory_of_ones_own_is_taken_and_kept() {
    let pool = Pool::with_node();
    let own = pool.beside().join("mnt");
    fs::create_dir(&own).unwrap();
    let line = format!("base/stock {}", own.display());
    assert_eq!(mount(&pool, &line), own);
    assert!(own.join("etc/hostname").exists());
    pool.netbe().ok(&format!("unmount {}", own.display()));
    assert!(own.exists() && !own.join("etc").exists());
    let output = pool.netbe().fails(1, "mount base/stock /nowhere/at/all");
    assert!(output.contains("/nowhere/at/all"), "{output}");
    let output = pool.netbe().fails(1, "umount /nowhere/at/all");
    assert!(output.contains("/nowhere/at/all"), "{output}");
    pool.refuses(4, "umount /", &["/ is not mounted"]);
}

#[test]
fn invariant_4_active_and_maybe_running_environments_are_mounted_read_only() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b");
    let read_only = |line: &str, why: &str| {
        let output = pool.netbe().run(&format!("mount {line}"));
        assert_eq!(output.status, 0, "{output:#?}");
        assert!(output.stderr.contains(why), "{output:#?}");
        let at = PathBuf::from(output.stdout.trim_end());
        for path in ["etc/motd", "boot/mark"] {
            let error = fs::write(at.join(path), "x").unwrap_err();
            assert_eq!(
                error.kind(),
                std::io::ErrorKind::ReadOnlyFilesystem,
                "{line}"
            );
        }
        pool.netbe().ok(&format!("umount {line}"));
    };
    read_only("nog/a", "nog may be running it");
    pool.saw_boot("nog", "a");
    read_only("nog/a", "nog runs it");
    pool.netbe().ok("activate nog/b");
    pool.saw_boot("nog", "b");
    pool.netbe().ok("create ordo/x");
    read_only("ordo/x", "it is the active environment of ordo");
    // What nobody runs can be written.
    let at = mount(&pool, "nog/a");
    fs::write(at.join("etc/motd"), "x").unwrap();
    pool.netbe().ok("umount nog/a");
}

#[test]
fn invariant_4_no_command_writes_into_active_or_running_environments() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create nog/b -a");
    let halves = || {
        ["nog/a", "nog/b"]
            .iter()
            .flat_map(|e| ["root", "boot"].map(|h| pool.half(e, h)))
            .map(|path| crate::support::Fingerprint::of(&path))
            .collect::<Vec<_>>()
    };
    let before = halves();
    for line in [
        "create nog/c",
        "create ordo --from nog",
        "set cmdline=quiet nog",
        "set server=192.0.2.77",
        "set ip=192.0.2.5/24 nog",
        "set mac=02:00:00:00:00:07 nog",
        "publish",
        "activate nog/b",
        "rollback nog",
        "rollback nog",
        "pin nog/a",
        "describe nog/a x",
        "check --repair",
        "mount nog/a",
        "umount nog/a",
        "destroy -y nog/a",
        "rename nog/a d",
        "run nog/a -- touch /x",
        "run nog/b -- touch /x",
    ] {
        pool.netbe().run(line);
        assert_eq!(halves(), before, "{line}");
    }
}

#[test]
fn a_mount_in_use_is_not_unmounted() {
    let pool = Pool::with_node();
    let at = mount(&pool, "base/stock");
    let open = fs::File::open(at.join("etc/hostname")).unwrap();
    let output = pool.netbe().fails(1, "umount base/stock");
    assert!(
        output.contains("is in use") && output.contains("hint: fuser"),
        "{output}"
    );
    drop(open);
    pool.netbe().ok("umount base/stock");
}

#[test]
fn invariant_5_the_boot_half_is_not_mounted_outside() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    let root = pool.half("nog/b", "root");
    let outside = pool.beside().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::remove_dir_all(root.join("boot")).unwrap();
    symlink(&outside, root.join("boot")).unwrap();
    let output = pool.netbe().run("mount nog/b");
    assert_ne!(output.status, 0, "{output:#?}");
    assert!(output.stderr.contains("nog/b"), "{output:#?}");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    let mut mounts = mounts().into_iter();
    assert_eq!(mounts.find(|mount| mount.contains("/run/netbe/mnt")), None);
}

#[test]
fn missing_environments_are_not_found_and_a_dry_run_does_not_mount() {
    let pool = Pool::with_node();
    pool.refuses(4, "mount nog/zz", &["no environment nog/zz"]);
    pool.refuses(4, "umount nog/zz", &["no environment nog/zz"]);
    let plan = pool.plans("mount nog/a");
    assert!(plan.contains("/run/netbe/mnt/nog-a"), "{plan}");
    assert!(!Path::new("/run/netbe/mnt/nog-a").exists());
    let at = mount(&pool, "nog");
    assert!(
        pool.plans("umount nog/a")
            .contains("would unmount /run/netbe/mnt/nog-a\n")
    );
    assert!(at.join("etc").exists());
}
