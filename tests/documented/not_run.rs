//! Documented commands that need preparation, that end with another status than 0, or that are not run, with the reasons.
//!
//! An entry that no document has any more fails the test.

use How::{After, Asks, Ends, NotRun, Own, Stays};

use super::own::BOOT;

/// What is special about a line.
#[derive(Debug, Clone, Copy)]
pub(crate) enum How {
    /// It is not run, for this reason.
    NotRun(&'static str),
    /// It ends with this status, for this reason.
    Ends(i32, &'static str),
    /// It goes on until it is stopped.
    Stays,
    /// These commands come first.
    After(&'static [&'static str]),
    /// It is run on a machine that is its own node, after these commands.
    Own(&'static [&'static str]),
    /// These commands come first, and its question is answered with yes.
    Asks(&'static [&'static str]),
}

const MINUTES: &str = "it takes minutes, and is how these tests are run";
const NETWORK: &str = "it installs or removes packages on this machine";
const SYSTEMD: &str = "it has systemd start what this machine then runs";
const OTHER: &str = "it goes to the running node by ssh: tests/environments/deploy_ssh.rs runs it";
const FAT: &str =
    "it needs a kernel that mounts FAT: tests/environments/deploy_boot.rs has cards in memory";
const PARTITION: &str =
    "it needs a disk that has a partition: tests/environments/deploy_ext4.rs has one";
const PACKAGES: &str = "scripts/test --packages runs it";
const RESTORE: &str = "tests/environments/restore.rs runs the whole block, as it stands";
const JOURNAL: &str = "it reads the journal of a systemd that runs the services";
const SHELL: &str = "it opens a shell: tests/e2e/fresh.rs types it";
const PASSWORD: &str = "it asks for a password: tests/e2e/fresh.rs gives one";
const STAYS: &str = "it goes on until it is stopped, and needs packets to see";

/// This machine is a node.
const ADOPT: &str = "netbe adopt --yes";
/// What its distribution's upgrade would do; a network of its own is more than the machine has.
const UPGRADE: &str = "netbe set upgrade.network=host; netbe set upgrade.command='touch /etc/new'";
/// A disk without anything on it; documents call it `/dev/sdb`.
const DISK: &str = "truncate -s 3G /srv/disk; losetup -fP --show /srv/disk >/run/netbe/disk; \
    ln -s \"$(cat /run/netbe/disk)\" /srv/sdb";
/// A stick with an empty btrfs.
const STICK: &str =
    "truncate -s 1G /srv/usb; mkfs.btrfs -q /srv/usb; mount -o loop /srv/usb /mnt/usb";
/// nog is a Raspberry Pi.
const PI: &str = "netbe import raspbian *-trixie-*.img.xz; \
    netbe create nog/first --from raspbian --mac dc:a6:32:01:02:03";
/// The state directory is another machine's.
const FOREIGN: &str = "rm -f /var/lib/netbe/*/place.json";
/// One machine boots web no more.
const ONE_LEFT: &str = "netbe set --force mac=52:54:00:77:65:01 web";
/// netbe serve answers.
const SERVED: &str = "netbe serve >/dev/null 2>&1 & sleep 1";
/// nog fetches its configuration.
const FETCHED: &str = "curl -so /dev/null tftp://10.0.0.1/9ffefdef/pxelinux.cfg/default; sleep 0.3";
const DATA: &str = "netbe set data=/home nog";

