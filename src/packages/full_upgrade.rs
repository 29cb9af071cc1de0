//! The commands of a distribution's full upgrade.
//!
//! They ask nothing, keep configuration that was changed, and wait for a lock where the package manager
//! can. Not for running them.

use super::distribution::{Distribution, Family};
use super::repo_index;

/// One command of a full upgrade.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// What it does, as progress is told: `updating package lists`; nothing of a command of somebody's.
    pub what: &'static str,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Variables it wants.
    pub env: Vec<(String, String)>,
    /// Exit statuses besides 0 that mean it was done.
    pub also_done: &'static [i32],
}

impl Step {
    /// Returns whether an exit status means that it was done.
    pub fn is_done(&self, status: i32) -> bool {
        status == 0 || self.also_done.contains(&status)
    }

    fn new(what: &'static str, words: &[&str], env: &[(&str, &str)]) -> Self {
        Self {
            what,
            argv: words.iter().map(|word| (*word).to_string()).collect(),
            env: env
                .iter()
                .map(|(k, v)| ((*k).to_string(), (*v).to_string()))
                .collect(),
            also_done: &[],
        }
    }
}

const LISTS: &str = "updating package lists";
const KEYS: &str = "updating the distribution's keys";
const PACKAGES: &str = "upgrading packages";

impl Distribution {
    /// Returns the commands of its full upgrade, in order; `None` where `upgrade.command` has to say.
    ///
    /// Files of configuration that were changed are kept, each package manager's own settings in the
    /// environment hold, and nothing is removed that the upgrade itself does not have to remove.
    pub fn full_upgrade(&self) -> Option<Vec<Step>> {
        match self.family {
            Family::Debian => Some(debian()),
            Family::Arch => Some(arch(&self.id)),
            Family::Alpine => Some(alpine()),
            Family::Fedora => Some(fedora()),
            Family::Suse => Some(suse()),
            Family::Unknown => None,
        }
    }
}

/// Package scripts ask nothing, list no news, and restart nothing.
const DEBIAN_ENV: &[(&str, &str)] = &[
    ("DEBIAN_FRONTEND", "noninteractive"),
    ("DEBIAN_PRIORITY", "critical"),
    ("DEBCONF_NONINTERACTIVE_SEEN", "true"),
    ("APT_LISTCHANGES_FRONTEND", "none"),
    ("NEEDRESTART_SUSPEND", "1"),
    // ucf keeps conffiles that dpkg knows nothing of.
    ("UCF_FORCE_CONFFOLD", "1"),
];

/// For every apt-get: wait for another one's lock, and write plain lines.
const APT: &[&str] = &[
    "apt-get",
    "-o",
    "DPkg::Lock::Timeout=120",
    "-o",
    "Dpkg::Use-Pty=0",
    "-o",
    "quiet::NoProgress=1",
];

fn debian() -> Vec<Step> {
    let update = [
        // Without it apt-get ends with 0 when an index could not be fetched, and an old one is used.
        "-o",
        "APT::Update::Error-Mode=any",
        "update",
    ];
    let upgrade = [
        "-y",
        "-o",
        "Dpkg::Options::=--force-confdef",
        "-o",
        "Dpkg::Options::=--force-confold",
        "dist-upgrade",
    ];
    vec![apt(LISTS, &update), apt(PACKAGES, &upgrade)]
}

pub(super) fn apt(what: &'static str, arguments: &[&str]) -> Step {
    Step::new(what, &[APT, arguments].concat(), DEBIAN_ENV)
}

/// Where packages are downloaded to: a mount of its own, empty or with what the pool has of them.
const CACHE: &str = "/run/netbe/packages";

/// For every pacman: no question, no bar. It waits for no lock; in a copy nobody else holds one.
const PACMAN: &[&str] = &[
    "pacman",
    "--noconfirm",
    "--noprogressbar",
    "--color",
    "never",
    "--cachedir",
    CACHE,
];

