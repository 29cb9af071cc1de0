//! What other commands do while a card is looked at and written: no lock of the node or the pool is held then.

use super::{card, current, pool, status};
use crate::deploy_meanwhile::{assert_ended, run_with, tries};
use crate::meanwhile::held;
use crate::support::Disk;

#[test]
fn while_a_card_is_written_its_environment_stays_and_its_node_goes_on() {
    let (pool, at) = pool();
    pool.netbe().ok("create nog/c");
    pool.netbe().ok("create ordo --mac 02:00:00:00:00:09");
    let beside = card(&pool, "beside", "size=64m");
    let place = at.display().to_string();
    let line = format!("deploy nog/b --boot {place}");
    let kernel = pool.half("nog/b", "boot").join("kernel8.img");
    let written = std::fs::read(&kernel).unwrap();
    // Nothing is copied by then.
    let said = held(&pool, &line, ("mkdirat", 1, &place), || {
        assert!(!at.join("config.txt").exists());
        for line in [
            "create nog/e",
            "create nog/f --from nog/b",
            "activate nog/c",
            "reconcile",
            "status nog",
            "publish",
        ] {
            pool.netbe()
                .ok(&format!("{line} --wait 0").replace("status nog --wait 0", "status nog"));
        }
        for line in ["destroy -y nog/b", "rename nog/b x"] {
            let why = ["nog/b is what the card of nog boots"];
            pool.refuses(3, &format!("{line} --wait 0"), &why);
        }
        for line in [
            "deploy nog --boot none".to_string(),
            format!("deploy ordo --boot {}", beside.display()),
        ] {
            let why = ["a card is being changed by another netbe", &place];
            pool.refuses(5, &format!("{line} --wait 0"), &why);
        }
        assert_eq!(
            status(&pool)["behind"],
            "the last deploy to it was not finished"
        );
        // By the node, which may be running it.
        std::fs::write(&kernel, "of another time").unwrap();
    });
    assert_eq!(said.status, 0, "{said:#?}");
    let copied = std::fs::read(current(&at).join("kernel8.img")).unwrap();
    assert!(copied == written);
    assert_eq!(status(&pool)["environment"], "b");
    assert_eq!(status(&pool)["behind"], "c is active");
    pool.assert_sound();
}

#[test]
fn while_a_card_is_looked_at_its_node_goes_on() {
    let (pool, _) = pool();
    let device = Disk::new(pool.beside());
    let told = pool.beside().join("told");
    let go_on = ["create nog/e", "activate nog/b", "destroy -y nog/e"];
    // A kernel without FAT refuses then to write it.
    run_with(
        &pool,
        &format!("deploy nog --boot {}", device.show()),
        "wipefs",
        &format!("[ ! -e {} ]", told.display()),
        &tries(&pool, &go_on),
    );
    assert_ended(&pool, 0, &go_on);
}

#[test]
fn boot_files_that_changed_while_the_card_was_looked_at_are_not_written() {
    let (pool, at) = pool();
    let place = at.display().to_string();
    let line = format!("deploy nog/b --boot {place}");
    let said = held(&pool, &line, ("statfs,fstatfs", 1, &place), || {
        pool.netbe()
            .ok("set cmdline=quietly nog --existing --wait 0");
    });
    assert_eq!(said.status, 3, "{said:#?}");
    let told = "nog/b changed while the card was looked at";
    assert!(said.stderr.contains(told), "{said:#?}");
    assert_eq!(std::fs::read_dir(&at).unwrap().count(), 0);
    assert_eq!(status(&pool), serde_json::Value::Null);
}

#[test]
fn a_boot_for_once_of_a_node_with_a_card_is_refused_before_anything_is_made() {
    let (pool, at) = pool();
    super::deploy(&pool, "nog/b", &at);
    for line in [
        "create nog/c --once",
        "create nog/c --try",
        "upgrade nog --name c --once -- true",
        "upgrade nog --name c --try -- true",
    ] {
        let why = [
            "nog boots from its card, which has b",
            "netbe deploy nog --boot none",
        ];
        let said = pool.refuses(3, line, &why);
        let planned = match line.split_once(" -- ") {
            Some((line, command)) => format!("{line} -n -- {command}"),
            None => format!("{line} -n"),
        };
        assert_eq!(pool.refuses(3, &planned, &why), said);
        assert!(!pool.names("nog").contains(&"c".to_string()));
    }
}
