//! Paths and values, in tables.

use std::path::Path;

use super::*;

#[test]
fn a_path_is_plain_and_not_the_systems() {
    for (text, want) in [
        ("/home", Ok("/home")),
        ("//srv//www/", Ok("/srv/www")),
        ("/var/lib/postgresql", Ok("/var/lib/postgresql")),
        ("/usr/local", Ok("/usr/local")),
        ("/usr/local/share", Ok("/usr/local/share")),
        ("/etcetera", Ok("/etcetera")),
        ("/", Err("/ is the system")),
        ("home", Err("no absolute path")),
        ("/usr", Err("belongs to the system")),
        ("/usr/share", Err("belongs to the system")),
        ("/etc/ssh", Err("belongs to the system")),
        ("/boot/firmware", Err("belongs to the system")),
        ("/var", Err("holds /var/db/pkg, which is the package")),
        ("/var/lib", Err("holds /var/lib/apk, which is the package")),
        ("/var/lib/dpkg/info", Err("is the package manager's")),
        ("/var/lib/netbe", Err("reports its boots")),
        ("/run/user", Err("anew at each boot")),
        ("/home/../etc", Err("without . and ..")),
        ("/a b", Err("fstab")),
        ("/a\nb", Err("fstab")),
        ("/a+b", Err("fstab")),
        ("/a#b", Err("fstab")),
        ("/é", Err("fstab")),
    ] {
        let got = text.parse::<DataPath>();
        match (&got, want) {
            (Ok(path), Ok(want)) => assert_eq!(path.as_str(), want),
            (Err(why), Err(part)) => assert!(why.contains(part), "{text}: {why}"),
            _ => panic!("{text}: {got:?}"),
        }
    }
    assert!(format!("/{}", "a".repeat(300)).parse::<DataPath>().is_err());
}

#[test]
fn the_name_of_a_subvolume_leads_back_to_its_path() {
    for text in ["/home", "/var/lib/my-app", "/.snapshots", "/srv/a..b"] {
        let path: DataPath = text.parse().unwrap();
        let name = path.directory();
        assert!(!name.contains('/') && !name.starts_with('.'), "{name}");
        assert_eq!(DataPath::of_directory(&name), Some(path));
    }
    assert_eq!(DataPath::of_directory("home"), None);
    assert_eq!(DataPath::of_directory("+etc"), None);
}

#[test]
fn the_paths_of_a_value_do_not_contain_each_other() {
    for (text, want) in [
        ("default", Some("default")),
        ("none", Some("none")),
        ("/srv/, /home,/srv", Some("/srv,/home")),
        ("default,/opt/app", Some("default,/opt/app")),
        ("default,/home", Some("default,/home")),
        ("default,/home/x", None),
        ("/srv,/srv/www", None),
        ("/srv,none", None),
        ("", None),
    ] {
        assert_eq!(normalised(text).ok().as_deref(), want, "{text}");
    }
    let usual = |value: &str| -> Vec<bool> {
        let all = asked(value).into_iter();
        all.filter(|a| a.path.as_str() == "/home")
            .map(|a| a.usual)
            .collect()
    };
    assert_eq!(usual("default"), [true]);
    assert_eq!(usual("default,/home"), [false]);
    assert!(asked(NONE).is_empty());
    assert_eq!(normalised(&USUAL.join(",")), Ok(USUAL.join(",")));
}

#[test]
fn a_path_covers_the_paths_below_it() {
    let path: DataPath = "/var/lib/docker".parse().unwrap();
    assert!(path.holds_containers());
    let record = DataRecord {
        paths: vec![Data::new(path)],
        ..DataRecord::default()
    };
    assert!(record.is_mounted(Path::new("var/lib/docker/overlay2")));
    assert!(!record.is_mounted(Path::new("var/lib/docker2")));
    assert!(!"/home".parse::<DataPath>().unwrap().holds_containers());
}
