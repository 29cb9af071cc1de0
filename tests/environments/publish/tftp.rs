//! The names machines ask for.

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::{Pool, TFTP_NAME};

/// Returns the TFTP directory's names with where they lead.
fn links(pool: &Pool) -> Vec<(String, String)> {
    let mut links: Vec<_> = fs::read_dir(pool.at("tftp"))
        .unwrap()
        .map(|e| {
            let path = e.unwrap().path();
            let target =
                fs::read_link(&path).map_or("(no link)".into(), std::path::PathBuf::into_os_string);
            (
                path.file_name().unwrap().to_str().unwrap().to_string(),
                target.into_string().unwrap(),
            )
        })
        .collect();
    links.sort();
    links
}

fn of_nog(names: &[&str]) -> Vec<(String, String)> {
    names
        .iter()
        .map(|n| ((*n).to_string(), "../nodes/nog/active/boot".to_string()))
        .collect()
}

#[test]
fn every_spelling_of_a_mac_address_becomes_one_name() {
    let pool = Pool::with_node();
    for spelling in [
        "dc:a6:32:01:02:03",
        "DC:A6:32:01:02:03",
        "dc-a6-32-01-02-03",
        "01-DC-A6-32-01-02-03",
        "dca6.3201.0203",
        "DCA632010203",
        "dc:a6:32:1:2:3",
    ] {
        pool.netbe().ok(&format!("set mac={spelling} nog"));
        assert_eq!(links(&pool), of_nog(&[TFTP_NAME]), "{spelling}");
        pool.netbe().ok("set mac= nog");
        assert_eq!(links(&pool), [], "{spelling}");
    }
}

#[test]
fn a_serial_is_a_tftp_name() {
    let pool = Pool::with_node();
    pool.netbe().ok("set serial=100000009FFEFDEF nog");
    assert_eq!(links(&pool), of_nog(&["9ffefdef"]));
    pool.netbe()
        .ok("set mac=dc:a6:32:01:02:03,dc:a6:32:01:02:04 nog");
    assert_eq!(
        links(&pool),
        of_nog(&["9ffefdef", TFTP_NAME, "dc-a6-32-01-02-04"])
    );
    pool.netbe().ok("set mac=dc:a6:32:01:02:04 serial= nog");
    assert_eq!(links(&pool), of_nog(&["dc-a6-32-01-02-04"]));
}

#[test]
fn a_machine_fetches_files_of_the_active_environment() {
    let pool = Pool::with_served_node();
    let text = || pool.read(&format!("tftp/{TFTP_NAME}/pxelinux.cfg/default"));
    assert!(text().contains("/nog/envs/a/root"));
    pool.netbe().ok("create nog/b -a");
    assert!(text().contains("/nog/envs/b/root"));
    pool.netbe().ok("rollback nog");
    assert!(text().contains("/nog/envs/a/root"));
    assert_eq!(links(&pool), of_nog(&[TFTP_NAME]));
}

#[test]
fn two_nodes_with_one_mac_or_serial_are_refused() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create ordo/x --serial 9ffefdef");
    pool.refuses(
        3,
        "set mac=DCA632010203 ordo",
        &["nog already has mac dc:a6:32:01:02:03", "hint: "],
    );
    pool.refuses(
        3,
        "set mac=02:00:00:00:00:01,dc:a6:32:01:02:03 ordo",
        &["nog already has mac"],
    );
    pool.refuses(
        3,
        "set serial=9FFEFDEF nog",
        &["ordo already has serial 9ffefdef"],
    );
    pool.refuses(
        3,
        "create werda --serial 9ffefdef",
        &["ordo already has serial"],
    );
    pool.refuses(
        3,
        "set mac=dc:a6:32:01:02:03 ordo -n",
        &["nog already has mac"],
    );
    // To itself, the same again is nothing.
    pool.netbe().ok("set mac=dc:a6:32:01:02:03 nog");
}

#[test]
fn invalid_mac_addresses_are_refused() {
    let pool = Pool::with_node();
    for bad in [
        "01:00:5e:00:00:01",
        "ff:ff:ff:ff:ff:ff",
        "00:00:00:00:00:00",
        "dc:a6:32:01:02",
        "../../etc",
        "nonsense",
    ] {
        pool.refuses(
            2,
            &format!("set mac={bad} nog"),
            &["mac=", "MAC address of one machine"],
        );
    }
    assert_eq!(links(&pool), []);
}

