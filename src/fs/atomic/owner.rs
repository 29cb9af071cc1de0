//! Who is making something under a hidden name: this process, and whether another one that says so still lives.
//!
//! A number alone is not enough: after a reboot, or a long time, another process has it. Written `PID-START-BOOT`: its
//! number, when it started in clock ticks since the boot, in hex, and the beginning of the kernel's number of that
//! boot. Older netbes wrote the number alone, and where /proc cannot be read this one does.

use std::fs;
use std::sync::OnceLock;

/// How much of the kernel's number of a boot is written.
const BOOT: usize = 8;

/// Returns this process.
pub(super) fn own() -> &'static str {
    static OWN: OnceLock<String> = OnceLock::new();
    OWN.get_or_init(|| {
        let pid = std::process::id();
        match (started(pid), boot()) {
            (Some(started), Some(boot)) => format!("{pid}-{started:x}-{boot}"),
            _ => pid.to_string(),
        }
    })
}

/// Returns whether a text can be such a one.
pub(super) fn is_one(text: &str) -> bool {
    parse(text).is_some()
}

/// Returns whether that process lives now.
pub(super) fn lives(text: &str) -> bool {
    let Some((pid, Some((start, of_boot)))) = parse(text) else {
        // All that is known is the number.
        return parse(text).is_some_and(|(pid, _)| started(pid).is_some());
    };
    let is_of_now = boot().is_none_or(|now| now == of_boot);
    is_of_now && started(pid) == Some(start)
}

/// Returns the number, and when in which boot it started where that is there.
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

/// Returns when a process started, in clock ticks since the boot; `None` where there is none. Format: proc(5).
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may hold anything.
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(19)?.parse().ok()
}

/// Returns the beginning of the kernel's number of this boot.
fn boot() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    id.get(..BOOT).map(str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_another_process_has_now_is_not_taken_for_it() {
        let own = own();
        assert!(is_one(own) && lives(own), "{own}");
        let (pid, rest) = own.split_once('-').unwrap();
        let (start, boot) = rest.split_once('-').unwrap();
        // The same number after a reboot, and of one that started earlier in this boot.
        assert!(!lives(&format!("{pid}-{start}-00000000")));
        assert!(!lives(&format!("{pid}-1-{boot}")));
        assert!(!lives(&format!("4194304-{start}-{boot}")));
        // As older netbes wrote it.
        assert!(is_one(pid) && lives(pid) && is_one("4194304") && !lives("4194304"));
        for no in [
            "",
            "x",
            "1-",
            "1-2",
            "1-x-00000000",
            "1-2-0000",
            "1-2-00000000-3",
            "-1",
        ] {
            assert!(!is_one(no) && !lives(no), "{no}");
        }
    }
}
