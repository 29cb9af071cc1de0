//! Kernel command lines: what is not netbe's stands as it stood, there and back again.

use netbe::boot::{self, RootPlace};

use super::{apply, halves, look, nfs, text, want};
use crate::fuzz::mutation::Seeds;

pub(super) fn command_lines() -> Seeds {
    let mut all = fixture!(
        "rpios-bookworm/cmdline.txt",
        "handmade/cmdline.txt",
        "raspi-firmware/cmdline.txt"
    )
    .to_vec();
    all.extend([
        "console=tty1 root=/dev/nfs nfsroot=10.0.0.1:/srv/x,vers=3,tcp rw ip=dhcp rootwait\n",
        "root=nfs4:10.0.0.1:/srv/x:vers=4.2 ip=10.0.0.5::10.0.0.1:255.255.255.0:nog:eth0:off\r\n",
        "dyndbg=\"file a.c +p\" \"root=LABEL=my disk\" ro -- single root=x",
        "",
    ]);
    Seeds::texts(
        &all,
        &[
            "root=",
            "root=/dev/nfs",
            "nfsroot=",
            "ip=",
            "ip=dhcp",
            "rw",
            "ro",
            "rootfstype=nfs",
            "resume=",
            "fsck.repair=yes",
            "init=/usr/lib/raspberrypi-sys-mods/firstboot",
            "boot=nfs",
            "netroot=dhcp",
            "-- ",
            "quiet ",
            "nfsaddrs=",
            "root_x",
            "rootflags=",
        ],
    )
}

pub(super) fn command_line() -> impl FnMut(&[u8]) {
    let (boot, root) = halves();
    move |bytes| {
        let mut boot = boot.clone();
        boot.insert("cmdline.txt".to_string(), bytes.to_vec());
        look(&boot, &root);
        let Some(stripped) = apply(&mut boot, &root, &want(nfs(), &[])) else {
            return;
        };
        let line = boot["cmdline.txt"].clone();
        kept(&text(bytes), &text(&line), &stripped);
        let reasons = look(&boot, &root);
        let about = reasons.iter().find(|r| r.contains("cmdline.txt"));
        assert_eq!(
            about,
            None,
            "netbe's own line would not boot: {:?}",
            text(&line)
        );
        let local = want(
            RootPlace::Local("PARTUUID=5c491eca-02".to_string()),
            &stripped,
        );
        // Either way may be refused as too long.
        let is_short = text(bytes).len() < 700;
        if apply(&mut boot, &root, &local).is_none() {
            return assert!(
                !is_short,
                "no way back from {:?}: {:?}",
                text(&line),
                boot::plan(&boot, &root, &local)
            );
        }
        let back = boot["cmdline.txt"].clone();
        let again = apply(&mut boot, &root, &want(nfs(), &[]))
            .and_then(|_| apply(&mut boot, &root, &local));
        if again.is_none() {
            return assert!(!is_short, "no way there again from {:?}", text(&back));
        }
        assert_eq!(
            text(&boot["cmdline.txt"]),
            text(&back),
            "there and back again is another line"
        );
    }
}

/// Arguments netbe writes, or takes out without telling.
const CHANGED: [&str; 10] = [
    "root",
    "nfsroot",
    "netroot",
    "ip",
    "nfsaddrs",
    "rw",
    "ro",
    "boot",
    "rootfstype",
    "rootflags",
];

/// Shows that what was not meant stands as it stood, in its order.
fn kept(before: &str, after: &str, stripped: &[String]) {
    let is_changed = |token: &String| {
        let name = token
            .trim_start_matches('"')
            .split('=')
            .next()
            .unwrap_or_default()
            .trim_end_matches('"')
            .replace('-', "_");
        CHANGED.contains(&name.as_str()) || stripped.contains(token)
    };
    let others = |line: &str| -> Vec<String> {
        tokens(line)
            .into_iter()
            .filter(|t| !is_changed(t))
            .collect()
    };
    assert_eq!(others(before), others(after), "{before:?} became {after:?}");
    let end = |line: &str| line.find('\n').map(|at| line[at..].to_string());
    assert_eq!(end(before), end(after), "the line's end changed");
}

/// Splits a line as the kernel does.
fn tokens(line: &str) -> Vec<String> {
    let (mut all, mut quoted) = (vec![String::new()], false);
    for c in line.chars().take_while(|c| *c != '\n') {
        quoted ^= c == '"';
        if !quoted && matches!(c, ' ' | '\t' | '\r' | '\x0b' | '\x0c') {
            all.push(String::new());
        } else {
            all.last_mut().expect("one is there from the start").push(c);
        }
    }
    all.retain(|t| !t.is_empty());
    all
}
