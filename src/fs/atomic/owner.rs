//! Identifies the process that writes a staged file, and tells whether it is still alive.
//!
//! A process ID alone is reused, after a reboot or a long time. The text is `PID-START-BOOT`: process ID, start
//! time in clock ticks since boot (hex), the beginning of the kernel's boot ID. Older versions wrote only
//! the process ID, as this one does if /proc cannot be read.

use std::fs;
use std::sync::OnceLock;

/// How many characters of the boot ID are written.
const BOOT: usize = 8;

/// Returns the text for this process.
pub(super) fn current() -> &'static str {
    static CURRENT: OnceLock<String> = OnceLock::new();
    CURRENT.get_or_init(|| {
        let pid = std::process::id();
        match (start_time(pid), boot()) {
            (Some(start_time), Some(boot)) => format!("{pid}-{start_time:x}-{boot}"),
            _ => pid.to_string(),
        }
    })
}

/// Returns whether a text has the format above.
pub(super) fn is_valid(text: &str) -> bool {
    parse(text).is_some()
}

/// Returns whether that process is alive.
pub(super) fn is_alive(text: &str) -> bool {
    let Some((pid, Some((start, of_boot)))) = parse(text) else {
        // Only the process ID is known.
        return parse(text).is_some_and(|(pid, _)| start_time(pid).is_some());
    };
    let is_this_boot = boot().is_none_or(|now| now == of_boot);
    is_this_boot && start_time(pid) == Some(start)
}

/// Returns the process ID, and start time and boot ID where they are present.
fn parse(text: &str) -> Option<(u32, Option<(u64, &str)>)> {
    let mut parts = text.split('-');
    let pid = parts.next()?;
    if !pid.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let pid = pid.parse().ok()?;
    match (parts.next(), parts.next(), parts.next()) {
        (None, ..) => Some((pid, None)),
        (Some(start), Some(boot), None) if boot.len() == BOOT => {
            let start = u64::from_str_radix(start, 16).ok()?;
            Some((pid, Some((start, boot))))
        }
        _ => None,
    }
}

/// Returns a process's start time in clock ticks since boot; `None` if there is no such process. Format: proc(5).
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command name, in parentheses, may contain anything.
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(19)?.parse().ok()
}

/// Returns the beginning of this boot's ID.
fn boot() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    id.get(..BOOT).map(str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_process_id_is_another_process() {
        let current = current();
        assert!(is_valid(current) && is_alive(current), "{current}");
        let (pid, rest) = current.split_once('-').unwrap();
        let (start, boot) = rest.split_once('-').unwrap();
        // After a reboot, and with an earlier start time in this boot.
        assert!(!is_alive(&format!("{pid}-{start}-00000000")));
        assert!(!is_alive(&format!("{pid}-1-{boot}")));
        assert!(!is_alive(&format!("4194304-{start}-{boot}")));
        // The format of older versions.
        assert!(is_valid(pid) && is_alive(pid) && is_valid("4194304") && !is_alive("4194304"));
        for invalid in [
            "",
            "x",
            "1-",
            "1-2",
            "1-x-00000000",
            "1-2-0000",
            "1-2-00000000-3",
            "-1",
        ] {
            assert!(!is_valid(invalid) && !is_alive(invalid), "{invalid}");
        }
    }
}
