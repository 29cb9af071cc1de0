//! `rename`: everything that named the old names the new.

use std::fs;

use crate::support::{MAC, Pool, SERVER, System, TFTP_NAME, output};

/// Shows that an environment names itself and nothing names another.
fn names_itself(pool: &Pool, environment: &str) {
    let root = pool.half(environment, "root");
    let text = pool.boot_text(environment);
    let own = format!("{SERVER}:{}", root.display());
    assert!(text.contains(&own), "{environment}: {text}");
    let fstab = fs::read_to_string(root.join("etc/fstab")).unwrap();
    let own = format!("{SERVER}:{} ", pool.half(environment, "boot").display());
    assert!(fstab.contains(&own), "{environment}: {fstab}");
    for line in fstab.lines().filter(|l| l.starts_with(SERVER)) {
        assert!(line.starts_with(&own), "{environment}: {fstab}");
    }
}

#[test]
fn an_environment_is_renamed_in_all_that_names_it() {
    for system in [System::debian(), System::raspberry_pi()] {
        let pool = Pool::with_template_of(&system);
        pool.netbe().ok("create nog/a");
        pool.netbe().ok("create nog/b -d kept");
        pool.netbe().ok("pin nog/b");
        fs::write(pool.half("nog/b", "root").join("mark"), "b").unwrap();
        let uuid = |env: &str| {
            let text = pool.netbe().ok(&format!("list --json {env}"));
            let document: serde_json::Value = serde_json::from_str(&text).unwrap();
            document["environments"][0]["uuid"].clone()
        };
        let before = uuid("nog/b");
        assert_eq!(
            pool.netbe().ok("rename nog/b c"),
            "Renamed nog/b to nog/c.\n"
        );
        assert_eq!(pool.names("nog"), ["a", "c"]);
        assert_eq!(uuid("nog/c"), before);
        assert!(pool.half("nog/c", "root").join("mark").exists());
        assert!(pool.netbe().ok("list -H nog/c").ends_with("\tkept\n"));
        assert_eq!(pool.flags("nog/c"), "P");
        names_itself(&pool, "nog/c");
        assert_eq!(pool.subvolumes().len(), 6, "{:?}", pool.subvolumes());
        pool.assert_sound();
    }
}

#[test]
fn the_active_one_is_renamed_with_its_pointer() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    pool.netbe().ok("rename nog/a first");
    assert_eq!(pool.active("nog"), "first");
    assert_eq!(pool.names("nog"), ["b", "first"]);
    names_itself(&pool, "nog/first");
    pool.assert_sound();
}

#[test]
fn a_renamed_environment_is_what_rollback_goes_back_to() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b -a");
    pool.netbe().ok("rename nog/a old");
    pool.netbe().ok("rollback nog");
    assert_eq!(pool.active("nog"), "old");
    pool.netbe().ok("rename nog/old older");
    pool.netbe().ok("rollback nog");
    assert_eq!(pool.active("nog"), "b");
}

#[test]
fn what_runs_or_may_run_is_not_renamed() {
    let pool = Pool::with_served_node();
    pool.refuses(3, "rename nog/a b", &["nog may be running nog/a", "hint: "]);
    pool.refuses(3, "rename nog ordo", &["nog may be running nog/a"]);
    pool.saw_boot("nog", "a");
    pool.refuses(3, "rename nog/a b", &["nog runs nog/a"]);
    pool.refuses(3, "rename nog ordo", &["nog runs nog/a"]);
    pool.netbe().ok("create nog/c");
    pool.netbe().ok("rename nog/c d");
    assert_eq!(pool.names("nog"), ["a", "d"]);
    pool.assert_sound();
}

#[test]
fn mounted_or_in_use_is_not_renamed() {
    let pool = Pool::with_node();
    let at = pool.netbe().ok("mount nog/a");
    pool.refuses(3, "rename nog/a b", &["nog/a is in use", at.trim()]);
    pool.refuses(3, "rename nog ordo", &["nog/a is in use"]);
    pool.netbe().ok("umount nog/a");
    let open = fs::File::open(pool.half("nog/a", "boot")).unwrap();
    pool.refuses(3, "rename nog/a b", &["nog/a is in use"]);
    drop(open);
    pool.netbe().ok("rename nog/a b");
}

#[test]
fn an_existing_name_is_not_taken() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    pool.netbe().ok("create ordo/x");
    pool.refuses(3, "rename nog/a b", &["nog/b already exists", "hint: "]);
    pool.refuses(3, "rename nog/a a", &["nog/a already exists"]);
    pool.refuses(3, "rename nog ordo", &["ordo already exists"]);
    pool.refuses(3, "rename nog nog", &["nog already exists"]);
    pool.refuses(4, "rename nog/zz c", &["no environment nog/zz"]);
    pool.refuses(4, "rename werda c", &["no node werda"]);
    pool.refuses(
        2,
        "rename nog/a ordo/b",
        &["\"ordo/b\" is not an environment name"],
    );
    pool.refuses(2, "rename nog Nog", &["\"Nog\" is not a node name"]);
}

