//! Names: what is accepted, and what stands under a name already.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::Pool;

/// What no name may be, wherever it comes from.
const BAD: &[&str] = &[
    "",
    " ",
    "a b",
    "a:b",
    "..",
    ".",
    "-a",
    "a\nb",
    "a\tb",
    "ä",
    "a\u{202e}b",
    "a,b",
    "a@b",
    "a%b",
    "a*",
    "a\\b",
    "a\"b",
    "a'b",
    "$(id)",
    "a;b",
    "a#b",
    ".staged-x",
    ".trash-x",
    "_a",
    "+a",
];

fn too_long() -> String {
    "x".repeat(300)
}

/// Runs a command line that must be a usage error and say something.
fn is_usage(pool: &Pool, arguments: &[&str]) {
    let output = pool.netbe().run_with(arguments);
    assert_eq!(output.status, 2, "{arguments:?}\n{output:#?}");
    assert!(
        output.stderr.contains("error: "),
        "{arguments:?}\n{output:#?}"
    );
}

#[test]
fn invariant_12_no_operand_takes_a_bad_environment_name() {
    let pool = Pool::with_node();
    let before = pool.fingerprint();
    let long = too_long();
    for bad in BAD.iter().copied().chain([long.as_str()]) {
        let operand = format!("nog/{bad}");
        for arguments in [
            &["create", &operand][..],
            &["clone", "nog/a", &operand],
            &["clone", &operand, "nog/b"],
            &["create", "nog/b", "--from", &operand],
            &["destroy", "-y", &operand],
            &["activate", &operand],
            &["pin", &operand],
            &["describe", &operand, "x"],
            &["rename", "nog/a", bad],
            &["rename", &operand, "b"],
            &["mount", &operand],
            &["list", &operand],
            &["import", &operand, "/nowhere"],
            &["upgrade", &operand],
            &["run", &operand, "--", "true"],
        ] {
            // A name with a leading dash is an option to the parser first: usage as well.
            is_usage(&pool, arguments);
        }
        is_usage(&pool, &["upgrade", "--node", "nog", "--name", bad]);
    }
    before.assert_unchanged(&pool.fingerprint());
}

#[test]
fn invariant_12_no_operand_takes_a_bad_node_name() {
    let pool = Pool::with_node();
    let before = pool.fingerprint();
    let long = "x".repeat(64);
    for bad in BAD
        .iter()
        .copied()
        .chain(["Nog", "n.og", "n_og", "nog-", "n+g", long.as_str()])
    {
        let operand = format!("{bad}/b");
        for arguments in [
            &["create", &operand][..],
            &["clone", "nog/a", &operand],
            &["create", "ordo", "--from", bad],
            &["rename", "nog", bad],
            &["check", bad],
            &["import", bad, "/nowhere"],
        ] {
            is_usage(&pool, arguments);
        }
        for arguments in [
            &["create", bad][..],
            &["activate", bad],
            &["rollback", bad],
            &["destroy", "-y", "-r", bad],
            &["status", bad],
            &["get", "all", bad],
            &["set", "keep=1", bad],
            &["upgrade", "--node", bad],
        ] {
            match bad {
                // A pattern, which nothing matches here.
                "a*" => assert_eq!(pool.netbe().run_with(arguments).status, 4, "{arguments:?}"),
                _ => is_usage(&pool, arguments),
            }
        }
    }
    before.assert_unchanged(&pool.fingerprint());
}

#[test]
fn names_match_exactly() {
    let pool = Pool::with_node();
    let netbe = pool.netbe();
    for name in ["a.b", "axb", "1234", "A", "x-1+2_3"] {
        netbe.ok(&format!("create nog/{name}"));
    }
    pool.refuses(4, "destroy -y nog/a.", &["no environment nog/a."]);
    netbe.ok("destroy -y nog/a.b");
    assert_eq!(pool.names("nog"), ["1234", "A", "a", "axb", "x-1+2_3"]);
    netbe.ok("activate nog/A");
    assert_eq!(pool.active("nog"), "A");
    assert_eq!(pool.flags("nog/a"), "-");
}

