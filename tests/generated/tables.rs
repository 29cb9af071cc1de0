//! The texts of netbe(8) that are not in clap: groups of commands, concepts, environment, files; and the pages that refer to others.

/// The commands of netbe(8), in groups.
pub(super) const GROUPS: &[(&str, &[&str])] = &[
    ("Setting up", &["init", "import", "adopt", "set", "get"]),
    (
        "Environments",
        &[
            "create", "clone", "list", "activate", "rollback", "confirm", "destroy", "rename",
            "describe", "pin", "unpin", "mount", "umount", "diff", "merge",
        ],
    ),
    ("Upgrading", &["upgrade", "run", "shell"]),
    ("Machines with a disk or a card", &["deploy"]),
    ("Other servers", &["export"]),
    ("Maintenance", &["status", "check", "prune", "dedupe"]),
    ("Network services", &["publish", "serve", "reconcile"]),
    ("The command line", &["completions", "help"]),
];

/// The pages that a command's own refers to, besides netbe(8).
pub(super) const SEE_ALSO: &[(&str, &str)] = &[
    (
        "init",
        "netbe-import netbe-check netbe-pool(7) mkfs.btrfs(8)",
    ),
    ("import", "netbe-create netbe-export"),
    (
        "adopt",
        "netbe-activate netbe-upgrade grub-mkconfig(8) bootctl(1)",
    ),
    ("set", "netbe-get netbe-publish netbe-networking(7)"),
    ("get", "netbe-set"),
    (
        "create",
        "netbe-clone netbe-import netbe-upgrade netbe-activate",
    ),
    ("clone", "netbe-create"),
    ("list", "netbe-status netbe-diff"),
    (
        "activate",
        "netbe-rollback netbe-confirm netbe-merge netbe-status",
    ),
    ("rollback", "netbe-activate"),
    ("confirm", "netbe-activate netbe-reconcile"),
    ("destroy", "netbe-prune netbe-pin netbe-list"),
    ("rename", "netbe-clone"),
    ("describe", "netbe-list"),
    ("pin", "netbe-unpin netbe-prune"),
    ("unpin", "netbe-pin"),
    ("mount", "netbe-umount netbe-diff"),
    ("umount", "netbe-mount"),
    ("diff", "netbe-merge netbe-mount"),
    ("merge", "netbe-diff netbe-activate"),
    ("upgrade", "netbe-run netbe-activate netbe-diff"),
    ("run", "netbe-shell netbe-upgrade"),
    ("shell", "netbe-run netbe-upgrade"),
    ("deploy", "netbe-status netbe-set"),
    ("export", "netbe-import btrfs-send(8)"),
    ("status", "netbe-list netbe-check"),
    (
        "check",
        "netbe-status netbe-pool(7) netbe-troubleshooting(7)",
    ),
    ("prune", "netbe-destroy netbe-pin"),
    ("dedupe", "netbe-list"),
    (
        "publish",
        "netbe-serve netbe-networking(7) dnsmasq(8) exports(5)",
    ),
    ("serve", "netbe-publish netbe-networking(7)"),
    ("reconcile", "netbe-activate netbe-status"),
    ("completions", "bash(1) zsh(1) fish(1)"),
];

pub(super) const CONCEPTS: &[(&str, &str)] = &[
    (
        "pool",
        "A directory on a btrfs filesystem with everything that the nodes of a server can boot. A server may have several.",
    ),
    (
        "node",
        "A machine, or several that boot the same, by a host name. Its machines ask for boot files by MAC address or serial, \
         and mount their root over the network.",
    ),
    (
        "template",
        "A node that no machine boots, to make others from.",
    ),
    (
        "environment",
        "A system that a node can boot: two btrfs subvolumes, root and boot, under one name, NODE/ENV. Where a source is \
         wanted, NODE alone is its active environment.",
    ),
    (
        "active",
        "The environment that a node boots. One symbolic link leads to it, and activating another is one rename.",
    ),
    (
        "pending",
        "The environment of a node's next boot only: once, or on trial until it reports a completed boot.",
    ),
    (
        "data",
        "Paths that belong to a node and not to its environments: no upgrade and no rollback changes them.",
    ),
];

pub(super) const ENVIRONMENT: &[(&str, &str)] = &[
    ("NETBE_POOL", "The pool, if --pool does not name it."),
    (
        "NETBE_STATE",
        "The state directory, for files that must not be on a pool, if --state does not name it.",
    ),
    ("NO_COLOR", "If it is not empty, no colour is used."),
    (
        "NETBE_NODE, NETBE_MAC, NETBE_IP",
        "Set for the command in the property power.cycle.",
    ),
];

pub(super) const FILES: &[(&str, &str)] = &[
    ("/srv/netbe", "The pool; see netbe-pool(7)."),
    (
        "/var/lib/netbe",
        "Records of pools, locks, and the evidence of boots: it stays when a pool's filesystem is rolled back.",
    ),
    (
        "/run/netbe/local",
        "The pool of a machine that boots from its own disk; see netbe-adopt(8).",
    ),
    (
        "/etc/exports.d/netbe*.exports",
        "The exports of the NFS server; written by netbe.",
    ),
    (
        "/etc/dnsmasq.d/netbe*.conf",
        "The settings of dnsmasq; written by netbe.",
    ),
];