#[test]
fn a_pending_one_is_not_renamed() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    pool.write("nodes/nog/pending.json", r#"{"env":"b","kind":"once"}"#);
    pool.refuses(3, "rename nog/b c", &["nog/b is to be booted once"]);
    pool.refuses(3, "rename nog ordo", &["nog/b is to be booted once"]);
    pool.netbe().ok("rename nog/a c");
}

#[test]
fn a_damaged_one_is_not_renamed() {
    let pool = Pool::with_node();
    fs::remove_file(pool.at("nodes/nog/envs/a/env.json")).unwrap();
    pool.refuses(
        3,
        "rename nog/a b",
        &["nog/a is damaged", "hint: netbe check nog"],
    );
}

fn env_uuid(pool: &Pool, env: &str) -> String {
    let text = pool.netbe().ok(&format!("list --json {env}"));
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    document["environments"][0]["uuid"].as_str().unwrap().into()
}

/// Renames, and returns the warnings.
fn warnings_of(pool: &Pool, line: &str) -> String {
    let said = pool.netbe().run(line);
    assert_eq!(said.status, 0, "{said:#?}");
    let lines = said.stderr.lines();
    let warnings = lines.filter(|line| line.starts_with("warning: "));
    warnings.map(|line| format!("{line}\n")).collect()
}

#[test]
fn what_would_not_boot_under_its_new_name_is_told() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    assert_eq!(warnings_of(&pool, "rename nog/b c"), "");
    fs::remove_dir_all(pool.half("nog/c", "root").join("usr/lib/modules")).unwrap();
    let warned = warnings_of(&pool, "rename nog/c d");
    assert!(
        warned.starts_with("warning: it would not boot: "),
        "{warned}"
    );
    let said = pool.netbe().run("rename nog ordo").stderr;
    // Nothing of what creating them had noted of the same system.
    assert!(!said.contains("note: "), "{said}");
    let warned = &said[said.find("warning: ").unwrap()..];
    assert!(
        warned.starts_with("warning: ordo/d: it would not boot: "),
        "{warned}"
    );
    assert_eq!(warned.matches("would not boot").count(), 1, "{warned}");
    // What boots next is not made at all.
    fs::remove_dir_all(pool.half("ordo/a", "root").join("usr/lib/modules")).unwrap();
    pool.refuses(3, "rename ordo/a e", &["ordo/e would not boot"]);
    pool.refuses(3, "rename ordo werda", &["werda/a would not boot"]);
}

#[test]
fn an_interrupted_rename_tells_it_when_it_is_repeated() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    fs::remove_dir_all(pool.half("nog/b", "root").join("usr/lib/modules")).unwrap();
    pool.netbe().ok("clone nog/b nog/c");
    let uuid = env_uuid(&pool, "nog/b");
    // As a rename leaves it that was interrupted after its copy was published.
    pool.change_record("nog/c", |record| {
        record["uuid"] = uuid.into();
        record["replaces"] = "b".into();
    });
    let warned = warnings_of(&pool, "rename nog/b c");
    assert!(warned.contains("it would not boot: "), "{warned}");
    assert_eq!(pool.names("nog"), ["a", "c"]);
}

#[test]
fn a_node_is_renamed_with_all_it_has() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b -d second");
    pool.netbe().ok("set cmdline=quiet nog");
    let machine_id = fs::read(pool.half("nog/a", "root").join("etc/machine-id")).unwrap();
    let key = fs::read(
        pool.half("nog/a", "root")
            .join("etc/ssh/ssh_host_ed25519_key"),
    )
    .unwrap();
    assert_eq!(pool.netbe().ok("rename nog ordo"), "Renamed nog to ordo.\n");
    assert!(!pool.at("nodes/nog").exists());
    assert_eq!(pool.names("ordo"), ["a", "b"]);
    assert_eq!(pool.active("ordo"), "a");
    let root = pool.half("ordo/a", "root");
    assert_eq!(
        fs::read_to_string(root.join("etc/hostname")).unwrap(),
        "ordo\n"
    );
    let hosts = fs::read_to_string(root.join("etc/hosts")).unwrap();
    assert!(hosts.contains("127.0.1.1\tordo\n"), "{hosts}");
    assert!(!hosts.contains("nog"), "{hosts}");
    // It stays the machine it was.
    assert_eq!(fs::read(root.join("etc/machine-id")).unwrap(), machine_id);
    assert_eq!(
        fs::read(root.join("etc/ssh/ssh_host_ed25519_key")).unwrap(),
        key
    );
    for env in ["ordo/a", "ordo/b"] {
        names_itself(&pool, env);
    }
    assert!(
        pool.netbe()
            .ok("get -H cmdline ordo")
            .contains("\tquiet\tlocal")
    );
    assert!(pool.netbe().ok("list -H ordo/b").ends_with("\tsecond\n"));
    assert_eq!(pool.subvolumes().len(), 6, "{:?}", pool.subvolumes());
    pool.assert_sound();
}

