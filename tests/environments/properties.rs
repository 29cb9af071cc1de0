//! `set` and `get`.

use serde_json::Value;

use crate::support::{Pool, SERVER};

/// Returns value and source of a property of `nog`.
fn get(pool: &Pool, property: &str) -> (String, String) {
    let line = pool.netbe().ok(&format!("get -H {property} nog"));
    let fields: Vec<_> = line.trim_end().split('\t').collect();
    assert_eq!(fields.len(), 4, "{line}");
    assert_eq!(&fields[..2], ["nog", property]);
    (fields[2].to_string(), fields[3].to_string())
}

fn pair(value: &str, source: &str) -> (String, String) {
    (value.to_string(), source.to_string())
}

#[test]
fn a_value_comes_from_the_node_the_pool_or_the_default() {
    let pool = Pool::with_node();
    assert_eq!(get(&pool, "cmdline"), pair("-", "default"));
    pool.netbe().ok("set cmdline=quiet");
    assert_eq!(get(&pool, "cmdline"), pair("quiet", "pool"));
    let output = pool.netbe().run_with(&["set", "cmdline=a b=c", "nog"]);
    assert_eq!(output.status, 0, "{output:#?}");
    assert_eq!(get(&pool, "cmdline"), pair("a b=c", "local"));
    pool.netbe().ok("set cmdline= nog");
    assert_eq!(get(&pool, "cmdline"), pair("quiet", "pool"));
    pool.netbe().ok("set cmdline=");
    assert_eq!(get(&pool, "cmdline"), pair("-", "default"));
    assert_eq!(get(&pool, "server"), pair(SERVER, "pool"));
    assert_eq!(get(&pool, "ip"), pair("dhcp", "default"));
    assert_eq!(get(&pool, "root"), pair("nfs", "default"));
}

#[test]
fn get_prints_a_table_fields_or_a_document() {
    let pool = Pool::with_node();
    let table = pool.netbe().ok("get");
    let head: Vec<_> = table.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(head, ["NODE", "PROPERTY", "VALUE", "SOURCE"]);
    assert_eq!(pool.netbe().ok("get all"), table);
    let rows = pool.netbe().ok("get -H");
    assert!(rows.lines().all(|l| l.split('\t').count() == 4), "{rows}");
    assert!(
        rows.starts_with(&format!("-\tserver\t{SERVER}\tpool\n")),
        "{rows}"
    );
    // The pool has no MAC address.
    assert!(!rows.contains("-\tmac\t"), "{rows}");
    let document: Value = serde_json::from_str(&pool.netbe().ok("get --json server nog")).unwrap();
    assert_eq!(document["version"], 1);
    assert_eq!(document["properties"][0]["node"], "nog");
    assert_eq!(document["properties"][0]["property"], "server");
    assert_eq!(document["properties"][0]["value"], SERVER);
    assert_eq!(document["properties"][0]["source"], "pool");
    assert_eq!(pool.netbe().run("get -H --json").status, 2);
}

#[test]
fn get_prints_effective_defaults() {
    let pool = Pool::with_node();
    let release = pool.half("nog/a", "root").join("etc/os-release");
    std::fs::write(release, "ID=debian\n").unwrap();
    let value = |name: &str| {
        let output = pool.netbe().ok(&format!("get -H {name} nog"));
        let fields: Vec<String> = output.trim_end().split('\t').map(str::to_string).collect();
        fields[2..].join(" ")
    };
    assert_eq!(value("loader"), "pxelinux default");
    assert_eq!(value("nfs.version"), "3 default");
    assert_eq!(value("upgrade.command"), "apt-get dist-upgrade default");
    pool.netbe().ok("set nfs.version=4.2 nog");
    assert_eq!(value("nfs.version"), "4.2 local");
    // Whatever has a default that is a value is printed with it.
    for property in netbe::pool::properties::ALL
        .iter()
        .filter(|p| p.is_of_nodes())
    {
        let is_value = property.choices.contains(&property.default);
        assert!(
            !is_value || value(property.name) == format!("{} default", property.default),
            "{}",
            property.name
        );
    }
    assert_eq!(value("access"), "rw default");
    assert_eq!(value("cmdline"), "- default");
}

