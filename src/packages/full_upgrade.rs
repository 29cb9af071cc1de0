//! The commands of a distribution's full upgrade.
//!
//! They ask nothing, keep changed configuration files, and wait for locks where the package manager can. They are not
//! run here.

use super::distribution::{Distribution, Family};
use super::step::Step;
use super::{apk, apt, dnf, pacman, zypper};

impl Distribution {
    /// Returns the commands of the full upgrade, in order; `None` if `upgrade.command` must be set.
    ///
    /// Changed configuration files are kept, the package manager's own settings apply, and nothing is removed unless
    /// the upgrade requires it.
    pub fn full_upgrade(&self) -> Option<Vec<Step>> {
        match self.family {
            Family::Debian => Some(apt::full_upgrade()),
            Family::Arch => Some(pacman::full_upgrade(&self.id)),
            Family::Alpine => Some(apk::full_upgrade()),
            Family::Fedora => Some(dnf::full_upgrade()),
            Family::Suse => Some(zypper::full_upgrade()),
            Family::Unknown => None,
        }
    }
}

impl Distribution {
    /// Returns the main command of the full upgrade, without the options against questions; `None` if there is none.
    pub fn in_short(&self) -> Option<&'static str> {
        match self.family {
            Family::Debian => Some("apt-get dist-upgrade"),
            Family::Arch => Some("pacman -Syu"),
            Family::Alpine => Some("apk upgrade --available"),
            Family::Fedora => Some("dnf upgrade"),
            Family::Suse => Some("zypper dist-upgrade"),
            Family::Unknown => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::recognise;

    fn lines(os_release: &str) -> Vec<String> {
        let steps = recognise(os_release).full_upgrade().unwrap_or_default();
        steps.iter().map(|step| step.argv.join(" ")).collect()
    }

    #[test]
    fn debians_upgrade_is_noninteractive_and_keeps_configuration() {
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
    fn each_family_has_its_commands() {
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
    fn a_required_restart_is_not_a_failure() {
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
        assert_eq!(steps[1].asks(0), None);
        assert_eq!(steps[1].asks(102), None);
        assert!(steps[1].asks(103).unwrap().contains("once more"));
        assert!(steps[1].asks(107).unwrap().contains("script"));
    }
}