/// Lines, and what is special about each; `*` stands for anything. The first that fits counts.
pub(crate) const TABLE: &[(&str, How)] = &[
    (
        "netbe activate nog/first",
        After(&["rm /srv/netbe/nodes/nog/active"]),
    ),
    (
        "tar -C / -xzf /mnt/usb/netbe-state.tar.gz",
        After(&[
            "tar -C / -czf /mnt/usb/netbe-state.tar.gz var/lib/netbe",
            "rm -r /var/lib/netbe/*",
        ]),
    ),
    ("journalctl -u *", NotRun(JOURNAL)),
    ("tcpdump *", NotRun(STAYS)),
    ("cat *nodes/nog/boots.jsonl", After(&[SERVED, FETCHED])),
    (
        "mount -o loop,noatime,nosuid,nodev /srv/netbe.btrfs /srv/netbe",
        After(&["umount /srv/netbe"]),
    ),
    (
        "less *failed-upgrade.log",
        After(&["! netbe upgrade nog -- false"]),
    ),
    ("curl *", After(&["netbe set http=80", SERVED])),
    ("btrfs device add /dev/sdb *", After(&[DISK])),
    ("sudo scripts/*", NotRun(MINUTES)),
    ("cargo *", NotRun(MINUTES)),
    ("scripts/package*", NotRun(PACKAGES)),
    ("*dist/install *", NotRun(PACKAGES)),
    ("rpmbuild *", NotRun(PACKAGES)),
    ("makepkg *", NotRun(PACKAGES)),
    ("rm -r /etc/dnsmasq.d/netbe*", NotRun(SYSTEMD)),
    ("exportfs -ra; systemctl *", NotRun(SYSTEMD)),
    ("sudo apt update", NotRun(NETWORK)),
    ("sudo apt install *", NotRun(NETWORK)),
    ("sudo -i", NotRun(SHELL)),
    ("netbe run debian -- passwd", NotRun(PASSWORD)),
    ("apt purge netbe", NotRun(NETWORK)),
    ("fsfreeze *", NotRun(RESTORE)),
    ("cp --sparse=always *", NotRun(RESTORE)),
    ("tar * --file /mnt/backup/*", NotRun(RESTORE)),
    ("systemctl restart *", NotRun(SYSTEMD)),
    ("systemctl disable *", NotRun(SYSTEMD)),
    ("apt install *", NotRun(NETWORK)),
    ("systemctl enable --now *", NotRun(SYSTEMD)),
    ("netbe adopt --undo", Own(&[ADOPT])),
    ("netbe adopt*", Own(&[])),
    ("netbe upgrade", Own(&[ADOPT, BOOT, UPGRADE])),
    ("netbe rollback", Own(&[ADOPT, BOOT, "netbe create -a"])),
    ("*ssh://root@*", NotRun(OTHER)),
    ("netbe serve*", Stays),
    ("cat *nog/active/boot/cmdline.txt", After(&[PI])),
    ("netbe activate", After(&["netbe activate nog"])),
    ("netbe activate --once", After(&["netbe activate nog"])),
    (
        "netbe activate nog/before-the-party",
        After(&["netbe create nog/before-the-party"]),
    ),
    (
        "netbe clone nog/first nog/second",
        After(&["netbe destroy nog/second -y"]),
    ),
    ("netbe clone nog ordo/from-nog --data", After(&[DATA])),
    (
        "netbe completions fish *",
        After(&["mkdir -p ~/.config/fish/completions"]),
    ),
    (
        "netbe confirm nog",
        After(&["netbe activate --once nog/next"]),
    ),
    (
        "netbe confirm *",
        After(&["netbe activate --once ordo/next"]),
    ),
    (
        "netbe create --all --from debian --merge --try",
        After(&[
            "netbe destroy -r werda -y",
            ONE_LEFT,
            "netbe set --existing access=rw web",
        ]),
    ),
    ("netbe create web-1 *", After(&[ONE_LEFT])),
    (
        "netbe set --existing access=ro web-1",
        After(&[
            ONE_LEFT,
            "netbe create web-1 --from web/second --mac 52:54:00:77:65:02",
        ]),
    ),
    (
        "netbe deploy nog --boot none",
        After(&[PI, "netbe deploy nog --boot /mnt"]),
    ),
    ("netbe deploy nog --boot /mnt", After(&[PI])),
    ("netbe deploy nog --boot /dev/sdb*", NotRun(FAT)),
    ("netbe deploy * /dev/sdb", After(&[DISK])),
    ("netbe deploy * --filesystem ext4", NotRun(PARTITION)),
    (
        "netbe destroy --data nog /srv",
        Asks(&["netbe set data=/srv nog; netbe set data= nog; netbe set --force mac= serial= nog"]),
    ),
    ("netbe destroy -r werda", Asks(&[])),
    ("netbe destroy nog/old nog/older", Asks(&[])),
    (
        "netbe destroy web/first",
        Ends(3, "the page says that it names the machines it waits for"),
    ),
    (
        "netbe export nog/b --since nog/a *",
        After(&["netbe export nog/a | ssh other netbe import nog/a"]),
    ),
    ("netbe export nog/a --data *", After(&[DATA])),
    (
        "netbe import nog/old /mnt/sdcard *",
        After(&[
            "mkdir /mnt/sdcard; tar -C /mnt/sdcard -xf *-trixie-*.img.xz",
            "mv /mnt/sdcard/boot/firmware /mnt/boot; mkdir /mnt/sdcard/boot/firmware",
        ]),
    ),
    ("netbe init /mnt/usb/netbe", After(&[STICK])),
    (
        "netbe init /mnt/usb/netbe --take-over -n",
        After(&[STICK, "netbe init /mnt/usb/netbe", FOREIGN]),
    ),
    ("netbe init /srv/netbe --take-over", Asks(&[FOREIGN])),
    ("netbe init /srv/netbe --take-over -n", After(&[FOREIGN])),
    ("netbe rename nog ordo", After(&["netbe create nog"])),
    (
        "netbe rename nog/20261120T101500Z first",
        After(&["netbe create nog/20261120T101500Z"]),
    ),
    ("netbe umount nog/first", After(&["netbe mount nog/first"])),
    ("netbe umount /mnt", After(&["netbe mount nog/first /mnt"])),
];

/// Words that stand for another, and one that can be run in their place.
pub(crate) const WORDS: &[(&str, &str)] = &[
    ("ordo/OLD ordo/NEW", "ordo/first ordo/next"),
    ("ordo/FROM ordo/TO", "ordo/first ordo/next"),
    ("NODE --from TEMPLATE", "nog --from debian"),
    ("nog/NEW", "nog/next"),
    ("NODE/ENV", "nog/next"),
    ("mac=OTHERS", "mac=52:54:00:77:65:01"),
    ("dhcp,ADDR", "dhcp,10.0.0.21"),
    (
        "mac=… serial=…",
        "mac=52:54:00:00:00:09 serial=12345678 werda",
    ),
    ("mac=…", "mac=52:54:00:00:00:09 werda"),
    ("=COMMAND", "=true"),
    ("/dev/sdb", "/srv/sdb"),
];