#[test]
fn a_node_that_was_off_the_network_is_served_under_its_new_name() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("set mac= nog");
    pool.netbe().ok("rename nog ordo");
    pool.netbe().ok(&format!("set mac={MAC} ordo"));
    let link = fs::read_link(pool.at(&format!("tftp/{TFTP_NAME}"))).unwrap();
    assert_eq!(link.to_str(), Some("../nodes/ordo/active/boot"));
    let exports = pool.read("publish/exports");
    assert!(exports.contains("/nodes/ordo/envs/a/root\""), "{exports}");
    assert!(!exports.contains("/nodes/nog/"), "{exports}");
    pool.refuses(3, "destroy -y -r ordo", &["ordo may be running ordo/a"]);
    pool.assert_sound();
}

#[test]
fn a_template_is_renamed() {
    let pool = Pool::with_node();
    pool.netbe().ok("rename base debian");
    pool.netbe().ok("rename debian/stock v1");
    assert_eq!(pool.active("debian"), "v1");
    assert_eq!(
        pool.netbe().ok("create ordo/x"),
        "Created ordo/x from debian/v1, active.\n"
    );
    let tree = pool.netbe().ok("list --tree");
    let lines: Vec<&str> = tree.lines().collect();
    assert!(lines[1].starts_with("debian/v1 "), "{tree}");
    assert!(lines[2].starts_with("├─ nog/a "), "{tree}");
    pool.assert_sound();
}

#[test]
fn invariant_9_a_node_made_later_under_the_old_name_is_not_taken_for_it() {
    let pool = Pool::with_template_of(&System::debian());
    pool.netbe().ok("create ordo/a");
    pool.netbe().ok("rename ordo werda");
    pool.netbe().ok("create ordo/b");
    fs::write(pool.half("ordo/b", "root").join("mark"), "kept").unwrap();
    // As a rename leaves it that was interrupted after all but its last step.
    let record = pool.path().join("nodes/werda/node.json");
    let text = fs::read_to_string(&record).unwrap();
    fs::write(&record, text.replacen('{', "{\"replaces\": \"ordo\",", 1)).unwrap();
    let said = pool.netbe().run("rename ordo werda");
    assert_eq!(said.status, 3, "{said:#?}");
    assert!(said.stderr.contains("werda already exists"), "{said:#?}");
    let mark = pool.half("ordo/b", "root").join("mark");
    assert_eq!(fs::read_to_string(mark).unwrap(), "kept");
}

#[test]
fn a_dry_run_changes_nothing() {
    let pool = Pool::with_node();
    assert!(pool.plans("rename nog/a b").contains("destroy nog/a"));
    assert!(pool.plans("rename nog ordo").contains("destroy nog"));
}

#[test]
fn invariant_8_a_path_and_an_fsid_are_not_given_to_other_content() {
    let pool = Pool::with_served_node();
    let uuid_of_a = pool.subvolume_uuid("nodes/nog/envs/a/root");
    pool.netbe().ok("create nog/b -a");
    let uuid_of_b = pool.subvolume_uuid("nodes/nog/envs/b/root");
    assert_ne!(uuid_of_a, uuid_of_b);
    // The path of what may run is given to nothing else while it may.
    pool.refuses(3, "rename nog/a old", &["may be running"]);
    pool.refuses(3, "create nog/a", &["already exists"]);
    pool.saw_boot("nog", "b");
    pool.netbe().ok("destroy -y nog/a");
    pool.netbe().ok("create nog/a -a");
    assert_ne!(pool.subvolume_uuid("nodes/nog/envs/a/root"), uuid_of_a);
    let exports = pool.read("publish/exports");
    assert!(!exports.contains(&uuid_of_a), "{exports}");
    let fsids: Vec<_> = exports
        .split("fsid=")
        .skip(1)
        .map(|rest| rest.split(')').next().unwrap())
        .collect();
    let mut different = fsids.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), fsids.len(), "{exports}");
    let shown = output(std::process::Command::new("exportfs").arg("-s"));
    assert!(String::from_utf8_lossy(&shown).contains("/envs/a/root"));
}
