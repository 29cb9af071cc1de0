//! `init` on a block device, and on what is no ground for a pool.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::process::Command;

use super::{Place, is_mounted};
use crate::support::{Netbe, Pool, SERVER, output, run};

/// A loop device over a sparse file, detached at the end.
struct Device {
    path: String,
    _file: tempfile::NamedTempFile,
}

impl Device {
    fn new() -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(256 << 20).unwrap();
        let path = output(
            Command::new("losetup")
                .args(["-f", "--show"])
                .arg(file.path()),
        );
        Self {
            path: String::from_utf8(path).unwrap().trim().to_string(),
            _file: file,
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["-d", &self.path]).status();
    }
}

#[test]
fn a_device_is_formatted_and_one_that_holds_something_is_not() {
    let device = Device::new();
    let place = Place::new();
    let line = format!("init --device {}", device.path);
    run(Command::new("mkfs.ext4").args(["-q", &device.path]));
    let before = fs::read(&device.path).unwrap();
    let output = place.netbe().fails(3, &line);
    assert!(
        output.contains("is not empty (ext4)") && output.contains("hint: "),
        "{output}"
    );
    assert!(output.contains("--yes"), "{output}");
    let output = place.netbe().fails(3, &format!("{line} -n"));
    assert!(output.contains("is not empty"), "{output}");
    assert!(
        fs::read(&device.path).unwrap() == before,
        "it was written to"
    );
    assert!(!place.dir().exists());
    let plan = place.netbe().ok(&format!("{line} --yes -n"));
    assert!(
        plan.starts_with(&format!("would format {}\n", device.path)),
        "{plan}"
    );
    assert!(
        fs::read(&device.path).unwrap() == before,
        "it was written to"
    );
    place.netbe().ok(&format!("{line} --yes --server {SERVER}"));
    assert!(is_mounted(&place.dir()));
    assert_eq!(place.netbe().ok("list -H"), "");
    // The same again on a pool changes nothing, whatever is on the device.
    let again = place.netbe().ok(&line);
    assert!(again.contains("is already a pool"), "{again}");
    // Mounted, it is not formatted for another pool, by any flag.
    let other = format!(
        "init {} --device {} --yes",
        place.0.path().join("other").display(),
        device.path
    );
    let output = place.netbe().fails(3, &other);
    assert!(output.contains("is mounted"), "{output}");
}

#[test]
fn a_device_is_mounted_again_by_its_filesystem_whatever_its_name() {
    let device = Device::new();
    let place = Place::new();
    let link = place.0.path().join("by-id");
    symlink(&device.path, &link).unwrap();
    let said = place.netbe().run(&format!(
        "init --device {} --server {SERVER}",
        link.display()
    ));
    assert_eq!(said.status, 0, "{said:#?}");
    let uuid = output(Command::new("blkid").args(["-o", "value", "-s", "UUID", &device.path]));
    let uuid = String::from_utf8(uuid).unwrap().trim().to_string();
    let line = format!(
        "UUID={uuid} {} btrfs noatime,nosuid,nodev 0 0",
        place.dir().display()
    );
    assert!(said.stderr.contains(&line), "{said:#?}");
    assert!(!said.stderr.contains("/dev/"), "{said:#?}");
}

#[test]
fn the_unit_of_a_device_names_its_filesystem() {
    let device = Device::new();
    let place = Place::new();
    fs::create_dir("/run/systemd/system").unwrap();
    let said = place
        .netbe()
        .run(&format!("init --device {} --server {SERVER}", device.path));
    assert_eq!(said.status, 0, "{said:#?}");
    let uuid = output(Command::new("blkid").args(["-o", "value", "-s", "UUID", &device.path]));
    let what = format!(
        "What=/dev/disk/by-uuid/{}",
        String::from_utf8(uuid).unwrap().trim()
    );
    let units = fs::read_dir("/etc/systemd/system").unwrap();
    let mut units = units.map(|e| e.unwrap().path());
    let unit = units
        .find(|p| p.extension().is_some_and(|e| e == "mount"))
        .unwrap();
    let unit = fs::read_to_string(unit).unwrap();
    assert!(unit.lines().any(|l| l == what), "{what}: {unit}");
}

#[test]
fn an_empty_device_needs_no_yes() {
    let device = Device::new();
    let place = Place::new();
    place
        .netbe()
        .ok(&format!("init --device {} --server {SERVER}", device.path));
    let line = format!("{} {} btrfs noatime", device.path, place.dir().display());
    assert!(is_mounted(&place.dir()), "{line}");
}

#[test]
fn impossible_pools_are_refused() {
    let pool = Pool::bare(128 << 20);
    let netbe = |name: &str| Netbe::new(&pool.at(name), pool.beside());
    for name in [
        "a b", "a:b", "a,b", "ä", "a\"b", "a'b", "a(b", "a\nb", "a#b",
    ] {
        let output = netbe(name).run("init");
        assert_eq!(output.status, 2, "{name:?}: {output:#?}");
        assert!(
            output.stderr.contains("cannot be a pool"),
            "{name:?}: {output:#?}"
        );
        assert!(!pool.at(name).exists());
    }
    for size in ["1M", "0", "many", "64X", "-1G", "99999999999T"] {
        let output = netbe("p").run_with(&["init", "--file", size]);
        assert_eq!(output.status, 2, "{size}: {output:#?}");
    }
    let output = netbe("p").run("init --file 1G --device /dev/null");
    assert_eq!(output.status, 2, "{output:#?}");
    let output = netbe("p").fails(2, "init --device /dev/null");
    assert!(output.contains("not a block device"), "{output}");
    let output = netbe("p").fails(1, "init --device /dev/nothing");
    assert!(output.contains("/dev/nothing"), "{output}");
    let output = netbe("p").fails(2, "init --server nonsense");
    assert!(output.contains("server=nonsense"), "{output}");
    File::create(pool.at("file")).unwrap();
    let output = netbe("file").run("init");
    assert_ne!(output.status, 0, "{output:#?}");
    fs::create_dir(pool.at("full")).unwrap();
    fs::write(pool.at("full/x"), "").unwrap();
    let output = netbe("full").fails(3, "init --file 256M");
    assert!(output.contains("is not empty"), "{output}");
    assert!(!pool.at("p").exists());
}
