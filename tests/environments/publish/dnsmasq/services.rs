//! `init --services`: what it installs, and what it leaves alone.

use std::fs;
use std::path::{Path, PathBuf};

use crate::network::Network;
use crate::support::{Outcome, Pool, install};

const LINE: &str = "/etc/dnsmasq.d/netbe.conf";
const SERVICE: &str = "/etc/systemd/system/netbe-reconcile.service";
const TFTP: &str = "/etc/systemd/system/netbe-tftp.service";
const TIMER: &str = "/etc/systemd/system/netbe-reconcile.timer";
const PRUNE_SERVICE: &str = "/etc/systemd/system/netbe-prune.service";
const PRUNE_TIMER: &str = "/etc/systemd/system/netbe-prune.timer";

/// Makes systemd seem to run: a systemctl that notes how it is called, and says no to what `refuse` names.
fn systemd(pool: &Pool, refuse: &str) -> PathBuf {
    fs::create_dir_all("/run/systemd/system").unwrap();
    let bin = pool.beside().join("bin");
    let _ = fs::create_dir(&bin);
    let text = pool.beside().join("systemctl");
    fs::write(
        &text,
        format!(
            "#!/bin/sh\ncase \"$1\" in is-*|cat|reset-failed) ;; *) echo \"$@\" >> \"${{0%/*}}/said\" ;; esac\n\
             case \"$*\" in {refuse}) exit 1 ;; esac\n"
        ),
    )
    .unwrap();
    install(&text, &bin.join("systemctl"));
    bin
}

fn init(pool: &Pool, bin: &Path, line: &str) -> Outcome {
    pool.netbe()
        .plain()
        .args(line.split(' '))
        .env(
            "PATH",
            format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", bin.display()),
        )
        .output()
        .unwrap()
        .into()
}

fn take_calls(bin: &Path) -> String {
    let output = fs::read_to_string(bin.join("said")).unwrap_or_default();
    let _ = fs::remove_file(bin.join("said"));
    output
}

/// Returns the mount units that may lead to a directory, as systemd names them.
fn mounts_to(dir: &Path) -> Vec<String> {
    let leading = dir.ancestors().filter(|d| d.parent().is_some());
    let mut names: Vec<String> = leading
        .map(|dir| {
            let name = std::process::Command::new("systemd-escape")
                .args(["--path", "--suffix=mount"])
                .arg(dir)
                .output()
                .unwrap();
            String::from_utf8(name.stdout).unwrap().trim().to_string()
        })
        .collect();
    names.sort();
    names
}

#[test]
fn services_are_installed_once_and_started() {
    let pool = Pool::with_served_node();
    let bin = systemd(&pool, "is-active*|is-enabled\\ *dnsmasq*");
    let before = pool.fingerprint();
    let plan = init(&pool, &bin, "init --services -n");
    assert_eq!(plan.status, 0, "{plan:#?}");
    for step in [
        "would write /etc/dnsmasq.d/netbe.conf",
        "would write /etc/systemd/system/netbe-reconcile.timer",
        "would write /etc/systemd/system/netbe-prune.timer",
        "would write /etc/systemd/system/netbe-tftp.service",
        "would run systemctl start netbe-tftp.service",
        "would enable netbe-reconcile.timer",
        "would run systemctl start netbe-reconcile.timer",
        "would run systemctl start dnsmasq.service",
    ] {
        assert!(plan.stdout.lines().any(|l| l == step), "{step}: {plan:#?}");
    }
    before.assert_unchanged(&pool.fingerprint());
    assert!(!Path::new(LINE).exists() && !Path::new(SERVICE).exists());
    assert_eq!(take_calls(&bin), "");

    let output = init(&pool, &bin, "init --services");
    assert_eq!(output.status, 0, "{output:#?}");
    assert!(
        output.stdout.contains("Installed its services:\n  ")
            && output.stdout.contains(&format!("\n  write {LINE}\n")),
        "{output:#?}"
    );
    assert_eq!(
        take_calls(&bin),
        "daemon-reload\nstart netbe-reconcile.timer\nenable dnsmasq.service\nstart dnsmasq.service\n\
         start netbe-tftp.service\n"
    );
    assert_eq!(
        fs::read_to_string(LINE).unwrap(),
        format!(
            "conf-file={}/publish/dnsmasq.conf\n",
            pool.state().display()
        )
    );
    let service = fs::read_to_string(SERVICE).unwrap();
    let mounts = mounts_to(pool.path());
    for line in [
        format!("Wants={}", mounts.join(" ")),
        format!("After={}", mounts.join(" ")),
        "Before=netbe-tftp.service dnsmasq.service".to_string(),
        "Type=oneshot".to_string(),
    ] {
        assert!(service.lines().any(|l| l == line), "{line}: {service}");
    }
    assert!(
        service.contains("netbe reconcile --all-pools\n"),
        "{service}"
    );
    let tftp = fs::read_to_string(TFTP).unwrap();
    assert!(tftp.contains("netbe serve --all-pools\n"), "{tftp}");
    let timer = fs::read_to_string(TIMER).unwrap();
    assert!(
        timer.contains("\nOnUnitActiveSec=30s\nAccuracySec="),
        "{timer}"
    );
    for wanted in [
        "timers.target.wants/netbe-reconcile.timer",
        "multi-user.target.wants/netbe-reconcile.service",
        "multi-user.target.wants/netbe-tftp.service",
    ] {
        assert!(
            Path::new("/etc/systemd/system").join(wanted).exists(),
            "{wanted}"
        );
    }
    // It destroys: that is for somebody to turn on.
    let pruning = fs::read_to_string(PRUNE_SERVICE).unwrap();
    assert!(
        pruning.contains("netbe prune --all-pools --wait 600\n"),
        "{pruning}"
    );
    let wants = Path::new("/etc/systemd/system/timers.target.wants/netbe-prune.timer");
    assert!(Path::new(PRUNE_TIMER).exists() && wants.symlink_metadata().is_err());
    let judged = std::process::Command::new("systemd-analyze")
        .args([
            "verify",
            "--man=no",
            TIMER,
            SERVICE,
            TFTP,
            PRUNE_TIMER,
            PRUNE_SERVICE,
        ])
        .output();
    if let Ok(judged) = judged {
        let words = String::from_utf8_lossy(&judged.stderr).into_owned();
        assert!(
            !words.contains("Unknown") && !words.contains("Invalid"),
            "{words}"
        );
    }

    // All of it runs now.
    let bin = systemd(&pool, "nothing");
    let again = init(&pool, &bin, "init --services");
    assert!(
        again
            .stdout
            .ends_with("Its services are already installed.\n"),
        "{again:#?}"
    );
    assert_eq!(take_calls(&bin), "");
}

