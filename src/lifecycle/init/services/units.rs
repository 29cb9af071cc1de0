//! The systemd units for the pools of a server: serving boot files, ending trials, pruning; their texts and places.
//!
//! A package of netbe has the same units, and where this program's own are installed, netbe writes only what they cannot
//! know: which mounts lead to the pools. Not for installing them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::fs::own_program::own_program;
use crate::lifecycle::init::backing::unit_name;
use crate::pool::{layout, state};

/// The directory of the administrator's units.
pub(super) const UNITS: &str = "/etc/systemd/system";
/// The directory of packages' units.
const PACKAGED: &str = "/usr/lib/systemd/system";
/// The service that ends trials, and its timer.
pub(super) const SERVICE: &str = "netbe-reconcile.service";
pub(super) const TIMER: &str = "netbe-reconcile.timer";
/// The service that serves boot files.
pub(super) const TFTP: &str = "netbe-tftp.service";
/// The service that prunes, and its timer, which is not enabled by default.
const PRUNE_SERVICE: &str = "netbe-prune.service";
const PRUNE_TIMER: &str = "netbe-prune.timer";
/// The names of all of them.
const ALL_UNITS: [&str; 5] = [SERVICE, TIMER, TFTP, PRUNE_SERVICE, PRUNE_TIMER];
/// The first line of netbe's units.
const WRITTEN: &str = "# Written by netbe init for ";
/// The first words of a unit for all pools with a state directory in the directory that follows.
const ALL: &str = "# Written by netbe init for the pools of ";

/// The pools of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WrittenFor<'a> {
    /// All pools with a state directory in this one.
    Pools(&'a Path),
    /// One pool, by its directory: a unit of an older netbe.
    Pool(&'a Path),
}

/// Returns the pools of the unit with this text; `None` if it is not netbe's.
pub(super) fn written_for(text: &str) -> Option<WrittenFor<'_>> {
    let first = text.lines().next()?;
    let all = first.strip_prefix(ALL).map(Path::new);
    let one = || first.strip_prefix(WRITTEN).map(Path::new);
    all.map(WrittenFor::Pools)
        .or_else(|| one().map(WrittenFor::Pool))
}

/// A unit of a server.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) name: &'static str,
    /// The file that netbe writes, with its text: the unit, or a drop-in for a packaged one; `None` if that is complete.
    pub(super) file: Option<(PathBuf, String)>,
    /// The unit itself, to which enabling it links.
    pub(super) at: PathBuf,
}

impl Unit {
    /// Returns the path of a whole unit that would hide the packaged one; `None` if netbe writes the whole unit itself.
    pub(super) fn hiding(&self) -> Option<PathBuf> {
        let whole = Path::new(UNITS).join(self.name);
        (self.at != whole).then_some(whole)
    }
}

/// Returns this program with the option of these state directories, as a unit runs it.
pub(super) fn program(states: &Path) -> Result<String> {
    Ok(systemd_word(&own_program()?) + &state_option(states))
}

/// Returns the units for the pools in these directories.
pub(super) fn units(dirs: &[PathBuf], states: &Path) -> Result<Vec<Unit>> {
    let word = systemd_word(&own_program()?);
    let head = format!("{ALL}{}\n[Unit]\n", states.display());
    let mounts = mounts(dirs);
    if states == Path::new(state::DEFAULT) && is_packaged(&word) {
        let extended = |name: &'static str| Unit {
            name,
            file: name
                .ends_with(".service")
                .then(|| (extension(name), format!("{head}{mounts}"))),
            at: Path::new(PACKAGED).join(name),
        };
        return Ok(ALL_UNITS.map(extended).into());
    }
    let program = program(states)?;
    let whole = |(name, text)| {
        let at = Path::new(UNITS).join(name);
        Unit {
            name,
            file: Some((at.clone(), text)),
            at,
        }
    };
    Ok(texts(&head, &program, &mounts, states).map(whole).into())
}

/// Returns whether a package's units are installed, for this program and not another netbe elsewhere.
fn is_packaged(program: &str) -> bool {
    let text = fs::read_to_string(Path::new(PACKAGED).join(TFTP)).unwrap_or_default();
    let starts = format!("ExecStart={program} serve ");
    text.lines().any(|line| line.starts_with(&starts))
        && ALL_UNITS
            .iter()
            .all(|name| Path::new(PACKAGED).join(name).is_file())
}

