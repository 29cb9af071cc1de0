//! The boot report: the unit by which a system writes it, and its parser.
//!
//! Pure text. The node writes to the root it booted from, so no server listens and no key is needed; if the root is
//! read-only, each of its machines writes a file into a small export of their node. Only the report's form is checked,
//! and it is trusted only for that node.

use super::model::Model;
use super::rpi;
use super::spec::NfsVersion;

/// The file in which the init program of a read-only root leaves the MAC address of its machine, with dashes.
const MACHINE: &str = "/run/netbe/machine";

/// The name of the report of a machine whose root is on its own disk.
pub const OWN_DISK: &str = "own-disk";

/// The unit's path in a root half.
pub const UNIT: &str = "etc/systemd/system/netbe-report.service";

/// The symbolic link that enables the unit.
pub const WANTED_BY: &str = "etc/systemd/system/multi-user.target.wants/netbe-report.service";

/// The target of that link.
pub const WANTED_BY_TARGET: &str = "../netbe-report.service";

/// The report's path in a root half.
pub const FILE: &str = "var/lib/netbe/booted";

/// The file that a machine that is its own node writes instead; its own netbe reads it.
pub const CAME_UP: &str = "/run/netbe/came-up";

/// The largest report that is read, in bytes.
pub const LIMIT: u64 = 4096;

/// The export for reports of machines whose changes of the root the server does not see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// The subvolume on the server, `10.0.0.1:/srv/netbe/…/reports`.
    pub spec: String,
    /// The name of the environment that the unit is in.
    pub env: String,
    /// The NFS version it is mounted by.
    pub version: NfsVersion,
    /// Whether the root is on the disk of the only machine: no program has found out which one it is.
    pub has_own_disk: bool,
}

impl Export {
    /// Returns the commands that mount and enter the directory of the report, and those that leave it; and the file's name.
    fn commands(&self) -> (String, &'static str, String) {
        let lock = match self.version {
            NfsVersion::V3 => ",nolock",
            NfsVersion::V4_1 | NfsVersion::V4_2 => "",
        };
        let machine = match self.has_own_disk {
            true => format!("name={OWN_DISK}"),
            false => format!("read -r name <{MACHINE}"),
        };
        let begin = format!(
            "{machine} && mkdir -p /run/netbe/reports && \
             mount -t nfs -o vers={}{lock},soft,nosuid,nodev,noexec {} /run/netbe/reports && cd /run/netbe/reports",
            self.version, self.spec
        );
        let env = format!("echo env={}; ", self.env);
        (
            begin,
            "; status=$$?; cd /; umount /run/netbe/reports; exit $$status",
            env,
        )
    }
}

/// The first line of the unit.
const WRITTEN: &str =
    "# Written by netbe; the property report=off leaves it out of the next environment.\n";

/// Returns whether the text of a unit of that name is netbe's.
pub fn is_own(unit: &str) -> bool {
    unit.starts_with(WRITTEN)
}

