//! `init --services` on a server where a package of netbe has its units.

use std::fs;
use std::path::{Path, PathBuf};

use crate::network::Network;
use crate::support::Pool;

const UNITS: &str = "/etc/systemd/system";
const PACKAGED: &str = "/usr/lib/systemd/system";
const TFTP: &str = "netbe-tftp.service";
const SERVICES: [&str; 3] = [TFTP, "netbe-reconcile.service", "netbe-prune.service"];

/// Installs the units of dist/, for this program; a test has that directory for itself.
fn install_package(program: &Path) {
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist/systemd");
    for file in fs::read_dir(units).unwrap() {
        let file = file.unwrap();
        let text = fs::read_to_string(file.path()).unwrap();
        let text = text.replace("/usr/bin/netbe", program.to_str().unwrap());
        fs::write(Path::new(PACKAGED).join(file.file_name()), text).unwrap();
    }
}

/// Returns the files and links below the administrator's units, sorted.
fn written() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![PathBuf::from(UNITS)];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.symlink_metadata().unwrap().is_dir() {
                true => dirs.push(path),
                false => found.push(path.strip_prefix(UNITS).unwrap().to_path_buf()),
            }
        }
    }
    found.sort();
    found
}

/// What is written and linked where the package's units are used.
const BESIDE: [&str; 6] = [
    "multi-user.target.wants/netbe-reconcile.service",
    "multi-user.target.wants/netbe-tftp.service",
    "netbe-prune.service.d/pools.conf",
    "netbe-reconcile.service.d/pools.conf",
    "netbe-tftp.service.d/pools.conf",
    "timers.target.wants/netbe-reconcile.timer",
];

#[test]
fn the_packages_units_get_drop_ins_for_the_pools() {
    let pool = Pool::with_served_node();
    let _network = Network::new(&pool);
    install_package(assert_cmd::cargo::cargo_bin!("netbe"));
    let plan = pool.netbe().ok("init --services -n");
    assert!(
        plan.contains("would write /etc/systemd/system/netbe-tftp.service.d/pools.conf"),
        "{plan}"
    );
    assert_eq!(written(), [] as [PathBuf; 0]);
    pool.netbe().ok("init --services");
    assert_eq!(written(), BESIDE.map(PathBuf::from));
    for service in SERVICES {
        let text = fs::read_to_string(format!("{UNITS}/{service}.d/pools.conf")).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "[Unit]", "{text}");
        assert!(
            lines[2].starts_with("Wants=") && lines[2].contains(".mount"),
            "{text}"
        );
        assert!(lines[3].starts_with("After=") && lines.len() == 4, "{text}");
    }
    let link = fs::read_link(format!("{UNITS}/multi-user.target.wants/{TFTP}")).unwrap();
    assert_eq!(link, Path::new(PACKAGED).join(TFTP));
    let again = pool.netbe().ok("init --services");
    assert!(
        again.ends_with("Its services are already installed.\n"),
        "{again}"
    );

    // A part of it that goes missing is named, and comes back.
    fs::remove_file(format!("{UNITS}/{TFTP}.d/pools.conf")).unwrap();
    let output = pool.netbe().run("check");
    assert!(
        output
            .stdout
            .contains("netbe-tftp.service.d/pools.conf is missing"),
        "{output:#?}"
    );
    fs::write(format!("{UNITS}/{TFTP}"), "[Service]\n").unwrap();
    let output = pool.netbe().run("check");
    assert!(
        output
            .stdout
            .contains("netbe-tftp.service hides the package's"),
        "{output:#?}"
    );
    pool.refuses(3, "init --services", &["was not written by netbe"]);
    fs::remove_file(format!("{UNITS}/{TFTP}")).unwrap();
    pool.netbe().ok("init --services");
    assert_eq!(written(), BESIDE.map(PathBuf::from));
}

#[test]
fn units_of_the_package_replace_units_written_before() {
    let pool = Pool::with_served_node();
    let _network = Network::new(&pool);
    // Of a netbe elsewhere: they start another program.
    install_package(Path::new("/usr/bin/other"));
    pool.netbe().ok("init --services");
    assert!(Path::new(UNITS).join(TFTP).is_file());
    assert!(!Path::new(UNITS).join("netbe-tftp.service.d").exists());

    install_package(assert_cmd::cargo::cargo_bin!("netbe"));
    let output = pool.netbe().run("check");
    assert!(
        output
            .stdout
            .contains("netbe-tftp.service hides the package's"),
        "{output:#?}"
    );
    pool.netbe().ok("init --services");
    assert_eq!(written(), BESIDE.map(PathBuf::from));
    // The links led to what has gone.
    let link = fs::read_link(format!("{UNITS}/timers.target.wants/netbe-reconcile.timer")).unwrap();
    assert_eq!(link, Path::new(PACKAGED).join("netbe-reconcile.timer"));
}

#[test]
fn a_state_directory_elsewhere_has_units_of_its_own() {
    let pool = Pool::with_served_node();
    let _network = Network::new(&pool);
    install_package(assert_cmd::cargo::cargo_bin!("netbe"));
    let states = pool.beside().join("states");
    let dir = pool.beside().join("second");
    let of = |line: &str| {
        let states = states.display();
        pool.netbe()
            .ok(&format!("--state {states} --pool {} {line}", dir.display()));
    };
    of(&format!("init --file 1G {}", dir.display()));
    of("set server=192.0.2.1");
    of(&format!("init {} --services", dir.display()));
    let text = fs::read_to_string(format!("{UNITS}/{TFTP}")).unwrap();
    assert!(
        text.contains(&format!("--state {} serve --all-pools", states.display())),
        "{text}"
    );
}
