//! The boot report: the unit by which a system writes it into its own root, and its parser.
//!
//! Pure text. The node writes to the root it booted from, so no server listens and no key is needed. The report is
//! checked for form only, and trusted for that node only.

use super::model::Model;
use super::rpi;

/// The unit's path in a root half.
pub const UNIT: &str = "etc/systemd/system/netbe-report.service";

/// The symbolic link that enables the unit.
pub const WANTED_BY: &str = "etc/systemd/system/multi-user.target.wants/netbe-report.service";

/// The target of that link.
pub const WANTED_BY_TARGET: &str = "../netbe-report.service";

/// The report's path in a root half.
pub const FILE: &str = "var/lib/netbe/booted";

/// The largest report that is read, in bytes.
pub const LIMIT: u64 = 4096;

/// Returns the unit's text; `boot_complete` if this systemd has `boot-complete.target`.
///
/// In that case the report is written only after systemd's boot assessment (systemd.special(7)).
pub fn unit(boot_complete: bool) -> String {
    let (requires, after) = match boot_complete {
        true => ("Requires=boot-complete.target\n", "boot-complete.target "),
        false => ("", ""),
    };
    format!(
        "# Written by netbe; the property report=off leaves it out of the next environment.\n\
         [Unit]\n\
         Description=Report to the boot server that this system came up\n\
         {requires}\
         After={after}multi-user.target\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         ExecStart=/bin/sh -c 'umask 022; mkdir -p /var/lib/netbe && cd /var/lib/netbe && \
         {{ echo \"boot_id=$$(cat /proc/sys/kernel/random/boot_id)\"; echo \"kernel=$$(uname -r)\"; \
         printf model=; cat /proc/device-tree/model 2>/dev/null; echo; echo \"time=$$(date +%%s)\"; }} >.booted.new && mv -f .booted.new booted'\n\
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
        kernel: value("kernel").filter(plain).map(str::to_string),
        model: value("model")
            // A string of a device tree ends with it.
            .and_then(|text| rpi::Model::of_device_tree(text.trim_end_matches('\0')))
            .map(Model::Pi),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_and_nothing_else_is() {
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
        let text = unit(true);
        assert!(text.contains(
            "Requires=boot-complete.target\nAfter=boot-complete.target multi-user.target\n"
        ));
        assert!(!unit(false).contains("boot-complete"));
        let start = text.lines().find(|l| l.starts_with("ExecStart=")).unwrap();
        assert!(start.ends_with("mv -f .booted.new booted'"), "{start}");
    }
}
