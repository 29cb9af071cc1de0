//! `list --space`: in which shapes it says it, how it sorts by it, and who may not ask.

use std::fs;
use std::process::Command;

use serde_json::Value;

use super::given::{MIB, Two, listed_sizes, noise};
use super::support::Pool;

#[test]
fn space_is_in_every_form_of_the_list() {
    let two = Two::new();
    fs::write(two.path("nog/b", "new"), noise(5 * MIB as usize)).unwrap();
    let table = two.pool.netbe().ok("list --space nog");
    let lines: Vec<Vec<&str>> = table
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    assert_eq!(lines[0][4..], ["CREATED", "UNIQUE", "REFERENCED"]);
    assert!(lines[2].windows(2).any(|w| w == ["5.0", "MiB"]), "{table}");
    let (unique, referenced) = listed_sizes(&two.pool, "nog/b");
    let document: Value =
        serde_json::from_str(&two.pool.netbe().ok("list --json --space nog/b")).unwrap();
    let space = &document["environments"][0]["space"];
    assert_eq!(space["unique"], unique);
    assert_eq!(space["referenced"], referenced);
    // Without being asked for nothing is looked at.
    assert_eq!(
        two.pool.netbe().ok("list -H nog/b").split('\t').nth(5),
        Some("-")
    );
    let tree = two.pool.netbe().ok("list --space --tree");
    assert!(
        tree.contains("UNIQUE") && tree.contains("5.0 MiB"),
        "{tree}"
    );
}

#[test]
fn sorting_by_unique_shows_the_column() {
    let two = Two::new();
    two.pool.netbe().ok("create nog/c");
    for (env, size) in [("nog/b", 1), ("nog/c", 3), ("nog/a", 2)] {
        fs::write(two.path(env, "new"), noise(size * MIB as usize)).unwrap();
    }
    let names = |line: &str| -> Vec<String> {
        let text = two.pool.netbe().ok(line);
        text.lines()
            .map(|l| l.split('\t').nth(1).unwrap().to_string())
            .collect()
    };
    assert_eq!(names("list -H nog -s unique"), ["b", "a", "c"]);
    assert_eq!(names("list -H nog -S unique"), ["c", "a", "b"]);
    assert!(two.pool.netbe().ok("list nog -S unique").contains("UNIQUE"));
}

#[test]
fn without_cap_sys_admin_list_space_fails_and_list_works() {
    let pool = Pool::with_node();
    let alone = |arguments: &[&str]| {
        let mut command = pool.netbe().plain();
        let program = command.get_program().to_owned();
        command = Command::new("setpriv");
        command.args(["--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]);
        command
            .arg(program)
            .arg("--pool")
            .arg(pool.path())
            .args(arguments);
        command.output().unwrap()
    };
    let refused = alone(&["list", "--space"]);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{text}");
    assert!(
        text.contains("needs CAP_SYS_ADMIN") && text.contains("hint: "),
        "{text}"
    );
    assert_eq!(refused.stdout, b"");
    assert!(alone(&["list"]).status.success());
    // What destroy would do it says all the same.
    pool.netbe().ok("create nog/b");
    let planned = alone(&["destroy", "-n", "nog/b"]);
    assert_eq!(planned.stdout, b"would destroy nog/b\n");
    assert!(
        String::from_utf8_lossy(&planned.stderr).contains("warning: cannot measure how much space")
    );
}
