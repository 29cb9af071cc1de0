//! The commands of a distribution's full upgrade.
//!
//! They ask nothing, keep configuration that was changed, and wait for a lock where the package manager
//! can. Not for running them.

use super::archives::{self, Archive};
use super::release::{Distribution, Family};

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

/// How the packages of a full upgrade are had before it: from elsewhere, by whoever knows them.
#[derive(Debug, Clone)]
pub struct Downloads {
    /// Tells which packages are wanted and not there yet.
    pub list: Step,
    /// Reads what that says.
    pub read: fn(&str) -> Vec<Archive>,
    /// Downloads them, and no more.
    pub fetch: Step,
}

const LISTS: &str = "updating package lists";
const KEYS: &str = "updating the distribution's keys";
const PACKAGES: &str = "upgrading packages";

impl Distribution {
    /// Returns how the packages of the last step of the full upgrade can be had before it; `None` where
    /// that is not known.
    pub fn downloads(&self) -> Option<Downloads> {
        match self.family {
            Family::Debian => Some(Downloads {
                list: apt(
                    "finding out what is wanted",
                    &[
                        "-qq",
                        "-y",
                        // Otherwise it prints MD5 sums, and none where the index has only better ones.
                        "-o",
                        "Acquire::ForceHash=SHA256",
                        "--print-uris",
                        "dist-upgrade",
                    ],
                ),
                read: archives::of_apt,
                fetch: apt(
                    "downloading packages",
                    &["-y", "--download-only", "dist-upgrade"],
                ),
            }),
            _ => None,
        }
    }

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

fn apt(what: &'static str, arguments: &[&str]) -> Step {
    Step::new(what, &[APT, arguments].concat(), DEBIAN_ENV)
}

/// For every pacman: no question, no bar. It waits for no lock; in a copy nobody else holds one.
const PACMAN: &[&str] = &[
    "pacman",
    "--noconfirm",
    "--noprogressbar",
    "--color",
    "never",
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
        Step::new(first, &[PACMAN, &["-Sy"], needed, keys].concat(), &[]),
        Step::new(PACKAGES, &[PACMAN, &["-Su"]].concat(), &[]),
    ]
}

/// For every apk: wait for another one's lock, for so many seconds; no bar.
const APK: &[&str] = &["apk", "--wait", "120", "--no-progress"];

fn alpine() -> Vec<Step> {
    // Ends with the number of indexes that could not be fetched.
    vec![
        Step::new(LISTS, &[APK, &["update"]].concat(), &[]),
        // What the repositories have, also where that is older, or another build of the same version.
        Step::new(PACKAGES, &[APK, &["upgrade", "--available"]].concat(), &[]),
    ]
}

fn fedora() -> Vec<Step> {
    // It waits for locks by itself. Lists that cannot be fetched end it, unless their own
    // `skip_if_unavailable` says otherwise.
    vec![Step::new(
        PACKAGES,
        &["dnf", "-y", "--refresh", "upgrade"],
        &[],
    )]
}

/// How many seconds to wait for another one's lock.
const SUSE_ENV: &[(&str, &str)] = &[("ZYPP_LOCK_TIMEOUT", "120")];

/// zypper(8), "EXIT CODES": to be restarted is the machine (102), or zypper itself (103); a script of a
/// package failed (107), which dnf, too, only tells of. A repository that was left out (106) is none of
/// them: nobody knows what did not come.
const SUSE_DONE: &[i32] = &[102, 103, 107];

fn suse() -> Vec<Step> {
    let zypper = ["zypper", "--non-interactive"];
    let upgrade = ["--no-refresh", "dist-upgrade", "--auto-agree-with-licenses"];
    let mut upgrade = Step::new(PACKAGES, &[&zypper[..], &upgrade].concat(), SUSE_ENV);
    upgrade.also_done = SUSE_DONE;
    vec![
        Step::new(LISTS, &[&zypper[..], &["refresh"]].concat(), SUSE_ENV),
        upgrade,
    ]
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
        let pacman = "pacman --noconfirm --noprogressbar --color never";
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
            ("ID=fedora\n", &["dnf -y --refresh upgrade"]),
            (
                "ID=rocky\nID_LIKE=\"rhel centos fedora\"\n",
                &["dnf -y --refresh upgrade"],
            ),
            (
                "ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n",
                &[
                    "zypper --non-interactive refresh",
                    "zypper --non-interactive --no-refresh dist-upgrade --auto-agree-with-licenses",
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