#[test]
fn with_systemd_a_machine_that_comes_restarts_dnsmasq_and_activating_does_not() {
    let pool = Pool::with_served_node();
    let bin = systemd(&pool, "nothing");
    init(&pool, &bin, "init --services");
    take_calls(&bin);
    let restart = "restart --job-mode=ignore-dependencies dnsmasq.service\n";
    for (line, calls) in [
        ("create ordo/x --mac 02:00:00:00:00:01", restart),
        ("create ordo/y -a", ""),
        ("rollback ordo", ""),
        ("publish", ""),
        ("set mac=02:00:00:00:00:02 ordo", restart),
        ("set mac= ordo", restart),
        ("destroy -y -r ordo", ""),
    ] {
        let output = init(&pool, &bin, line);
        assert_eq!(
            (output.status, take_calls(&bin).as_str()),
            (0, calls),
            "{line}: {output:#?}"
        );
    }
    let output = init(&pool, &bin, "set dhcp=off");
    assert_eq!(
        (output.status, take_calls(&bin).as_str()),
        (0, restart),
        "{output:#?}"
    );
    // What dnsmasq would not start with is not given to it.
    fs::write("/etc/dnsmasq.d/mine.conf", "nonsense\n").unwrap();
    let output = init(&pool, &bin, "publish");
    assert!(
        output
            .stderr
            .contains("would not start with its new configuration"),
        "{output:#?}"
    );
    assert!(output.stderr.contains("mine.conf"), "{output:#?}");
    assert_eq!(take_calls(&bin), "");
}

#[test]
fn files_of_others_are_not_overwritten() {
    let pool = Pool::with_served_node();
    for (file, text, words) in [
        (LINE, "port=53\n", "exists, and was not written by netbe"),
        (
            SERVICE,
            "[Service]\n",
            "exists, and was not written by netbe",
        ),
        (
            TIMER,
            "# Written by netbe init for /srv/other\n[Timer]\n",
            "is for the pool in /srv/other, which is not in /var/lib/netbe",
        ),
    ] {
        fs::write(file, text).unwrap();
        for line in ["init --services", "init --services -n"] {
            pool.refuses(3, line, &[file, words, "hint: "]);
        }
        assert_eq!(fs::read_to_string(file).unwrap(), text);
        fs::remove_file(file).unwrap();
    }
    let names: Vec<_> = fs::read_dir("/etc/systemd/system").unwrap().collect();
    assert!(names.is_empty(), "{names:?}");
}

#[test]
fn a_line_that_dnsmasq_would_not_start_with_is_taken_back() {
    let pool = Pool::with_served_node();
    // An administrator's own: given twice, it is an error.
    fs::write("/etc/dnsmasq.d/mine.conf", "dhcp-option-force=nonsense\n").unwrap();
    let output = pool.netbe().fails(1, "init --services");
    assert!(
        output.contains("would not start") && output.contains("was removed again"),
        "{output}"
    );
    assert!(!Path::new(LINE).exists());
}

#[test]
fn without_a_server_address_init_services_fails() {
    let pool = Pool::with_template();
    let _network = Network::new(&pool);
    pool.netbe().ok("set server=");
    std::process::Command::new("ip")
        .args(["route", "flush", "table", "main"])
        .status()
        .unwrap();
    let output = pool.netbe().fails(1, "init --services");
    assert!(
        output.contains("no default route") && output.contains("hint: netbe set server="),
        "{output}"
    );
    assert!(!Path::new(LINE).exists());
}

#[test]
fn a_dnsmasq_that_answers_tftp_is_reported() {
    let pool = Pool::with_served_node();
    let mut network = Network::new(&pool);
    pool.netbe().run("init --services");
    fs::write("/etc/dnsmasq.d/mine.conf", "enable-tftp\ntftp-root=/srv\n").unwrap();
    network.start_dnsmasq();
    let output = pool.netbe().run("check");
    assert!(output.stdout.contains("dnsmasq serves TFTP"), "{output:#?}");
    let output = pool.netbe().fails(1, "serve");
    assert!(
        output.contains("0.0.0.0:69 is taken by dnsmasq") && output.contains("hint: "),
        "{output}"
    );
}