/// The packages with the keys that others are signed with: after some months without an upgrade the new
/// ones are not known yet, and everything signed with them would be refused.
///
/// Of others of Arch's family it is not known what theirs is called.
fn keyrings(id: &str) -> &'static [&'static str] {
    match id {
        "arch" => &["archlinux-keyring"],
        "archarm" => &["archlinuxarm-keyring"],
        "endeavouros" => &["archlinux-keyring", "endeavouros-keyring"],
        "manjaro" => &["archlinux-keyring", "manjaro-keyring"],
        _ => &[],
    }
}

fn arch(id: &str) -> Vec<Step> {
    // The one package that is new for a moment stays no partial upgrade: everything else follows, or
    // nothing of it is kept.
    let (first, keys): (&str, &[&str]) = match keyrings(id) {
        [] => (LISTS, &[]),
        keys => (KEYS, keys),
    };
    let needed: &[&str] = match keys.is_empty() {
        true => &[],
        false => &["--needed"],
    };
    vec![
        pacman(first, &[&["-Sy"], needed, keys].concat()),
        pacman(PACKAGES, &["-Su"]),
    ]
}

pub(super) fn pacman(what: &'static str, arguments: &[&str]) -> Step {
    Step::new(what, &[PACMAN, arguments].concat(), &[])
}

/// For every apk: wait for another one's lock, for so many seconds; no bar.
const APK: &[&str] = &["apk", "--wait", "120", "--no-progress"];

fn alpine() -> Vec<Step> {
    vec![
        // Ends with the number of indexes that could not be fetched.
        apk(LISTS, &["update"]),
        // What the repositories have, also where that is older, or another build of the same version.
        apk(PACKAGES, &["upgrade", "--available"]),
    ]
}

fn apk(what: &'static str, arguments: &[&str]) -> Step {
    Step::new(what, &[APK, arguments].concat(), &[])
}

fn fedora() -> Vec<Step> {
    // It waits for locks by itself. Lists that cannot be fetched end it, unless their own
    // `skip_if_unavailable` says otherwise.
    vec![
        dnf(LISTS, &["--refresh", "makecache"]),
        dnf(PACKAGES, &["upgrade"]),
    ]
}

pub(super) fn dnf(what: &'static str, arguments: &[&str]) -> Step {
    let cache = format!("{CACHE}/{}", repo_index::DNF);
    // Version 5 has another name for root's. Packages are kept as long as the upgrade runs; lists come in a form
    // that can be read by others, too.
    let settings = [
        format!("--setopt=cachedir={cache}"),
        format!("--setopt=system_cachedir={cache}"),
        "--setopt=keepcache=1".to_string(),
        "--setopt=zchunk=0".to_string(),
    ];
    let mut words = vec!["dnf", "-y"];
    words.extend(settings.iter().map(String::as_str));
    Step::new(what, &[&words[..], arguments].concat(), &[])
}

/// How many seconds to wait for another one's lock.
const SUSE_ENV: &[(&str, &str)] = &[("ZYPP_LOCK_TIMEOUT", "120")];

/// zypper(8), "EXIT CODES": to be restarted is the machine (102), or zypper itself (103); a script of a
/// package failed (107), which dnf, too, only tells of. A repository that was left out (106) is none of
/// them: nobody knows what did not come.
const SUSE_DONE: &[i32] = &[102, 103, 107];

fn suse() -> Vec<Step> {
    vec![zypper(LISTS, &["refresh"]), zypper_upgrade(PACKAGES, &[])]
}

fn zypper(what: &'static str, arguments: &[&str]) -> Step {
    let cache = format!("{CACHE}/{}", repo_index::ZYPP);
    let words = ["zypper", "--non-interactive", "--pkg-cache-dir", &cache];
    Step::new(what, &[&words[..], arguments].concat(), SUSE_ENV)
}