/// Returns the unit of a machine that is its own node; `boot_complete` as in [`unit()`].
///
/// It runs netbe, which ends a pending boot in the pool that is mounted there.
pub fn unit_of_this_machine(boot_complete: bool, pool: &str) -> String {
    let (requires, after) = ordering(boot_complete);
    format!(
        "{WRITTEN}[Unit]\n\
         Description=Note that this system came up\n\
         {requires}\
         After={after}multi-user.target\n\
         RequiresMountsFor={pool}\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         ExecStart=/bin/sh -c 'umask 022; mkdir -p /run/netbe && : >{CAME_UP}'\n\
         ExecStartPost=-netbe --quiet --pool {pool} reconcile\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    )
}

/// Returns the unit's requirements, and the units that it starts after.
fn ordering(boot_complete: bool) -> (&'static str, &'static str) {
    match boot_complete {
        true => ("Requires=boot-complete.target\n", "boot-complete.target "),
        false => ("", ""),
    }
}

/// Returns the unit's text; `boot_complete` if this systemd has `boot-complete.target`.
///
/// In that case the report is written only after systemd's boot assessment (systemd.special(7)).
pub fn unit(boot_complete: bool, export: Option<&Export>) -> String {
    let (requires, after) = ordering(boot_complete);
    let (begin, end, env, name) = match export {
        None => {
            let begin = "mkdir -p /var/lib/netbe && cd /var/lib/netbe".to_string();
            (begin, "", String::new(), "booted")
        }
        Some(export) => {
            let (begin, end, env) = export.commands();
            (begin, end, env, "$$name")
        }
    };
    format!(
        "{WRITTEN}[Unit]\n\
         Description=Report to the boot server that this system came up\n\
         {requires}\
         After={after}multi-user.target\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         ExecStart=/bin/sh -c 'umask 022; {begin} && \
         {{ {env}echo \"boot_id=$$(cat /proc/sys/kernel/random/boot_id)\"; echo \"kernel=$$(uname -r)\"; \
         printf model=; cat /proc/device-tree/model 2>/dev/null; echo; echo \"time=$$(date +%%s)\"; }} >.{name}.new && mv -f .{name}.new {name}{end}'\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    )
}

/// A node's report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The kernel's boot ID.
    pub boot_id: String,
    /// The running kernel, as in `uname -r`.
    pub kernel: Option<String>,
    /// Which Raspberry Pi it is.
    pub model: Option<Model>,
    /// The environment, if the place of the report does not determine it.
    pub env: Option<String>,
}

/// Parses a report; `None` if it is invalid.
pub fn parse(text: &str) -> Option<Report> {
    let value = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    };
    let plain = |v: &&str| {
        let is_valid = |c: u8| c.is_ascii_alphanumeric() || b"._+~-".contains(&c);
        !v.is_empty() && v.len() <= 128 && v.bytes().all(is_valid)
    };
    Some(Report {
        boot_id: value("boot_id").filter(plain)?.to_string(),
        env: value("env").filter(plain).map(str::to_string),
        kernel: value("kernel").filter(plain).map(str::to_string),
        model: value("model")
            // A string in a device tree ends with a NUL.
            .and_then(|text| rpi::Model::of_device_tree(text.trim_end_matches('\0')))
            .map(Model::Pi),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reports_are_parsed() {
        let text = "boot_id=0c3f-11\nkernel=6.1.0-50-amd64\ntime=1795249224\n";
        let report = parse(text).unwrap();
        assert_eq!(report.boot_id, "0c3f-11");
        assert_eq!(report.kernel.as_deref(), Some("6.1.0-50-amd64"));
        assert_eq!(report.model, None);
        let text = format!("{text}model=Raspberry Pi 4 Model B Rev 1.4\0\n");
        assert_eq!(
            parse(&text).unwrap().model,
            Some(Model::Pi(rpi::Model::Pi4))
        );
        assert_eq!(parse("boot_id=a\nkernel=\u{1b}[2J\n").unwrap().kernel, None);
        for garbage in [
            "",
            "boot_id=",
            "boot_id=a b",
            "kernel=6",
            "boot_id=\u{1b}[2J",
            "xboot_id=1",
        ] {
            assert_eq!(parse(garbage), None, "{garbage:?}");
        }
    }

    #[test]
    fn the_unit_is_one_systemd_can_read() {
        let text = unit(true, None);
        assert!(text.contains(
            "Requires=boot-complete.target\nAfter=boot-complete.target multi-user.target\n"
        ));
        assert!(!unit(false, None).contains("boot-complete"));
        let start = text.lines().find(|l| l.starts_with("ExecStart=")).unwrap();
        assert!(start.ends_with("mv -f .booted.new booted'"), "{start}");
    }

    #[test]
    fn machines_with_a_read_only_root_report_by_their_address() {
        let export = Export {
            spec: "10.0.0.1:/p/nodes/web/reports".to_string(),
            env: "first".to_string(),
            version: NfsVersion::V3,
            has_own_disk: false,
        };
        let text = unit(true, Some(&export));
        let start = text.lines().find(|l| l.starts_with("ExecStart=")).unwrap();
        assert!(start.contains(
            "-o vers=3,nolock,soft,nosuid,nodev,noexec 10.0.0.1:/p/nodes/web/reports /run/"
        ));
        assert!(
            start.contains("{ echo env=first; echo \"boot_id="),
            "{start}"
        );
        assert!(
            start.contains("mv -f .$$name.new $$name; status"),
            "{start}"
        );
        assert!(!start.contains("var/lib/netbe"), "{start}");
        let report = parse("env=first\nboot_id=a\n").unwrap();
        assert_eq!(report.env.as_deref(), Some("first"));
    }
}
