//! The hooks that package managers of the running system call before they change it: they keep it as an environment.
//!
//! Each does nothing while the property `packages.before` is off, in a copy that netbe upgrades, and after netbe was removed.
//! Pure, except for finding the managers.

use std::path::{Path, PathBuf};

use crate::pool::local;

/// The mark in every file that `adopt` writes.
pub(super) const MARK: &str = "# Written by netbe adopt, and removed by netbe adopt --undo.";

/// The script that all of them call.
const SCRIPT: &str = "/etc/netbe/before-packages";

/// A package manager.
struct Manager {
    /// A path that exists if the manager is installed; of a pattern with `*`, one directory.
    is_there: &'static str,
    /// The hook's file, relative to that directory if it has no leading slash.
    file: &'static str,
    text: fn() -> String,
    mode: u32,
}

const MANAGERS: &[Manager] = &[
    Manager {
        is_there: "/etc/apt/apt.conf.d",
        file: "80netbe",
        text: apt,
        mode: 0o644,
    },
    Manager {
        is_there: "/etc/pacman.conf",
        file: "/etc/pacman.d/hooks/00-netbe.hook",
        text: pacman,
        mode: 0o644,
    },
    // It needs the package libdnf5-plugin-actions.
    Manager {
        is_there: "/etc/dnf/libdnf5-plugins/actions.d",
        file: "netbe.actions",
        text: dnf5,
        mode: 0o644,
    },
    Manager {
        is_there: "/usr/lib/python3.*/site-packages/dnf-plugins",
        file: "netbe.py",
        text: dnf,
        mode: 0o644,
    },
    Manager {
        is_there: "/usr/lib/zypp",
        file: "/usr/lib/zypp/plugins/commit/netbe",
        text: zypper,
        mode: 0o755,
    },
];

/// A file to write.
#[derive(Debug)]
pub(super) struct Hook {
    pub(super) path: PathBuf,
    pub(super) text: String,
    pub(super) mode: u32,
}

/// Returns the files for the package managers that a root has, and the script that they call.
pub(super) fn hooks(root: &Path) -> Vec<Hook> {
    let below = |path: &str| root.join(path.trim_start_matches('/'));
    let mut found: Vec<Hook> = MANAGERS
        .iter()
        .filter_map(|manager| {
            let dir = expanded(&below(manager.is_there))?;
            let path = match manager.file.starts_with('/') {
                true => below(manager.file),
                false => dir.join(manager.file),
            };
            Some(Hook {
                path,
                text: (manager.text)(),
                mode: manager.mode,
            })
        })
        .collect();
    if !found.is_empty() {
        found.push(Hook {
            path: below(SCRIPT),
            text: script(),
            mode: 0o755,
        });
    }
    found
}

/// Returns the path if it exists; of a pattern in the last component but two, the last match in order.
fn expanded(pattern: &Path) -> Option<PathBuf> {
    let text = pattern.to_str()?;
    let Some((start, end)) = text.split_once('*') else {
        return pattern.exists().then(|| pattern.to_path_buf());
    };
    let (dir, begins) = start.rsplit_once('/')?;
    let names = std::fs::read_dir(dir).ok()?.flatten();
    let mut names: Vec<String> = names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(begins))
        .map(|name| format!("{dir}/{name}{end}"))
        .filter(|path| Path::new(path).is_dir())
        .collect();
    names.sort();
    names.pop().map(PathBuf::from)
}

fn script() -> String {
    format!(
        "#!/bin/sh\n{MARK}\n# An environment as the system is, where netbe set packages.before=on.\n\
         [ -e {0}/pool.json ] && command -v netbe >/dev/null || exit 0\n\
         netbe --quiet --pool {0} create --before-packages || true\n",
        local::DIR
    )
}

/// apt.conf(5), `DPkg::Pre-Invoke`.
fn apt() -> String {
    format!("{MARK}\nDPkg::Pre-Invoke {{ \"[ ! -x {SCRIPT} ] || {SCRIPT}\"; }};\n")
}

/// alpm-hooks(5).
fn pacman() -> String {
    format!(
        "{MARK}\n[Trigger]\nOperation = Install\nOperation = Upgrade\nOperation = Remove\nType = Package\nTarget = *\n\n\
         [Action]\nDescription = Keeping the system as it is...\nWhen = PreTransaction\nExec = {SCRIPT}\n"
    )
}

/// libdnf5-actions(8).
fn dnf5() -> String {
    format!("{MARK}\npre_transaction::::{SCRIPT}\n")
}

/// DNF 4's plugins: `dnf.Plugin.pre_transaction`.
fn dnf() -> String {
    format!(
        "{MARK}\nimport os\nimport subprocess\n\nimport dnf\n\n\nclass Netbe(dnf.Plugin):\n    name = \"netbe\"\n\n    \
         def pre_transaction(self):\n        if os.access(\"{SCRIPT}\", os.X_OK):\n            \
         subprocess.call([\"{SCRIPT}\"])\n"
    )
}

/// libzypp's commit plugins: frames that end with a NUL, each of which is acknowledged.
fn zypper() -> String {
    format!(
        "#!/bin/bash\n{MARK}\nwhile IFS= read -r -d '' frame; do\n    \
         case ${{frame%%$'\\n'*}} in COMMITBEGIN) [[ ! -x {SCRIPT} ]] || {SCRIPT} >/dev/null 2>&1 ;; esac\n    \
         printf 'ACK\\n\\n\\0'\ndone\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_manager_that_is_there_gets_its_own() {
        let root = tempfile::tempdir().unwrap();
        assert!(hooks(root.path()).is_empty());
        for dir in [
            "etc/apt/apt.conf.d",
            "usr/lib/python3.9/site-packages/dnf-plugins",
            "usr/lib/python3.12/x",
            "usr/lib/zypp",
        ] {
            std::fs::create_dir_all(root.path().join(dir)).unwrap();
        }
        let found = hooks(root.path());
        let mut paths: Vec<&str> = found
            .iter()
            .map(|hook| {
                hook.path
                    .strip_prefix(root.path())
                    .unwrap()
                    .to_str()
                    .unwrap()
            })
            .collect();
        paths.sort_unstable();
        assert_eq!(
            paths,
            [
                "etc/apt/apt.conf.d/80netbe",
                "etc/netbe/before-packages",
                "usr/lib/python3.9/site-packages/dnf-plugins/netbe.py",
                "usr/lib/zypp/plugins/commit/netbe",
            ]
        );
        assert!(found.iter().all(|hook| hook.text.contains(MARK)));
    }
}