pub(super) fn zypper_upgrade(what: &'static str, more: &[&str]) -> Step {
    let upgrade = ["--no-refresh", "dist-upgrade", "--auto-agree-with-licenses"];
    let mut upgrade = zypper(what, &[&upgrade[..], more].concat());
    upgrade.also_done = SUSE_DONE;
    upgrade
}

#[cfg(test)]
mod tests {
    use super::super::recognise;

    fn lines(os_release: &str) -> Vec<String> {
        let steps = recognise(os_release).full_upgrade().unwrap_or_default();
        steps.iter().map(|step| step.argv.join(" ")).collect()
    }

    #[test]
    fn debians_upgrade_asks_nothing_and_keeps_configuration() {
        let steps = recognise("ID=debian\n").full_upgrade().unwrap();
        assert_eq!(steps.len(), 2);
        let line = steps[1].argv.join(" ");
        for part in ["apt-get ", " -y ", "--force-confold", " dist-upgrade"] {
            assert!(line.contains(part), "{line}");
        }
        assert!(!line.contains("autoremove"));
        assert!(steps[0].argv.join(" ").contains("Error-Mode=any update"));
        assert!(steps.iter().all(|s| {
            s.env
                .contains(&("DEBIAN_FRONTEND".into(), "noninteractive".into()))
        }));
        assert!(steps.iter().all(|s| s.is_done(0) && !s.is_done(100)));
    }

    #[test]
    fn each_family_has_its_own() {
        let pacman =
            "pacman --noconfirm --noprogressbar --color never --cachedir /run/netbe/packages";
        let dnf = "dnf -y --setopt=cachedir=/run/netbe/packages/dnf --setopt=system_cachedir=/run/netbe/packages/dnf --setopt=keepcache=1 --setopt=zchunk=0";
        let zypper = "zypper --non-interactive --pkg-cache-dir /run/netbe/packages/zypp";
        for (os_release, want) in [
            (
                "ID=arch\n",
                &[
                    &format!("{pacman} -Sy --needed archlinux-keyring")[..],
                    &format!("{pacman} -Su"),
                ][..],
            ),
            (
                "ID=archarm\nID_LIKE=arch\n",
                &[
                    &format!("{pacman} -Sy --needed archlinuxarm-keyring"),
                    &format!("{pacman} -Su"),
                ],
            ),
            (
                "ID=other\nID_LIKE=arch\n",
                &[&format!("{pacman} -Sy"), &format!("{pacman} -Su")],
            ),
            (
                "ID=alpine\n",
                &[
                    "apk --wait 120 --no-progress update",
                    "apk --wait 120 --no-progress upgrade --available",
                ],
            ),
            (
                "ID=fedora\n",
                &[
                    &format!("{dnf} --refresh makecache"),
                    &format!("{dnf} upgrade"),
                ],
            ),
            (
                "ID=rocky\nID_LIKE=\"rhel centos fedora\"\n",
                &[
                    &format!("{dnf} --refresh makecache"),
                    &format!("{dnf} upgrade"),
                ],
            ),
            (
                "ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n",
                &[
                    &format!("{zypper} refresh"),
                    &format!("{zypper} --no-refresh dist-upgrade --auto-agree-with-licenses"),
                ],
            ),
            ("ID=slackware\n", &[]),
        ] {
            assert_eq!(lines(os_release), want, "{os_release}");
        }
    }

    #[test]
    fn that_a_restart_is_due_is_no_failure() {
        let steps = recognise("ID=opensuse-leap\n").full_upgrade().unwrap();
        for (status, refreshed, upgraded) in [
            (0, true, true),
            (4, false, false),
            (102, false, true),
            (103, false, true),
            (106, false, false),
            (107, false, true),
        ] {
            assert_eq!(steps[0].is_done(status), refreshed, "{status}");
            assert_eq!(steps[1].is_done(status), upgraded, "{status}");
        }
    }
}
