//! Which nodes are looked through, what others do meanwhile, and what nodes plant.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use crate::support::{Fingerprint, noise};
use crate::{MIB, data, dedupe, pool};

#[test]
fn nodes_by_name_are_compared_with_each_other_and_their_origins() {
    let pool = pool(3);
    for node in ["n1", "n2", "n3"] {
        fs::write(data(&pool, node).join("file"), noise(MIB, 1)).unwrap();
    }
    let stock = pool.half("base/stock", "root").join("data");
    fs::create_dir(&stock).unwrap();
    fs::write(stock.join("file"), noise(MIB, 1)).unwrap();
    let plan = pool.plans("dedupe n1");
    assert_eq!(plan, "would share 1 file of n1/a\nwould free 1.0 MiB\n");
    let output = dedupe(&pool, "dedupe n1 n2");
    assert_eq!(
        output,
        "Shared 2 files in 2 of 3 environments: 2.0 MiB freed.\n"
    );
    pool.netbe().fails(4, "dedupe n1 none");
    assert!(!pool.at("locks/none").exists());
}

#[test]
fn a_locked_node_is_left_out_with_an_error() {
    let pool = pool(3);
    for node in ["n1", "n2", "n3"] {
        fs::write(data(&pool, node).join("file"), noise(MIB, 1)).unwrap();
    }
    let held = File::open(pool.at("locks/n2")).unwrap();
    held.lock().unwrap();
    let outcome = pool.netbe().run("dedupe --wait 0");
    assert_eq!(outcome.status, 5, "{outcome:#?}");
    assert!(
        outcome.stdout.starts_with("Shared 1 file in 1 of"),
        "{outcome:#?}"
    );
    assert!(
        outcome.stderr.contains("error: n2 is being changed"),
        "{outcome:#?}"
    );
    drop(held);
    let output = dedupe(&pool, "dedupe");
    assert!(output.starts_with("Shared 1 file in 1 of"), "{output}");
    let busy = File::create(pool.at("locks/DEDUPE")).unwrap();
    busy.lock().unwrap();
    pool.netbe().fails(5, "dedupe --wait 0");
}

#[test]
fn a_stopped_dedupe_keeps_all_content_and_reports_its_progress() {
    let pool = pool(2);
    for node in ["n1", "n2"] {
        let data = data(&pool, node);
        for file in 0..1500 {
            fs::write(data.join(format!("{file}")), noise(40_000, file)).unwrap();
        }
    }
    let content = Fingerprint::of(&pool.at("nodes"));
    let program = pool.netbe().plain();
    // Stopped in the middle, however fast it is.
    let output = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=ioctl"])
        .args(["-e", "inject=ioctl:signal=SIGINT:when=300"])
        .arg(program.get_program())
        .arg("dedupe")
        .env_clear()
        .envs(program.get_envs().filter_map(|(k, v)| Some((k, v?))))
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.starts_with("error: stopped by SIGINT after sharing "),
        "{said}"
    );
    content.assert_unchanged(&Fingerprint::of(&pool.at("nodes")));
    pool.netbe().ok("dedupe");
}

#[test]
fn environments_can_be_destroyed_and_changed_meanwhile() {
    let pool = pool(4);
    for node in ["n1", "n2", "n3", "n4"] {
        let data = data(&pool, node);
        for file in 0..300 {
            fs::write(data.join(format!("{file}")), noise(50_000, file)).unwrap();
        }
    }
    pool.netbe().ok("create n4/b -a");
    let lines = [
        "dedupe",
        "destroy -y n4/a",
        "destroy -r -y n3",
        "rename n2/a c",
        "dedupe -n",
    ];
    let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
    for outcome in pool.at_once(&lines) {
        assert_eq!(outcome.status, 0, "{outcome:#?}");
        // The dry run may come after everything was shared.
        let output = outcome.stderr.replace("note: nothing would be done\n", "");
        assert_eq!(output, "", "{outcome:#?}");
    }
    pool.assert_sound();
    dedupe(&pool, "dedupe");
    let kept = pool.half("n4/b", "root").join("data/7");
    assert_eq!(fs::read(kept).unwrap(), noise(50_000, 7));
}

#[test]
fn links_and_pipes_of_a_node_are_not_followed() {
    let pool = pool(2);
    let outside = pool.beside().join("outside");
    fs::create_dir(&outside).unwrap();
    let (one, two) = (data(&pool, "n1"), data(&pool, "n2"));
    for directory in [&one, &outside] {
        fs::create_dir_all(directory.join("d")).unwrap();
        fs::write(directory.join("d/file"), noise(MIB, 1)).unwrap();
    }
    symlink(outside.join("d"), two.join("d")).unwrap();
    let pipe = two.join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    fs::write(one.join("pipe"), noise(MIB, 2)).unwrap();
    fs::set_permissions(&one, fs::Permissions::from_mode(0o000)).unwrap();
    assert_eq!(
        dedupe(&pool, "dedupe"),
        "Nothing to share: compared 3 environments.\n"
    );
}
