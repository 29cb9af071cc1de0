//! A long list: it learns of all subvolumes by one search, and tells of each environment what it tells of it alone.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::Value;

use crate::support::{Pool, System, run};

/// More than this many environments are read by a search of the filesystem.
const FEW: usize = 32;

type Listed = BTreeMap<String, Value>;

fn listed(pool: &Pool, operands: &[String]) -> Listed {
    let operands: Vec<&str> = operands.iter().map(String::as_str).collect();
    let output = pool
        .netbe()
        .run_with(&[&["list", "--json"], &operands[..]].concat());
    let document: Value = serde_json::from_str(&output.stdout).unwrap();
    let environments = document["environments"].as_array().unwrap().iter();
    let name = |env: &Value| {
        format!(
            "{}/{}",
            env["node"].as_str().unwrap(),
            env["name"].as_str().unwrap()
        )
    };
    environments.map(|env| (name(env), env.clone())).collect()
}

fn read_only(pool: &Pool, env: &str, half: &str) {
    run(Command::new("btrfs")
        .args(["property", "set"])
        .arg(pool.half(env, half))
        .args(["ro", "true"]));
}

/// Puts something else where an environment's record is.
fn in_place_of_record(pool: &Pool, env: &str, put: impl FnOnce(&std::path::Path)) {
    let record = pool.half(env, "env.json");
    fs::remove_file(&record).unwrap();
    put(&record);
}

#[test]
fn a_long_list_has_the_same_rows_as_each_environment_alone() {
    let pool = Pool::with_template_of(&System::raspberry_pi());
    pool.netbe().ok("create nog/e0 --serial 9ffefdef");
    for number in 1..=FEW + 8 {
        pool.netbe().ok(&format!("create nog/e{number}"));
    }
    read_only(&pool, "nog/e1", "root");
    read_only(&pool, "nog/e2", "boot");
    // Of another one, with that one's code.
    fs::copy(
        pool.half("nog/e4", "env.json"),
        pool.half("nog/e3", "env.json"),
    )
    .unwrap();
    in_place_of_record(&pool, "nog/e5", |at| fs::create_dir(at).unwrap());
    in_place_of_record(&pool, "nog/e6", |at| symlink("../e4/env.json", at).unwrap());
    in_place_of_record(&pool, "nog/e7", |at| run(Command::new("mkfifo").arg(at)));
    in_place_of_record(&pool, "nog/e8", |at| {
        run(Command::new("mknod").arg(at).args(["c", "1", "5"]));
    });
    in_place_of_record(&pool, "nog/e9", |_| {});
    in_place_of_record(&pool, "nog/e10", |at| {
        fs::write(at, "{\"version\": 9}").unwrap();
    });
    // As another program writes it: the same content, in another order.
    let text = fs::read_to_string(pool.half("nog/e11", "env.json")).unwrap();
    let record: BTreeMap<String, Value> = serde_json::from_str(&text).unwrap();
    let members: Vec<String> = record
        .iter()
        .rev()
        .map(|(k, v)| format!("\"{k}\": {v}"))
        .collect();
    fs::write(
        pool.half("nog/e11", "env.json"),
        format!("{{{}}}", members.join(",")),
    )
    .unwrap();
    pool.change_record("nog/e12", |record| {
        record["description"] = "x".repeat(9000).into();
    });
    fs::write(
        pool.half("nog/e13", "env.json"),
        text.replace("\"pinned\": false", "\"pinned\": true"),
    )
    .unwrap();
    run(Command::new("btrfs")
        .args(["-q", "subvolume", "delete"])
        .arg(pool.half("nog/e14", "boot")));
    fs::rename(pool.half("nog/e15", "root"), pool.half("nog/e15", "moved")).unwrap();
    symlink("moved", pool.half("nog/e15", "root")).unwrap();
    fs::write(
        pool.half("nog/e16", "boot").join("config.txt"),
        "kernel=none.img\n",
    )
    .unwrap();

    // A mount of this server over one of them.
    let [over, under] = ["nog/e17", "nog/e18"].map(|name| pool.half(name, ""));
    run(Command::new("mount").arg("--bind").args([&over, &under]));

    let together = listed(&pool, &[]);
    assert_eq!(together.len(), FEW + 10);
    for (name, env) in &together {
        assert_eq!(
            &listed(&pool, std::slice::from_ref(name))[name],
            env,
            "{name}"
        );
    }
    let problems = |number: usize| together[&format!("nog/e{number}")]["problems"].to_string();
    for (number, words) in [
        (1, "its root half is a read-only subvolume"),
        (2, "its boot half is a read-only subvolume"),
        (3, "its code does not match its content"),
        (5, "Is a directory"),
        (6, "symbolic link"),
        (7, "No such device"),
        (8, "No such device"),
        (9, "it does not exist"),
        (10, "of a newer netbe"),
        (13, "its code does not match its content"),
        (14, "its boot half is missing"),
        (15, "its root half is missing"),
    ] {
        assert!(
            problems(number).contains(words),
            "{number}: {}",
            problems(number)
        );
    }
    for number in [0, 4, 11, 12, 16] {
        assert_eq!(problems(number), "[]", "{number}");
    }
    assert_eq!(together["nog/e16"]["kernel"], Value::Null);
}

#[test]
fn without_the_right_to_search_it_is_the_same() {
    let pool = Pool::with_template_of(&System::raspberry_pi());
    for number in 0..=FEW {
        pool.netbe().ok(&format!(
            "create nog/e{number} {}",
            if number == 0 { "--serial 9ffefdef" } else { "" }
        ));
    }
    read_only(&pool, "nog/e1", "boot");
    let netbe = pool.netbe().plain();
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"]);
    command.arg(netbe.get_program()).args(["list", "--json"]);
    command.envs(
        netbe
            .get_envs()
            .filter_map(|(key, value)| Some((key, value?))),
    );
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let without: Value = serde_json::from_slice(&output.stdout).unwrap();
    let with: Value = serde_json::from_str(&pool.netbe().ok("list --json")).unwrap();
    assert!(without == with, "{without:#}\n{with:#}");
}
