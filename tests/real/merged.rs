//! A merge on a real Debian: what the node installed and changed, with a newer system, and dpkg content with it.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::real;
use super::support::{Pool, run};

/// Makes a package with a configuration file of its own name.
fn package(repository: &Path, name: &str, version: &str, depends: &str, text: &str) {
    let work = tempfile::tempdir().expect("there is a directory for temporary files");
    let put = |path: &str, text: &str| {
        let path = work.path().join(path);
        fs::create_dir_all(path.parent().expect("it is in one")).expect("it is writable");
        fs::write(path, text).expect("it is writable");
    };
    let depends = match depends {
        "" => String::new(),
        depends => format!("Depends: {depends}\n"),
    };
    put(
        "DEBIAN/control",
        &format!(
            "Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\n{depends}Description: of a test\n"
        ),
    );
    put("DEBIAN/conffiles", &format!("/etc/{name}.conf\n"));
    put(&format!("etc/{name}.conf"), text);
    put(&format!("usr/share/{name}/version"), version);
    fs::create_dir_all(repository).expect("it is writable");
    run(Command::new("dpkg-deb")
        .args(["--root-owner-group", "--build"])
        .args([work.path(), repository]));
    run(Command::new("sh")
        .args(["-ec", "apt-ftparchive packages . >Packages"])
        .current_dir(repository));
}

/// Makes a repository in an environment's root.
fn offer(root: &Path, version: &str, settings_of_tool: &str) {
    let repository = root.join("srv/apt");
    package(&repository, "app", version, "", "colour=red\nsize=1\n");
    package(&repository, "tool", version, "", settings_of_tool);
    package(&repository, "extra-data", version, "", "data\n");
    package(&repository, "extra", version, "extra-data", "extra\n");
    fs::write(
        root.join("etc/apt/sources.list"),
        "deb [trusted=yes] file:/srv/apt ./\n",
    )
    .expect("it is writable");
    let more = root.join("etc/apt/sources.list.d");
    for entry in fs::read_dir(&more).into_iter().flatten().flatten() {
        fs::remove_file(entry.path()).expect("it is a file");
    }
}

#[test]
fn packages_and_settings_of_a_node_come_into_a_newer_system() {
    let pool = Pool::new();
    let netbe = pool.netbe();
    netbe.ok(&format!("import debian/base {}", real(&[]).display()));
    let root = |env: &str| pool.half(env, "root");
    offer(&root("debian/base"), "1.0", "tool=1\n");
    let sh = |line: &str, script: &str| {
        let mut words: Vec<&str> = line.split(' ').collect();
        words.extend(["--", "sh", "-ec", script]);
        let done = netbe.run_with(&words);
        assert_eq!(done.status, 0, "{done:#?}");
        done.stdout
    };
    sh(
        "run debian/base",
        "apt-get -qq update; apt-get -qy install app tool",
    );
    netbe.ok("create nog/first");
    // What is done on the node: another package and what it needs, one removed again, settings.
    sh(
        "upgrade --node nog --name second -a",
        "apt-get -qq update; apt-get -qy install extra
         printf 'colour=blue\\nsize=1\\n' >/etc/app.conf
         echo 'tool=own' >/etc/tool.conf
         useradd -m -u 1234 ann",
    );
    offer(&root("debian/base"), "2.0", "tool=2\n");
    netbe.ok("upgrade --node debian --name new -a");
    netbe.ok("create nog/third --from debian/new");
    let done = netbe.run("merge nog/second nog/third --packages --name merged");
    assert_eq!(done.status, 1, "{done:#?}");
    assert!(
        done.stdout
            .contains("C /etc/tool.conf  changed in both; FROM's: /etc/tool.conf.netbe-second"),
        "{done:#?}"
    );
    assert!(
        done.stderr.contains("installed as in nog/second: extra\n"),
        "{done:#?}"
    );
    let read = |path: &str| fs::read_to_string(root("nog/merged").join(path)).expect(path);
    assert_eq!(read("etc/app.conf"), "colour=blue\nsize=1\n");
    assert_eq!(read("etc/tool.conf"), "tool=2\n");
    assert_eq!(read("etc/tool.conf.netbe-second"), "tool=own\n");
    assert!(read("etc/passwd").contains("\nann:x:1234:"));
    assert!(root("nog/merged").join("home/ann/.profile").exists());
    for name in ["app", "tool", "extra", "extra-data"] {
        assert_eq!(read(&format!("usr/share/{name}/version")), "2.0", "{name}");
    }
    assert_eq!(sh("run nog/merged", "dpkg --audit"), "");
    sh("run nog/merged", "apt-get check");
    let automatic = sh("run nog/merged", "apt-mark showauto extra extra-data");
    assert_eq!(automatic, "extra-data\n");
    let left = sh("run nog/merged", "dpkg -V app extra extra-data");
    assert!(
        left.lines().all(|line| line.ends_with("/etc/app.conf")),
        "{left}"
    );
}