#[test]
fn foreign_files_in_tftp_stay() {
    let pool = Pool::with_node();
    fs::write(pool.at("tftp/mine"), "x").unwrap();
    symlink("/elsewhere", pool.at("tftp/theirs")).unwrap();
    fs::create_dir(pool.at("tftp/dc-a6-32-01-02-04")).unwrap();
    pool.netbe().ok("set mac=dc:a6:32:01:02:03 nog");
    let output = pool
        .netbe()
        .run("set mac=dc:a6:32:01:02:03,dc:a6:32:01:02:04 nog");
    assert_eq!(output.status, 0, "{output:#?}");
    assert!(
        output.stderr.contains("warning: ") && output.stderr.contains("dc-a6-32-01-02-04"),
        "{output:#?}"
    );
    pool.netbe().ok("set mac= nog");
    pool.netbe().ok("publish");
    let names: Vec<_> = links(&pool).into_iter().map(|(n, _)| n).collect();
    assert_eq!(names, ["dc-a6-32-01-02-04", "mine", "theirs"]);
}

#[test]
fn names_of_nodes_that_are_gone_go() {
    let pool = Pool::with_node();
    symlink(
        "../nodes/gone/active/boot",
        pool.at("tftp/02-00-00-00-00-01"),
    )
    .unwrap();
    assert_eq!(pool.netbe().run("check").status, 1);
    pool.netbe().ok("publish");
    assert_eq!(links(&pool), []);
    pool.assert_sound();
}

#[test]
fn invariant_3_names_without_an_active_environment_are_withdrawn() {
    let pool = Pool::with_served_node();
    fs::remove_file(pool.at("nodes/nog/active")).unwrap();
    pool.netbe().ok("publish");
    for (name, _) in links(&pool) {
        assert!(pool.at(&format!("tftp/{name}")).exists(), "{name}");
    }
    pool.netbe().ok("activate nog/a");
    assert_eq!(links(&pool), of_nog(&[TFTP_NAME]));
}

#[test]
fn files_named_by_the_boot_files_are_readable_by_others() {
    use std::os::unix::fs::PermissionsExt;
    let system = crate::support::System::raspberry_pi();
    let pool = Pool::with_template_of(&system.directory("boot/firmware", 0o700).with(
        "boot/firmware/initramfs8",
        b"\x1f\x8bsecret",
        0o600,
    ));
    pool.netbe()
        .ok("create nog/a --mac dc:a6:32:01:02:03 --serial 9ffefdef");
    let top = pool.at("tftp/9ffefdef/");
    let mode = fs::metadata(top).unwrap().permissions().mode();
    assert_eq!(mode & 0o055, 0o055, "{mode:o}");
    for name in ["cmdline.txt", "config.txt", "kernel8.img", "initramfs8"] {
        let path = pool.at(&format!("tftp/9ffefdef/{name}"));
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o444, 0o444, "{name}: {mode:o}");
    }
}

#[test]
fn invariant_6_a_node_with_an_unreadable_record_stays_published() {
    let pool = Pool::with_served_node();
    let exports = pool.read("publish/exports");
    for garbage in ["", "garbage", r#"{"version":99}"#] {
        pool.write("nodes/nog/node.json", garbage);
        let output = pool.netbe().run("publish");
        assert!(output.stderr.contains("nog"), "{output:#?}");
        assert_eq!(links(&pool), of_nog(&[TFTP_NAME]), "{garbage}");
        assert_eq!(pool.read("publish/exports"), exports, "{garbage}");
        pool.netbe().ok("create ordo/x --mac 02:00:00:00:00:01");
        assert!(
            pool.read("publish/exports")
                .contains("/nodes/nog/envs/a/root\"")
        );
        pool.netbe().ok("set mac= ordo");
        assert!(
            pool.read("publish/exports")
                .contains("/nodes/nog/envs/a/root\"")
        );
        assert_eq!(links(&pool), of_nog(&[TFTP_NAME]), "{garbage}");
        pool.netbe().ok("destroy -y -r ordo");
    }
}

#[test]
fn two_nodes_given_one_mac_by_hand_are_found_and_the_name_leads_to_one() {
    let pool = Pool::with_served_node();
    pool.netbe().ok("create arda/x");
    fs::copy(
        pool.at("nodes/nog/node.json"),
        pool.at("nodes/arda/node.json"),
    )
    .unwrap();
    let output = pool.netbe().run("check");
    assert_eq!(output.status, 1, "{output:#?}");
    assert!(
        output
            .stdout
            .contains("arda and nog both have dc-a6-32-01-02-03"),
        "{output:#?}"
    );
    pool.netbe().ok("publish");
    assert_eq!(
        pool.netbe().ok("publish"),
        "Everything is published already.\n"
    );
    assert_eq!(links(&pool).len(), 1);
}