/// Returns the path of the drop-in of a packaged unit: systemd.unit(5).
pub(super) fn extension(name: &str) -> PathBuf {
    Path::new(UNITS).join(format!("{name}.d/pools.conf"))
}

/// Returns the texts of the units by name: `mounts` are further lines in the section `[Unit]` of services.
fn texts(head: &str, program: &str, mounts: &str, states: &Path) -> [(&'static str, String); 5] {
    // Before the servers: an environment that was booted for once while the server was off must not be served again.
    // systemd's log lines about it, twice a minute, are dropped; netbe's messages are kept.
    let service = format!(
        "{head}Description=Finish netbe's pending boots and trials\nDocumentation=man:netbe-reconcile(8)\n{mounts}Before={TFTP} dnsmasq.service\n\n[Service]\nType=oneshot\nExecStart={program} reconcile --all-pools\nTimeoutStartSec=2min\nSyslogLevel=notice\nLogLevelMax=notice\n\n[Install]\nWantedBy=multi-user.target\n"
    );
    // Half a minute: a machine that hangs in a tried system, and is switched off and on, takes longer to ask
    // again. Without AccuracySec systemd may be a minute late.
    let timer = format!(
        "{head}Description=Finish netbe's pending boots and trials\nDocumentation=man:netbe-reconcile(8)\n\n[Timer]\nOnBootSec=30s\nOnUnitActiveSec=30s\nAccuracySec=5s\n\n[Install]\nWantedBy=timers.target\n"
    );
    let tftp = tftp(head, program, mounts, states);
    let pruning = format!(
        "{head}Description=Destroy the oldest of netbe's environments\nDocumentation=man:netbe-prune(8)\n"
    );
    // At night, with idle I/O priority, since no user waits for it.
    let prune_service = format!(
        "{pruning}{mounts}\n\
         [Service]\nType=oneshot\nExecStart={program} prune --all-pools --wait 600\nIOSchedulingClass=idle\n"
    );
    let prune_timer = format!(
        "{pruning}\n\
         [Timer]\nOnCalendar=daily\nRandomizedDelaySec=1h\nPersistent=true\n\n\
         [Install]\nWantedBy=timers.target\n"
    );
    [
        (SERVICE, service),
        (TIMER, timer),
        (TFTP, tftp),
        (PRUNE_SERVICE, prune_service),
        (PRUNE_TIMER, prune_timer),
    ]
}

/// Returns the service that serves boot files.
///
/// Its two processes confine themselves, the one that faces the network completely. These options confine the one that
/// opens the files as root: it reads the pool, records fetches, and has systemd start `reconcile`.
/// `RestrictSUIDSGID=` is not among the options: systemd 252's filter for it answers `ENOSYS` to openat2(2), by which
/// every file of a pool is opened.
fn tftp(head: &str, program: &str, mounts: &str, states: &Path) -> String {
    let states = systemd_word(states);
    format!(
        "{head}Description=Serve netbe's boot files by TFTP\nDocumentation=man:netbe-serve(8)\n{mounts}After=network.target dnsmasq.service\nStartLimitIntervalSec=0\n\n[Service]\nType=notify\nExecStart={program} serve --all-pools\nRestart=always\nRestartSec=1\nSyslogLevel=notice\nLimitNOFILE=4096\nTasksMax=64\nMemoryMax=512M\nNoNewPrivileges=yes\nProtectSystem=strict\nReadWritePaths={states}\nPrivateDevices=yes\nCapabilityBoundingSet=CAP_NET_BIND_SERVICE CAP_SETUID CAP_SETGID CAP_DAC_READ_SEARCH CAP_KILL\nProtectKernelTunables=yes\nProtectKernelModules=yes\nProtectKernelLogs=yes\nProtectControlGroups=yes\nProtectClock=yes\nProtectHostname=yes\nProtectProc=invisible\nLockPersonality=yes\nRestrictNamespaces=yes\nRestrictRealtime=yes\nMemoryDenyWriteExecute=yes\nRestrictAddressFamilies=AF_INET AF_UNIX\nSystemCallArchitectures=native\nSystemCallFilter=@system-service @setuid setfsuid setfsgid openat2 seccomp\nSystemCallErrorNumber=EPERM\n\n[Install]\nWantedBy=multi-user.target\n"
    )
}

/// Returns the option with these state directories, after a space; empty for the default.
fn state_option(states: &Path) -> String {
    match states == Path::new(state::DEFAULT) {
        true => String::new(),
        false => format!(" --state {}", systemd_word(states)),
    }
}

/// Returns the lines that order a unit after the mounts of these directories, without requiring those.
///
/// `RequiresMountsFor=` would keep one pool's machines from their files because another pool's disk is gone. A unit that
/// does not exist is no error in `Wants=` (systemd.unit(5)).
fn mounts(dirs: &[PathBuf]) -> String {
    let leading = dirs.iter().flat_map(|dir| dir.ancestors());
    let below_root = leading.filter(|dir| dir.parent().is_some());
    let mut names: Vec<String> = below_root
        .map(|dir| format!("{}.mount", unit_name(dir)))
        .collect();
    names.sort();
    names.dedup();
    let names = names.join(" ");
    format!("Wants={names}\nAfter={names}\n")
}

/// Returns whether a unit is optional: the administrator enables it.
pub(super) fn is_optional(unit: &str) -> bool {
    [PRUNE_SERVICE, PRUNE_TIMER].contains(&unit)
}

/// Returns whether a unit is enabled, as by `systemctl enable`: whether the link exists and leads to a unit.
pub(super) fn is_wanted(unit: &str) -> bool {
    let target = if unit == TIMER {
        "timers"
    } else {
        "multi-user"
    };
    Path::new(UNITS)
        .join(format!("{target}.target.wants"))
        .join(unit)
        .exists()
}

/// Returns a path as one word of `ExecStart=`: systemd.service(5), "Command lines".
fn systemd_word(path: &Path) -> String {
    let text = path.to_string_lossy();
    if layout::is_plain(path) {
        return text.into_owned();
    }
    let mut word = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => word.extend(['\\', c]),
            '%' | '$' => word.extend([c, c]),
            _ => word.push(c),
        }
    }
    word.push('"');
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_waits_for_every_mount_on_the_way() {
        let dirs = ["/srv/a", "/srv/b-c"].map(PathBuf::from);
        let names = "srv-a.mount srv-b\\x2dc.mount srv.mount";
        assert_eq!(mounts(&dirs), format!("Wants={names}\nAfter={names}\n"));
    }

    #[test]
    fn what_a_unit_was_written_for() {
        let at = Path::new("/var/lib/netbe");
        let all = "# Written by netbe init for the pools of /var/lib/netbe\n[Unit]\n";
        assert_eq!(written_for(all), Some(WrittenFor::Pools(at)));
        let one = "# Written by netbe init for /srv/netbe\n";
        let pool = Path::new("/srv/netbe");
        assert_eq!(written_for(one), Some(WrittenFor::Pool(pool)));
        assert_eq!(written_for("[Unit]\n"), None);
    }

    #[test]
    fn the_tftp_server_may_call_what_it_opens_files_by() {
        let text = tftp("", "netbe", "", Path::new("/var/lib/netbe"));
        assert!(!text.contains("RestrictSUIDSGID="), "{text}");
        let filter = text.lines().find(|l| l.starts_with("SystemCallFilter="));
        assert!(filter.is_some_and(|l| l.contains(" openat2")), "{text}");
    }

    /// `NETBE_REGENERATE=1 cargo test --lib packaged_units` writes them anew.
    #[test]
    fn the_packaged_units_are_those_that_init_writes() {
        let program = "/usr/bin/netbe";
        let states = Path::new(state::DEFAULT);
        let head = "# Installed by netbe's package, for the pools of /var/lib/netbe\n[Unit]\n";
        // Enabled before there is a pool, they would fail again and again.
        let condition = "ConditionDirectoryNotEmpty=/var/lib/netbe\n";
        for (name, text) in texts(head, program, condition, states) {
            let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("dist/systemd")
                .join(name);
            if std::env::var_os("NETBE_REGENERATE").is_some() {
                fs::write(&path, &text).unwrap();
            }
            let now = fs::read_to_string(&path).unwrap();
            assert_eq!(
                now, text,
                "NETBE_REGENERATE=1 cargo test --lib packaged_units"
            );
        }
    }

    #[test]
    fn words_as_systemd_reads_them() {
        assert_eq!(systemd_word(Path::new("/usr/bin/netbe")), "/usr/bin/netbe");
        assert_eq!(
            systemd_word(Path::new("/opt/a b/100%/$x/\"n\"")),
            "\"/opt/a b/100%%/$$x/\\\"n\\\"\""
        );
    }
}
