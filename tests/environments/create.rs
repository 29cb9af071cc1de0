//! `create`: its results and refusals, with those of `clone` that are the same.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use netbe::pool::PoolLock;

use crate::support::{MAC, Pool, SERVER, System};

#[test]
fn a_new_node_is_made_from_the_only_template_and_is_active_at_once() {
    let pool = Pool::with_template();
    let output = pool.netbe().run("create nog/first");
    assert_eq!(output.status, 0, "{output:#?}");
    assert_eq!(
        output.stdout,
        "Created nog/first from base/stock, active.\n"
    );
    assert!(
        output.stderr.contains("netbe set mac=MAC nog"),
        "{}",
        output.stderr
    );
    assert_eq!(pool.active("nog"), "first");
    pool.assert_sound();
}

#[test]
fn create_copies_the_active_environment_which_stays_active() {
    let pool = Pool::with_node();
    fs::write(pool.half("nog/a", "root").join("mark"), "a").unwrap();
    assert_eq!(
        pool.netbe().ok("create nog/b"),
        "Created nog/b from nog/a.\n"
    );
    assert_eq!(pool.active("nog"), "a");
    assert_eq!(
        fs::read(pool.half("nog/b", "root").join("mark")).unwrap(),
        b"a"
    );
    assert_eq!(
        pool.netbe().ok("create nog/c -a"),
        "Created nog/c from nog/a, active.\n"
    );
    assert_eq!(pool.active("nog"), "c");
    pool.assert_sound();
}

#[test]
fn from_names_the_source_by_node_or_by_environment() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    fs::write(pool.half("nog/b", "root").join("mark"), "b").unwrap();
    pool.netbe().ok("create nog/c --from nog/b");
    pool.netbe().ok("create nog/d --from nog");
    pool.netbe().ok("create ordo/x --from nog/b");
    assert!(pool.half("nog/c", "root").join("mark").exists());
    assert!(!pool.half("nog/d", "root").join("mark").exists());
    assert!(pool.half("ordo/x", "root").join("mark").exists());
    assert_eq!(pool.active("ordo"), "x");
    assert_eq!(pool.active("nog"), "a");
}

#[test]
fn invariant_1_an_environment_is_whole_and_names_itself() {
    for system in [System::debian(), System::raspberry_pi()] {
        let pool = Pool::with_template_of(&system);
        pool.netbe().ok("create nog/a");
        pool.netbe().ok("create nog/b -d second");
        for name in ["base/stock", "nog/a", "nog/b"] {
            let (root, boot) = (pool.half(name, "root"), pool.half(name, "boot"));
            for half in [&root, &boot] {
                assert_eq!(half.metadata().unwrap().ino(), 256, "{}", half.display());
            }
            let own = format!("{SERVER}:{}", root.display());
            let text = pool.boot_text(name);
            assert_eq!(text.matches(&own).count(), 1, "{name}: {text}");
            assert_eq!(text.matches("nfsroot=").count(), 1, "{name}: {text}");
            let fstab = fs::read_to_string(root.join("etc/fstab")).unwrap();
            let own = format!("{SERVER}:{} ", boot.display());
            let lines: Vec<_> = fstab.lines().filter(|l| l.starts_with(&own)).collect();
            assert_eq!(lines.len(), 1, "{name}: {fstab}");
            assert!(lines[0].contains(" nfs "), "{name}: {fstab}");
            let record = fs::read_to_string(root.parent().unwrap().join("env.json")).unwrap();
            let (node, env) = name.split_once('/').unwrap();
            let uuid = pool.subvolume_uuid(&format!("nodes/{node}/envs/{env}/root"));
            assert!(record.contains(&uuid), "{name}: {record}");
        }
        assert_eq!(pool.subvolumes().len(), 6, "{:?}", pool.subvolumes());
        pool.assert_sound();
    }
}

#[test]
fn later_writes_to_a_copy_stay_out_of_its_origin() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    fs::write(pool.half("nog/b", "root").join("etc/motd"), "b\n").unwrap();
    fs::write(pool.half("nog/b", "boot").join("mark"), "b\n").unwrap();
    assert!(!pool.half("nog/a", "root").join("etc/motd").exists());
    assert!(!pool.half("nog/a", "boot").join("mark").exists());
}

#[test]
fn a_new_node_gets_its_properties() {
    let pool = Pool::with_template();
    let netbe = pool.netbe();
    netbe.ok(
        "create nog/a --mac DC-A6-32-01-02-03 --mac dca6.3201.0204 --serial 100000009FFEFDEF --ip 192.0.2.5/24,192.0.2.254",
    );
    let get = |key: &str| {
        let line = netbe.ok(&format!("get -H {key} nog"));
        let fields: Vec<_> = line.trim_end().split('\t').map(str::to_string).collect();
        (fields[2].clone(), fields[3].clone())
    };
    let local = |value: &str| (value.to_string(), "local".to_string());
    assert_eq!(get("mac"), local("dc:a6:32:01:02:03,dc:a6:32:01:02:04"));
    assert_eq!(get("serial"), local("9ffefdef"));
    assert_eq!(get("ip"), local("192.0.2.5/24,192.0.2.254"));
    assert!(
        pool.boot_text("nog/a").contains("ip=192.0.2.5:"),
        "{}",
        pool.boot_text("nog/a")
    );
}

