//! A read-only root whose machine keeps its changes in memory: property `access=ro`.
//!
//! The kernel starts a small program of netbe's in place of the system's init. It mounts an overlay with an upper layer in
//! memory as the root, and starts the system's own init: so it works with any initramfs, and without one. Pure: the
//! program's text, the arguments of the command line, and the reasons why it could not run. Not for placing it.

use super::cmdline_tokens::{Line, same_token};
use super::files::{BootFiles, is_there, text};
use super::kernel;
pub use super::machines::{Machines, SshKeys};
use super::spec::Want;

/// The directory in a root half in which all of it is.
pub const DIRECTORY: &str = "usr/lib/netbe";
/// The program's path in a root half.
pub const PROGRAM: &str = "usr/lib/netbe/read-only-root";
/// The directory in which the read-only root stays visible.
pub const BENEATH: &str = "usr/lib/netbe/root";
/// The argument by which the kernel, or an initramfs, starts it.
pub(super) const INIT: &str = "init=/usr/lib/netbe/read-only-root";

/// The program that makes host keys.
const KEYGEN: &str = "usr/bin/ssh-keygen";
/// The programs that it runs, each in one of these directories.
const PROGRAMS: [&str; 6] = ["sh", "mount", "pivot_root", "chroot", "md5sum", "sed"];
const DIRECTORIES: [&str; 4] = ["usr/bin", "usr/sbin", "bin", "sbin"];

/// Returns the program's text.
pub fn program(machines: Machines) -> String {
    let (several, keys) = match machines {
        Machines::One => ("no", SshKeys::Shared),
        Machines::Several(keys) => ("yes", keys),
    };
    let text = include_str!("read_only/init.sh").replace("@SEVERAL@", several);
    text.replace("@SSH_KEYS@", keys.word())
}

/// Returns whether a text is the program for several machines, whichever keys they have.
fn is_for_several(text: &str) -> bool {
    let mut all = SshKeys::ALL.into_iter().map(Machines::Several);
    all.any(|machines| text == program(machines))
}

/// Returns whether a command line starts the program: the last init counts.
pub(super) fn is_started(line: &Line) -> bool {
    let inits = line.find("init");
    inits
        .last()
        .is_some_and(|&at| same_token(line.get(at), INIT))
}

/// Makes a command line start the program in place of any other init.
pub(super) fn start(line: &mut Line) {
    if !is_started(line) {
        remove(line, INIT);
        line.push(INIT);
    }
}

/// Removes the program from a command line that starts it, together with `ro`, which was added with it.
pub(super) fn take_out(line: &mut Line) {
    if line.has(INIT) {
        remove(line, INIT);
        remove(line, "ro");
    }
}

fn remove(line: &mut Line, token: &str) {
    for at in (0..line.tokens().count()).rev() {
        if same_token(line.get(at), token) {
            line.remove(at);
        }
    }
}

