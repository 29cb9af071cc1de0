//! Systems without package lists.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::debian;

#[test]
fn without_package_lists_the_hint_fetches_them() {
    let pool = debian();
    let netbe = pool.netbe();
    let apt = pool.half("nog/first", "root").join("usr/bin/apt-get");
    fs::write(
        &apt,
        "#!/bin/sh\necho E: Unable to locate package >&2; exit 100\n",
    )
    .unwrap();
    fs::set_permissions(&apt, fs::Permissions::from_mode(0o755)).unwrap();
    let install = ["upgrade", "nog/first", "--", "apt-get", "install", "-y"];
    let output = netbe.run_with(&[&install[..], &["a b"]].concat());
    assert_eq!(output.status, 1, "{output:#?}");
    let line = r"sh -c 'apt-get update && apt-get install -y '\''a b'\'''";
    for text in [
        "upgrading nog/first, without package lists: nothing was kept: apt-get ",
        "\n  all of it: /",
        &format!("\nhint: netbe upgrade nog/first -- {line}\n"),
    ] {
        assert!(output.stderr.contains(text), "{text}\n{output:#?}");
    }
    let lists = pool.half("nog/first", "root").join("var/lib/apt/lists");
    fs::create_dir_all(&lists).unwrap();
    fs::write(lists.join("mirror_Packages"), "").unwrap();
    let output = netbe.run_with(&[&install[..], &["vim"]].concat());
    assert!(output.stderr.contains("\nhint: less "), "{output:#?}");
}
