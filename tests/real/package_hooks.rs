//! The hooks that `netbe adopt` writes, called by the real apt, pacman, dnf and zypper of Debian's packages.
//!
//! The files are those that `adopt` writes on a machine that has all four. netbe itself is a stand-in here, which notes what was
//! installed when it was called: that has to be what was there before.

// Tests say with a panic what went wrong; clippy knows only functions marked as tests.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use super::managers::{INCLUDE, REPOSITORIES, ok, put, read};
use super::support::{Machine, Pool};

/// Where Fedora has DNF's plugins, and where Debian has them.
const PLUGINS: [&str; 2] = [
    "usr/lib/python3.11/site-packages/dnf-plugins",
    "usr/lib/python3/dist-packages/dnf-plugins",
];
/// Notes each call, and the version of the package that is installed at that time.
const NETBE: &str =
    "#!/bin/sh\necho \"$* $(cat /usr/share/hello/version 2>&1)\" >>/var/lib/called\n";
const CALLED: &str = "--quiet --pool /run/netbe/local create --before-packages";

/// A package manager, and what installs the second state of a package with it.
struct Manager {
    name: &'static str,
    /// What `adopt` writes for it, and where it is here.
    hook: [String; 2],
    script: &'static str,
}

fn managers() -> [Manager; 4] {
    let same = |path: &str| [path.to_string(), path.to_string()];
    [
        Manager {
            name: "apt",
            hook: same("etc/apt/apt.conf.d/80netbe"),
            script: "cd /tmp; for v in 1.0~rc1 1.0; do
                mkdir -p deb/DEBIAN deb/usr/share/hello; echo $v >deb/usr/share/hello/version
                printf '%s\\n' 'Package: hello-netbe' \"Version: $v\" 'Architecture: all' 'Maintainer: nobody <n@example.org>' \
                    'Description: hello' >deb/DEBIAN/control
                dpkg-deb --build deb hello.deb; apt-get -y install ./hello.deb; done
                apt-get -y purge hello-netbe",
        },
        Manager {
            name: "pacman",
            hook: same("etc/pacman.d/hooks/00-netbe.hook"),
            script: "for n in 1 2; do
                printf '[options]\\nArchitecture = auto\\nSigLevel = Never\\nHookDir = /etc/pacman.d/hooks\\n[ours]\\nServer = file:///srv/arch/%s\\n' $n >/etc/pacman.conf
                pacman -Syu --noconfirm hello; done
                pacman -R --noconfirm hello",
        },
        Manager {
            name: "dnf",
            hook: PLUGINS.map(|dir| format!("{dir}/netbe.py")),
            script: "rpm --initdb; does() { dnf -y --repofrompath local$1,file:///srv/rpm/$1 --repo local$1 --nogpgcheck $2 hello; }
                does 1 install; does 2 upgrade
                dnf -y remove hello",
        },
        Manager {
            name: "zypper",
            hook: same("usr/lib/zypp/plugins/commit/netbe"),
            script: "for n in 1 2; do
                zypper --non-interactive --no-gpg-checks --plus-repo /srv/rpm/$n install hello; done
                # Debian's cannot read a database without packages.
                zypper --non-interactive remove hello || [ ! -e /usr/share/hello/version ]",
        },
    ]
}

#[test]
fn each_package_manager_calls_adopts_hook_before_it_changes_files() {
    let machine = Machine::new();
    for dir in ["etc/apt/apt.conf.d", PLUGINS[0], "usr/lib/zypp"] {
        fs::create_dir_all(machine.root.join(dir)).unwrap();
    }
    put(&machine.root.join("etc/pacman.conf"), "[options]\n");
    machine.ok("netbe adopt nog --yes");

    let pool = Pool::new();
    let netbe = pool.netbe();
    let system = super::real(&["--include", INCLUDE]);
    netbe.ok(&format!("import base/stock {}", system.display()));
    ok(
        &netbe,
        &["run", "base/stock", "--", "sh", "-ec", REPOSITORIES],
    );
    // What is active is not changed by a run.
    netbe.ok("create nog/first --from base/stock");
    for manager in managers() {
        let name = format!("nog/{}", manager.name);
        netbe.ok(&format!("create {name} --from base/stock"));
        let root = pool.half(&name, "root");
        copy(
            &machine.root,
            "etc/netbe/before-packages",
            &root,
            "etc/netbe/before-packages",
        );
        let [written, here] = &manager.hook;
        copy(&machine.root, written, &root, here);
        put(&root.join("usr/bin/netbe"), NETBE);
        executable(&root.join("usr/bin/netbe"));
        let installing = format!(
            "set -e; mkdir -p /run/netbe/local; touch /run/netbe/local/pool.json; {}",
            manager.script
        );
        let output = ok(&netbe, &["run", &name, "--", "sh", "-c", &installing]);

        let called = fs::read_to_string(root.join("var/lib/called"))
            .unwrap_or_else(|e| panic!("{}: {e}\n{output}", manager.name));
        let calls: Vec<&str> = called.lines().collect();
        assert!(
            calls.iter().all(|call| call.starts_with(CALLED)),
            "{called}"
        );
        // Before it was there, before it was upgraded, before it was removed.
        assert_eq!(calls.len(), 3, "{}: {called}\n{output}", manager.name);
        assert!(calls[0].ends_with("No such file or directory"), "{called}");
        assert!(calls[1].contains("rc"), "{called}");
        assert!(calls[2].ends_with(" 1.0"), "{called}");
    }
}

fn copy(from: &Path, file: &str, to: &Path, place: &str) {
    let text = read(&from.join(file));
    put(&to.join(place), &text);
    fs::set_permissions(
        to.join(place),
        fs::metadata(from.join(file)).unwrap().permissions(),
    )
    .unwrap();
}

fn executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