/// Returns why a root half could not be used read-only by a command line that starts the program, a sentence each.
pub(super) fn reasons_against(root: &dyn BootFiles, cmdline: &str, want: &Want<'_>) -> Vec<String> {
    let mut reasons = Vec::new();
    if !Line::parse(cmdline).is_ok_and(|line| is_started(&line)) {
        return reasons;
    }
    let machines = want.read_only.unwrap_or(Machines::One);
    match text(root, PROGRAM) {
        Ok(Some(_)) if machines == Machines::One => {}
        Ok(Some(text)) if is_for_several(&text) => {}
        Ok(Some(text)) if text == program(Machines::One) => reasons.push(format!(
            "it was made for one machine, and several boot it, which would have one name: netbe set --existing {}",
            want.hostname
        )),
        _ => reasons.push(format!(
            "{PROGRAM}, which starts the system with a read-only root, is not as netbe writes it"
        )),
    }
    let missing = PROGRAMS.iter().filter(|program| {
        let mut places = DIRECTORIES.iter().map(|dir| format!("{dir}/{program}"));
        !places.any(|path| is_there(root, &path))
    });
    let missing: Vec<&str> = missing.copied().collect();
    if !missing.is_empty() {
        reasons.push(format!(
            "the root has no {}, which a read-only root needs (packages util-linux, coreutils and sed)",
            missing.join(", ")
        ));
    }
    if matches!(
        machines,
        Machines::Several(SshKeys::Boot | SshKeys::Machine)
    ) && is_there(root, "etc/ssh/sshd_config")
        && !is_there(root, KEYGEN)
    {
        reasons.push(format!(
            "the root has no {KEYGEN}, by which machines make SSH host keys: netbe set ssh-keys=shared {}",
            want.hostname
        ));
    }
    for version in kernel::module_versions(root) {
        if !kernel::has_overlay(root, &version) {
            reasons.push(format!(
                "the kernel {version} has no overlay filesystem (overlay.ko), which a read-only root needs: netbe set \
                 access=rw {}",
                want.hostname
            ));
        }
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::tests::{half, want};

    #[test]
    fn the_program_is_put_last_and_taken_out_again() {
        for (text, started) in [
            ("quiet", "quiet init=/usr/lib/netbe/read-only-root"),
            (
                "init=/usr/lib/netbe/read-only-root init=/bin/own quiet",
                "init=/bin/own quiet init=/usr/lib/netbe/read-only-root",
            ),
            (
                "init=/usr/lib/netbe/read-only-root quiet -- -x",
                "init=/usr/lib/netbe/read-only-root quiet -- -x",
            ),
        ] {
            let mut line = Line::parse(text).unwrap();
            start(&mut line);
            assert_eq!(line.to_string(), started);
            line.push("ro");
            take_out(&mut line);
            assert!(!line.has(INIT) && !line.has("ro"), "{line}");
        }
        let mut own = Line::parse("ro quiet").unwrap();
        take_out(&mut own);
        assert_eq!(own.to_string(), "ro quiet");
    }

    #[test]
    fn a_root_without_the_needed_programs_has_reasons() {
        let want = Want {
            read_only: Some(Machines::Several(SshKeys::Machine)),
            ..want(None)
        };
        let reasons_against =
            |files: &[(&str, &str)]| super::reasons_against(&half(files), INIT, &want);
        let programs = PROGRAMS.map(|program| format!("usr/bin/{program}"));
        let text = program(Machines::Several(SshKeys::Boot));
        let mut files: Vec<(&str, &str)> = programs.iter().map(|path| (&**path, "x")).collect();
        files.push((PROGRAM, &text));
        let modules = "usr/lib/modules/6.1.0";
        let (index, overlay) = (
            format!("{modules}/modules.dep"),
            format!("{modules}/kernel/fs/overlayfs/overlay.ko.xz"),
        );
        assert_eq!(reasons_against(&files), [""; 0]);
        files.push((&index, "x"));
        assert!(reasons_against(&files)[0].contains("kernel 6.1.0 has no overlay"));
        files.push((&overlay, "x"));
        assert_eq!(reasons_against(&files), [""; 0]);
        files.retain(|(path, _)| *path != "usr/bin/pivot_root" && *path != PROGRAM);
        let reasons = reasons_against(&files);
        assert!(reasons[0].contains("not as netbe writes it"), "{reasons:?}");
        assert!(reasons[1].contains("no pivot_root,"), "{reasons:?}");
        files.extend([("usr/bin/pivot_root", "x"), (PROGRAM, &text)]);
        files.push(("etc/ssh/sshd_config", "x"));
        assert!(reasons_against(&files)[0].contains("no usr/bin/ssh-keygen"));
        files.push((KEYGEN, "x"));
        assert_eq!(reasons_against(&files), [""; 0]);
        let for_one = program(Machines::One);
        files.retain(|(path, _)| *path != PROGRAM);
        files.push((PROGRAM, &for_one));
        assert!(reasons_against(&files)[0].contains("made for one machine"));
    }
}