#[test]
fn values_of_a_node_with_a_lost_record_are_not_printed() {
    let pool = Pool::with_node();
    pool.netbe().ok("create ordo/a");
    pool.netbe().ok("set ip=192.0.2.50/24 nog");
    std::fs::write(pool.of_node("nog", "node.json"), "{").unwrap();
    // Among others it is a warning, as in `list`.
    for (line, status, start) in [("get ip", 0, "warning"), ("get ip nog ordo", 3, "error")] {
        let output = pool.netbe().run(line);
        assert_eq!(output.status, status, "{output:#?}");
        assert!(output.stdout.contains("ordo"), "{output:#?}");
        assert!(!output.stdout.contains("nog"), "{output:#?}");
        let words = format!("{start}: nog: node.json cannot be used");
        assert!(output.stderr.contains(&words), "{output:#?}");
    }
    let hint = pool.netbe().fails(3, "get ip nog");
    assert!(hint.contains("--take-over"), "{hint}");
    assert!(pool.netbe().ok("status nog").contains("address  -\n"));
}

#[test]
fn invalid_values_are_refused_and_change_nothing() {
    let pool = Pool::with_node();
    let table: &[(i32, &str, &[&str])] = &[
        (
            2,
            "set colour=blue",
            &["no property \"colour\"", "there are server, mac"],
        ),
        (2, "get colour", &["no property \"colour\""]),
        (
            2,
            "set mac=dc:a6:32:01:02:03",
            &["mac is set on a node", "hint: netbe status"],
        ),
        (2, "set nog", &["nothing to set", "hint: "]),
        (2, "set quiet cmdline=x nog", &["not PROPERTY=VALUE"]),
        (2, "set cmdline=x N_g", &["\"N_g\" is not a node name"]),
        (4, "set cmdline=x ordo", &["no node ordo"]),
        (4, "get all ordo", &["no node ordo"]),
        (
            2,
            "set server=0.0.0.0",
            &["server=0.0.0.0", "not an address of one"],
        ),
        (2, "set server=example.org", &["server=example.org"]),
        (2, "set ip=300.0.0.1/24 nog", &["ip=300.0.0.1/24"]),
        (2, "set ip=192.0.2.1 nog", &["ip=192.0.2.1"]),
        (2, "set serial=xyz nog", &["serial=xyz"]),
        (2, "set loader=grub", &["loader=grub"]),
        (2, "set root=/dev/sda1 nog", &["root=/dev/sda1"]),
        (2, "set nfs.version=2", &["nfs.version=2"]),
        (2, "set nfs.options=vers=3", &["netbe sets vers"]),
        (2, "set cmdline=root=/dev/sda nog", &["netbe sets root="]),
        (
            2,
            "set cmdline=nfsroot=1.2.3.4:/x nog",
            &["netbe sets nfsroot="],
        ),
        // One bad one of several, and none is set.
        (2, "set cmdline=quiet colour=blue nog", &["colour"]),
    ];
    for (status, line, words) in table {
        pool.refuses(*status, line, words);
    }
}

#[test]
fn a_refused_node_does_not_stop_set_for_the_others() {
    let pool = Pool::with_node();
    pool.netbe().ok("create rom");
    let plan = pool.plans("set keep=3 report=off nog rom");
    assert!(plan.contains("set keep=3 on rom"), "{plan}");
    let output = pool.netbe().run("set keep=3 report=off nog ordo rom");
    assert_eq!(output.status, 4, "{output:#?}");
    assert!(output.stderr.contains("error: no node ordo"), "{output:#?}");
    for node in ["nog", "rom"] {
        let line = pool.netbe().ok(&format!("get -H keep {node}"));
        assert_eq!(line, format!("{node}\tkeep\t3\tlocal\n"));
    }
    pool.refuses(
        2,
        "set keep=4 nog report=on",
        &["\"nog\" is not PROPERTY=VALUE"],
    );
    pool.refuses(2, "set keep=4 nog N_g", &["\"N_g\" is not a node name"]);
    pool.netbe().ok("set cmdline=quiet --existing nog rom");
    assert!(pool.boot_text("nog/a").contains(" quiet"));
}

