//! Control sequences that a node has written are never printed as they are.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::Pool;

/// What a terminal obeys or hides: title and end, CSI as one character, another direction, nothing to be seen, DEL.
const HARM: &str = "\x1b]0;PWNED\x07\u{9b}31m\u{202e}\u{2066}\u{200b}\u{7f}\x08\rx";

/// Plants it in every field of an environment that its node, or whoever wrote its record, chooses.
fn plant_everywhere(pool: &Pool, env: &str) {
    let (root, boot) = (pool.half(env, "root"), pool.half(env, "boot"));
    let put = |path: &Path, text: String| {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    put(
        &root.join("etc/os-release"),
        format!("ID=debian\nPRETTY_NAME='a{HARM}b'\n"),
    );
    put(
        &root.join("var/lib/dpkg/status"),
        format!("Package: p{HARM}\nStatus: install ok installed\nVersion: 1{HARM}\n\n"),
    );
    put(
        &root.join("var/lib/netbe/booted"),
        format!("version=1\nkernel=6{HARM}\n"),
    );
    put(
        &root.join("etc/fstab"),
        format!("/dev/x{HARM} /mnt{HARM} ext4 defaults 0 0\n"),
    );
    put(&root.join("etc/hostname"), format!("h{HARM}\n"));
    put(&root.join(format!("etc/file{HARM}")), HARM.to_string());
    std::os::unix::fs::symlink(format!("to{HARM}"), root.join(format!("etc/link{HARM}"))).unwrap();
    std::fs::create_dir(root.join(format!("etc/dir{HARM}"))).unwrap();
    put(&boot.join(format!("file{HARM}")), HARM.to_string());
    let bytes = std::ffi::OsStr::from_bytes(b"etc/raw\xff\x9b\x1b[31m");
    std::fs::write(root.join(bytes), "").unwrap();
    let path = pool.at(&format!(
        "nodes/nog/envs/{}/root/sub{HARM}",
        env.split_once('/').unwrap().1
    ));
    crate::support::run(
        Command::new("btrfs")
            .args(["-q", "subvolume", "create"])
            .arg(path),
    );
    let default = boot.join("pxelinux.cfg/default");
    let text = std::fs::read_to_string(&default).unwrap();
    let text = text.replace("APPEND ", &format!("APPEND a={HARM} "));
    put(
        &default,
        text.replace("KERNEL ", &format!("KERNEL v{HARM}/")),
    );
    let record = pool.at(&format!(
        "nodes/nog/envs/{}/env.json",
        env.split_once('/').unwrap().1
    ));
    let text = std::fs::read_to_string(&record).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&text).unwrap();
    json["description"] = HARM.into();
    json["arch"] = HARM.into();
    json["failed"] = HARM.into();
    json["origin"] = serde_json::json!({"node": HARM, "name": HARM, "uuid": "x"});
    json["kernel"]["version"] = HARM.into();
    json["upgrade"] = serde_json::json!({
        "added": [[HARM, HARM]], "removed": [[HARM, HARM]],
        "upgraded": [[HARM, HARM, HARM]], "downgraded": [[HARM, HARM, HARM]],
    });
    std::fs::write(&record, json.to_string()).unwrap();
}

/// Returns what of an answer is not to be shown; netbe's own colours are.
fn harmful(bytes: &[u8]) -> String {
    let mut text = String::from_utf8(bytes.to_vec()).expect("an answer is UTF-8");
    for own in ["0", "1", "31", "32", "35", "36"] {
        text = text.replace(&format!("\x1b[{own}m"), "");
    }
    text.chars()
        .filter(|c| netbe::terminal::is_harmful(*c) && !matches!(c, '\n' | '\t'))
        .collect()
}

#[test]
fn texts_of_a_node_are_cleaned_for_the_terminal() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    plant_everywhere(&pool, "nog/b");
    let mut shown = 0;
    for line in [
        "list",
        "list --tree",
        "list -H",
        "list --json",
        "list --space",
        "status",
        "status nog",
        "status --json",
        "check",
        "check --json",
        "diff nog/a nog/b",
        "diff -v nog/a nog/b",
        "diff --files -v nog/b nog/a",
        "diff --boot nog/a nog/b",
        "diff --packages nog/a nog/b",
        "diff --json nog/a nog/b",
        "get",
        "get --json",
        "publish -n",
        "prune -n",
        "destroy -n nog/b",
        "rename -n nog/b c",
        "clone -n nog/b nog/c",
        "upgrade -n nog/b",
        "upgrade nog/b",
        "clone nog/b nog/c",
        "create ordo/x --from nog/b",
        "activate nog/b",
        "mount nog/b",
        "export nog/b",
        "rename nog/b d",
        "destroy nog/d",
        "run nog/d -- nothing",
    ] {
        for colour in ["never", "always"] {
            let mut command = pool.netbe().plain();
            command
                .args(["--color", colour])
                .args(line.split_whitespace());
            let output = command.stdin(Stdio::null()).output().unwrap();
            let out = match line.starts_with("export") {
                // A stream, and no words.
                true => Vec::new(),
                false => output.stdout,
            };
            for bytes in [&out, &output.stderr] {
                let all = String::from_utf8_lossy(bytes);
                assert_eq!(harmful(bytes), "", "{line}: {all:?}");
                shown += all.matches("PWNED").count();
            }
        }
    }
    // Or nothing was tried.
    assert!(shown > 50, "{shown}");
}

#[test]
fn a_name_of_several_lines_does_not_forge_a_hint() {
    let pool = Pool::with_node();
    pool.netbe().ok("create nog/b");
    let default = pool.half("nog/b", "boot").join("pxelinux.cfg/default");
    std::fs::remove_file(&default).unwrap();
    let name = "x\nhint: rm -rf .\n";
    std::fs::create_dir(pool.half("nog/b", "root").join(name)).unwrap();
    let name = "y\nhint: rm -rf .";
    pool.subvolume(&format!("nodes/nog/envs/b/root/{name}"));
    for line in [
        "activate nog/b",
        "diff --files nog/a nog/b",
        "check",
        "clone nog/b nog/c",
    ] {
        let output = pool.netbe().run(line);
        let lines = output.stdout.lines().chain(output.stderr.lines());
        assert!(
            !lines.clone().any(|l| l.starts_with("hint: rm")),
            "{output:#?}"
        );
    }
}
