//! The content of the pool in which a documented command runs, with the names that the documents use.
//!
//! A command passes if it does on one of these days. Not for where it runs: see `ground.rs`.

/// A day in the life of a server, in the order in which they are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scene {
    /// There is no pool.
    Bare,
    /// There is a pool with a template, and no node.
    FirstDay,
    /// There are nodes, with older and newer environments.
    Later,
}

impl Scene {
    /// All of them, as they are made.
    pub(crate) const ALL: [Self; 3] = [Self::Bare, Self::FirstDay, Self::Later];
    /// All of them, as a command tries them.
    pub(crate) const TRIED: [Self; 3] = [Self::Later, Self::FirstDay, Self::Bare];

    /// Returns the scene that it is made from.
    pub(crate) fn before(self) -> Option<Self> {
        match self {
            Self::Bare => None,
            Self::FirstDay => Some(Self::Bare),
            Self::Later => Some(Self::FirstDay),
        }
    }

    /// Returns the commands that make it.
    pub(crate) fn made(self) -> &'static str {
        match self {
            Self::Bare => "",
            Self::FirstDay => {
                "netbe init --file 8G --server 10.0.0.1
                netbe import debian/12 debian.tar.zst
                "
            }
            Self::Later => {
                "netbe create nog/first --mac dc:a6:32:01:02:03 --serial 9ffefdef --ip dhcp
                for env in a b old older 20261120T101500Z rescue second; do
                    netbe create nog/$env
                done
                netbe upgrade nog --name next
                netbe activate nog/b
                netbe activate nog/first
                netbe create ordo/first --mac 52:54:00:6f:72:64
                netbe create ordo/old
                netbe activate ordo/old
                netbe activate ordo/first
                netbe create ordo/second
                netbe upgrade ordo --name next
                netbe create werda/first
                netbe create web/first --mac 52:54:00:77:65:01 --mac 52:54:00:77:65:02
                netbe create rack1-1/first --mac 52:54:00:00:01:01
                netbe create rack1-2/first --mac 52:54:00:00:01:02
                netbe set access=ro --existing web
                netbe create web/second
                netbe import raspbian 2026-10-01-raspios-trixie-arm64-lite.img.xz
                netbe create exported/a --from nog
                netbe set data=/home exported
                netbe export exported/a --data -o /mnt/usb/nog-a.netbe
                netbe destroy -r exported --data -y
                "
            }
        }
    }

    /// Returns the commands that make the pool of the other server, which `ssh` leads to.
    pub(crate) fn other(self) -> &'static str {
        match self {
            Self::Later => "mkdir /srv/other; netbe --state /srv/other-state init /srv/other --file 4G --server 10.0.0.1",
            _ => {
                "mkdir /srv/other; netbe --state /srv/other-state init /srv/other --file 4G --server 10.0.0.1
                netbe --pool /srv/other --state /srv/other-state import nog/a /mnt/usb/nog-a.netbe --data"
            }
        }
    }
}