#[test]
fn invariant_12_no_value_breaks_out_of_where_it_ends_up() {
    let pool = Pool::with_node();
    let before = pool.fingerprint();
    for property in [
        "cmdline",
        "nfs.options",
        "clients",
        "root",
        "ip",
        "server",
        "mac",
        "serial",
    ] {
        for value in ["a\nb", "a\u{0b}b", "\"", "x\tinit=/bin/sh\n"] {
            let word = format!("{property}={value}");
            let output = pool.netbe().run_with(&["set", &word, "nog"]);
            assert_eq!(output.status, 2, "{word:?}: {output:#?}");
        }
    }
    before.assert_unchanged(&pool.fingerprint());
}

#[test]
fn dry_runs_change_nothing() {
    let pool = Pool::with_node();
    assert_eq!(
        pool.plans("set cmdline=quiet nog"),
        "would set cmdline=quiet on nog\nwould publish\n"
    );
    assert_eq!(
        pool.plans("set server="),
        "would take server away from the pool\nwould publish\n"
    );
    pool.refuses(2, "set colour=blue -n", &["colour"]);
}

#[test]
fn new_environments_get_the_new_and_old_ones_keep_the_old() {
    let pool = Pool::with_node();
    let before = pool.boot_text("nog/a");
    let output = pool.netbe().run("set cmdline=one=1,two nog");
    assert!(
        output.stderr.contains("netbe set --existing nog"),
        "{output:#?}"
    );
    assert_eq!(pool.boot_text("nog/a"), before);
    pool.netbe().ok("create nog/b");
    assert!(pool.boot_text("nog/b").contains(" one=1,two"));
    // Taken away, it goes from what is made next, and once only.
    pool.netbe().ok("set cmdline= nog");
    pool.netbe().ok("create nog/c --from nog/b");
    assert_eq!(
        pool.boot_text("nog/c"),
        before
            .replace("nog/a", "nog/c")
            .replace("/envs/a/", "/envs/c/")
    );
}

#[test]
fn server_ip_and_nfs_options_reach_the_command_line() {
    let pool = Pool::with_template_of(&crate::support::System::raspberry_pi());
    pool.netbe().ok("create nog/a");
    pool.netbe().ok("set server=198.51.100.1");
    pool.netbe()
        .ok("set ip=192.0.2.5/24,192.0.2.254 nfs.options=actimeo=120 nog");
    pool.netbe().ok("create nog/b");
    let text = pool.boot_text("nog/b");
    let root = pool.half("nog/b", "root");
    assert!(
        text.contains(&format!("nfsroot=198.51.100.1:{}", root.display())),
        "{text}"
    );
    assert!(text.contains("ip=192.0.2.5:"), "{text}");
    assert!(text.contains("192.0.2.254:255.255.255.0:nog"), "{text}");
    assert!(text.contains("actimeo=120"), "{text}");
    let fstab = std::fs::read_to_string(root.join("etc/fstab")).unwrap();
    assert!(fstab.contains("198.51.100.1:"), "{fstab}");
    assert!(!fstab.lines().any(|l| l.starts_with(SERVER)), "{fstab}");
}

#[test]
fn a_root_on_its_own_disk_and_back() {
    let pool = Pool::with_template_of(&crate::support::System::raspberry_pi());
    pool.netbe().ok("create nog/a");
    let nfs = pool.boot_text("nog/a");
    pool.netbe().ok("set root=PARTUUID=5c491eca-02 nog");
    pool.netbe().ok("create nog/b");
    let text = pool.boot_text("nog/b");
    assert!(text.contains("root=PARTUUID=5c491eca-02"), "{text}");
    assert!(!text.contains("nfsroot="), "{text}");
    for word in ["rootwait", "rootfstype=ext4"] {
        assert!(text.contains(word), "{text}");
    }
    pool.netbe().ok("set root= nog");
    pool.netbe().ok("create nog/c --from nog/b");
    assert_eq!(pool.boot_text("nog/c"), nfs.replace("/envs/a/", "/envs/c/"));
}