#[test]
fn a_refused_create_changes_nothing() {
    let pool = Pool::with_node();
    let table: &[(i32, &str, &[&str])] = &[
        (3, "create nog/a", &["nog/a already exists", "hint: "]),
        (3, "create nog/a -n", &["nog/a already exists"]),
        (3, "clone nog/a nog/a", &["nog/a already exists"]),
        (4, "create nog/b --from ordo", &["no node ordo", "hint: "]),
        (
            4,
            "create nog/b --from nog/zz",
            &["no environment nog/zz", "hint: netbe list nog"],
        ),
        (4, "clone nog/zz nog/b", &["no environment nog/zz"]),
        (
            4,
            "clone nog ordo/b",
            &["no node ordo", "hint: netbe create ordo/b --from nog"],
        ),
        (
            2,
            "create nog/b --mac dc:a6:32:01:02:03",
            &[
                "nog already exists",
                "hint: netbe set mac=dc:a6:32:01:02:03 nog",
            ],
        ),
        (2, "create ordo --mac nonsense", &["mac=nonsense"]),
        (2, "create ordo --serial 12", &["serial=12"]),
        (2, "create ordo --ip 10.0.0.5", &["ip=10.0.0.5"]),
    ];
    for (status, line, words) in table {
        pool.refuses(*status, line, words);
    }
    let output = pool.netbe().run("clone nog ordo");
    assert_eq!(output.status, 2, "{output:#?}");
    assert!(output.stderr.contains("expected NODE/ENV"), "{output:#?}");
}

#[test]
fn without_one_template_create_fails_with_a_hint() {
    let pool = Pool::new();
    pool.refuses(
        3,
        "create nog",
        &["no template", "hint: netbe import --help"],
    );
    pool.import("base/stock", &System::debian());
    pool.import("pi/stock", &System::raspberry_pi());
    pool.refuses(
        3,
        "create nog/x",
        &["base, pi", "hint: netbe create nog/x --from base"],
    );
    pool.netbe().ok("create nog --from pi");
}

#[test]
fn a_dry_run_prints_the_steps() {
    let pool = Pool::with_node();
    assert_eq!(
        pool.plans("create ordo/x"),
        "would make node ordo\nwould snapshot both halves of base/stock as ordo/x\n\
         would give ordo/x an identity of its own\nwould write the boot files and fstab of ordo/x\n\
         would activate ordo/x\n"
    );
    assert_eq!(
        pool.plans("create nog/b"),
        "would snapshot both halves of nog/a as nog/b\nwould write the boot files and fstab of nog/b\n"
    );
    assert!(
        pool.plans("clone nog/a nog/b -a")
            .ends_with("would activate nog/b\n")
    );
}

#[test]
fn a_description_is_kept_as_it_is() {
    let pool = Pool::with_node();
    let output = pool
        .netbe()
        .run_with(&["create", "nog/b", "-d", "as it was: 'ä' \"q\" <x>"]);
    assert_eq!(output.status, 0, "{output:#?}");
    assert!(
        pool.netbe()
            .ok("list -H nog/b")
            .ends_with("\tas it was: 'ä' \"q\" <x>\n")
    );
}

#[test]
fn an_environment_that_cannot_be_activated_is_not_made() {
    let pool = Pool::with_served_node();
    fs::remove_dir_all(pool.half("nog/a", "root").join("usr/lib/modules")).unwrap();
    pool.refuses(
        3,
        "create nog/b -a",
        &["nog/b would not boot", "hint: ", "modules"],
    );
    // Without -a nothing leads a machine to it.
    pool.netbe().ok("create nog/b");
    assert_eq!(pool.names("nog"), ["a", "b"]);
}

#[test]
fn a_damaged_source_is_refused() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    fs::remove_file(pool.at("nodes/nog/envs/b/env.json")).unwrap();
    pool.refuses(
        3,
        "create nog/c --from nog/b",
        &["nog/b is damaged", "hint: netbe check nog"],
    );
}

#[test]
fn a_second_node_with_the_same_mac_is_refused() {
    let pool = Pool::with_served_node();
    pool.refuses(
        3,
        &format!("create ordo --mac {}", MAC.to_uppercase()),
        &["nog already has mac dc:a6:32:01:02:03", "hint: "],
    );
}

#[test]
fn after_an_interrupted_create_the_hint_activates_its_environment() {
    let pool = Pool::with_node();
    // As it is where it is killed between making and activating.
    pool.netbe().ok("create nog/b");
    pool.refuses(
        3,
        "create nog/b -a",
        &["nog/b already exists", "hint: ", "netbe activate nog/b\n"],
    );
    pool.refuses(3, "create nog/b", &["hint: netbe list nog"]);
    pool.refuses(3, "clone nog nog/b -a", &["netbe activate nog/b"]);
    pool.netbe().ok("activate nog/b");
    pool.refuses(3, "create nog/b -a", &["hint: netbe list nog"]);
}

#[test]
fn a_failed_activation_has_the_hint_to_activate() {
    let pool = Pool::with_node();
    let held = PoolLock::take(&pool.state(), Duration::ZERO).unwrap();
    let output = pool.netbe().fails(5, "create nog/b -a --wait 0");
    for words in [
        "error: created nog/b; activating it: the pool is being changed by another netbe",
        "\nhint: netbe activate nog/b\n",
    ] {
        assert!(output.contains(words), "{words}\n{output}");
    }
    drop(held);
    assert_eq!(pool.active("nog"), "a");
    pool.netbe().ok("activate nog/b");
    pool.assert_sound();
}

#[test]
fn a_refusal_names_the_command_that_repairs_the_source() {
    let pool = Pool::with_template();
    let modules = pool.half("base/stock", "root").join("usr/lib/modules");
    let version = fs::read_dir(&modules).unwrap().next().unwrap().unwrap();
    fs::remove_file(version.path().join("modules.dep")).unwrap();
    for line in ["create nog/a", "create nog/a -n"] {
        let output = pool.netbe().fails(3, line);
        assert!(output.contains("nog/a would not boot: "), "{output}");
        assert!(
            output.contains(": netbe run base/stock -- depmod "),
            "{output}"
        );
    }
}