#[test]
fn directories_without_a_valid_name_are_left_out_and_found_by_check() {
    let pool = Pool::with_node();
    for name in ["a b", "-x", ".hidden", "ä"] {
        fs::create_dir(pool.at(&format!("nodes/nog/envs/{name}"))).unwrap();
    }
    fs::create_dir(pool.at("nodes/NOG")).unwrap();
    assert_eq!(pool.names("nog"), ["a"]);
    let found = pool.netbe().run("check");
    assert_eq!(found.status, 1, "{found:#?}");
    for name in ["envs/a b", "envs/-x", "envs/.hidden", "nodes/NOG"] {
        assert!(found.stdout.contains(name), "{name}: {}", found.stdout);
    }
    // Nobody knows what it is, so repair leaves it.
    pool.netbe().run("check --repair");
    assert!(pool.at("nodes/nog/envs/a b").exists());
    assert!(pool.at("nodes/NOG").exists());
}

#[test]
fn hostile_values_in_node_json_have_no_effect() {
    let pool = Pool::with_node();
    pool.write(
        "nodes/nog/node.json",
        r#"{"version":1,"properties":{"mac":"../../etc/passwd","serial":"/x","cmdline":"init=/bin/sh\nroot=/dev/sda"}}"#,
    );
    let before = pool.fingerprint().without(&["nodes", "STATE"]);
    for line in ["list", "status", "get", "check", "publish"] {
        let output = pool.netbe().run(line);
        assert!(output.status <= 1, "{line}: {output:#?}");
        assert!(!output.stderr.contains("panicked"), "{line}: {output:#?}");
    }
    let links: Vec<_> = fs::read_dir(pool.at("tftp")).unwrap().collect();
    assert!(links.is_empty(), "{links:?}");
    before.assert_unchanged(&pool.fingerprint().without(&["nodes", "STATE"]));
    let made = pool.netbe().run("create nog/b");
    if made.status == 0 {
        assert!(!pool.boot_text("nog/b").contains("root=/dev/sda"));
    }
}

#[test]
fn existing_files_under_a_new_name_are_neither_entered_nor_replaced() {
    let pool = Pool::with_node();
    fs::create_dir(pool.at("nodes/ordo")).unwrap();
    fs::write(pool.at("nodes/werda"), "").unwrap();
    pool.subvolume("nodes/third");
    for name in ["ordo", "werda", "third"] {
        pool.refuses(3, &format!("rename nog {name}"), &["already exists"]);
        let before = pool.fingerprint();
        let output = pool.netbe().run(&format!("create {name}/a"));
        assert_ne!(output.status, 0, "{output:#?}");
        before.assert_unchanged(&pool.fingerprint());
    }
    let envs = pool.at("nodes/nog/envs");
    fs::create_dir(envs.join("dir")).unwrap();
    fs::write(envs.join("file"), "mine").unwrap();
    symlink("/nowhere/at/all", envs.join("dangling")).unwrap();
    symlink("/", envs.join("link")).unwrap();
    pool.subvolume("nodes/nog/envs/subvolume");
    for name in ["dir", "file", "dangling", "link", "subvolume"] {
        for line in [
            format!("create nog/{name}"),
            format!("clone base/stock nog/{name}"),
            format!("rename nog/a {name}"),
        ] {
            pool.refuses(3, &line, &[&format!("nog/{name} already exists")]);
        }
    }
}

#[test]
fn names_made_of_the_time_are_distinct() {
    let pool = Pool::with_node();
    let lines = vec!["create nog".to_string(); 3];
    for ended in pool.at_once(&lines) {
        assert_eq!(ended.status, 0, "{ended:#?}");
    }
    let names = pool.names("nog");
    assert_eq!(names.len(), 4, "{names:?}");
    for name in names.iter().filter(|n| *n != "a") {
        let stem: String = name.chars().take(16).collect();
        let digits = stem.bytes().filter(u8::is_ascii_digit).count();
        assert_eq!(digits, 14, "{name}");
        assert_eq!((&stem[8..9], &stem[15..]), ("T", "Z"), "{name}");
        assert!(matches!(&name[16..], "" | "-2" | "-3"), "{name}");
    }
    pool.assert_sound();
}
