//! Settings of a system that would keep a node from running with its root on the network, and that may be intended.
//!
//! Noted, never changed. Not for settings of one machine: [`super::first_boot`].

use std::io;

use super::network_settings::{network_files, own_word};
use crate::boot;
use crate::fs::rooted::Tree;

/// Settings that put an interface into another one (bridge, bond), which takes its address away.
const TAKEN: [&str; 14] = [
    "bonds:",
    "bridges:",
    "bridge_ports ",
    "bridge-ports ",
    "bond-slaves ",
    "bond-master ",
    "slave-type=",
    "port-type=",
    "Bond=",
    "Bridge=",
    "MASTER=",
    "BRIDGE=",
    "TEAM_MASTER=",
    "ovs_bridge ",
];
/// connman, and the setting by which it leaves interfaces alone.
const CONNMAN: [&str; 2] = ["usr/sbin/connmand", "usr/bin/connmand"];
const CONNMAN_SETTINGS: &str = "etc/connman/main.conf";
const CONNMAN_LEAVES: &str = "NetworkInterfaceBlacklist";
/// Whether SELinux denies what its policy does not allow.
const SELINUX: &str = "etc/selinux/config";
/// The programs that the kernel tries to start as init, before a shell.
const INITS: [&str; 7] = [
    "sbin/init",
    "usr/sbin/init",
    "etc/init",
    "bin/init",
    "usr/bin/init",
    "lib/systemd/systemd",
    "usr/lib/systemd/systemd",
];

/// The file with defaults of `mount.nfs`. Some of them make every mount from this server fail: NFS version 4 has no UDP,
/// and this server exports to machines, not to users.
const NFS_DEFAULTS: &str = "etc/nfsmount.conf";
const NFS_FAILS: [&str; 5] = [
    "sec=krb",
    "defaultproto=udp",
    "proto=udp",
    "port=",
    "xprtsec=",
];
/// Settings that U-Boot scripts read from a disk, but not over the network.
const UBOOT_SETTINGS: [&str; 5] = [
    "armbianEnv.txt",
    "orangepiEnv.txt",
    "dietpiEnv.txt",
    "ubuntuEnv.txt",
    "uEnv.txt",
];

/// Returns a sentence for each obstacle, given the kernel command line and the initramfs files.
pub(super) fn notes(
    root: &Tree,
    boot: &Tree,
    line: &str,
    initramfs: &[String],
) -> io::Result<Vec<String>> {
    let mut notes = Vec::new();
    for (path, text, _) in network_files(root)? {
        notes.extend(own_word(&text, &TAKEN).map(|word| {
            format!(
                "/{path} puts an interface into another one ({word}): if it is the one that a node boots by, the node loses its root \
                 and stands still; leave that interface as it is"
            )
        }));
    }
    notes.extend(connman(root)?);
    notes.extend(selinux(root, line));
    notes.extend(no_init(root, line)?);
    notes.extend(volatile(root, line));
    notes.extend(waits(boot, initramfs));
    notes.extend(nfs_default(root));
    notes.extend(uboot_settings(boot)?);
    Ok(notes)
}

/// Returns a sentence on a default by which the mounts of a node fail.
fn nfs_default(root: &Tree) -> Option<String> {
    let text = root.read_text(NFS_DEFAULTS).ok().flatten()?;
    let section = text
        .lines()
        .map(str::trim)
        .skip_while(|line| !line.starts_with('[') || !line.contains("NFSMount_Global_Options"));
    let mut settings = section.skip(1).take_while(|line| !line.starts_with('['));
    let fails = |line: &&str| {
        let line = line.to_ascii_lowercase().replace(' ', "");
        NFS_FAILS.iter().any(|start| line.starts_with(start))
    };
    let setting = settings.find(fails)?;
    Some(format!(
        "/{NFS_DEFAULTS} sets {setting} for every mount, also of a node's boot folder and data from this server, which it makes fail: \
         take it out, or put it into a section [ Server \"NAME\" ] of the server that needs it"
    ))
}

/// Returns a sentence on settings that a script of U-Boot reads on a disk.
fn uboot_settings(boot: &Tree) -> io::Result<Option<String>> {
    for name in UBOOT_SETTINGS {
        if boot.metadata(name)?.is_some() && boot.metadata("boot.scr")?.is_some() {
            return Ok(Some(format!(
                "{name} is read by boot.scr, which U-Boot runs from a disk: over the network it reads pxelinux.cfg/default, where \
                 overlays and arguments of {name} are missing; put them there (FDTOVERLAYS, APPEND), or: netbe set cmdline="
            )));
        }
    }
    Ok(None)
}

/// Returns a sentence on an overlay over the root, requested by the command line or by the files it is generated from.
fn volatile(root: &Tree, line: &str) -> Option<String> {
    let made_of = ["etc/default/grub", "etc/kernel/cmdline"].map(|path| {
        let text = root.read_text(path).ok().flatten().unwrap_or_default();
        let lines = text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'));
        lines.collect::<Vec<_>>().join("\n")
    });
    let words = made_of.iter().map(String::as_str).chain([line]);
    let word = words
        .flat_map(|text| text.split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'')))
        .find(|word| word.starts_with("systemd.volatile=") && !word.ends_with("=no"))?;
    Some(format!(
        "the kernel command line has {word}: dracut's initramfs asks for that before an NFS root is mounted, and may not come up; \
         take it off, or try it on one node first (netbe activate --try)"
    ))
}

fn connman(root: &Tree) -> io::Result<Option<String>> {
    let settings = root.read_text(CONNMAN_SETTINGS).ok().flatten();
    let leaves = settings.unwrap_or_default().lines().any(|line| {
        let named = line.trim().strip_prefix(CONNMAN_LEAVES);
        named.is_some_and(|rest| rest.contains("eth") || rest.contains("en"))
    });
    for program in CONNMAN {
        if !leaves && root.metadata(program)?.is_some() {
            return Ok(Some(format!(
                "the system has connman, which takes every interface down before it sets it up: a node would lose its root; put \
                 {CONNMAN_LEAVES}=eth,en under [General] of /{CONNMAN_SETTINGS}"
            )));
        }
    }
    Ok(None)
}

/// Returns a sentence on SELinux labels, which an NFS root has only if it is exported with them.
fn selinux(root: &Tree, line: &str) -> Option<String> {
    let is_off = ["selinux=0", "enforcing=0"];
    let text = root.read_text(SELINUX).ok().flatten()?;
    let enforces = text.lines().any(|line| line.trim() == "SELINUX=enforcing");
    let is_permissive = line.split_whitespace().any(|token| is_off.contains(&token));
    (enforces && !is_permissive).then(|| {
        format!(
            "/{SELINUX} enforces, and files of an NFS root have no labels here: services and logins of a node would be denied; \
             SELINUX=permissive in it, or: netbe set cmdline=enforcing=0"
        )
    })
}

/// Returns a sentence on a system without init, as those made for containers are.
fn no_init(root: &Tree, line: &str) -> io::Result<Option<String>> {
    if line
        .split_whitespace()
        .any(|token| token.starts_with("init="))
    {
        return Ok(None);
    }
    for init in INITS {
        // A link may lead into another filesystem that is mounted later.
        if root.symlink_metadata(init)?.is_some() {
            return Ok(None);
        }
    }
    Ok(Some(
        "the system has no /sbin/init: a node would come up with a shell at its console and nothing else; install one (Debian: \
         systemd-sysv), or name it: netbe set cmdline=init=PROGRAM"
            .to_string(),
    ))
}

/// Returns a sentence on an initramfs that was made for the disks of one machine.
fn waits(boot: &Tree, initramfs: &[String]) -> Option<String> {
    let found = boot::kernel::contents(boot, initramfs).ok()?.contents()?;
    let disk = found.waits_for?;
    Some(format!(
        "the initramfs {} waits for a disk of the machine it was made on ({disk}): a node without it waits for minutes, or for ever; \
         netbe run NODE/ENV -- sh -c 'echo hostonly=no > /etc/dracut.conf.d/any-machine.conf && dracut --force --regenerate-all'",
        initramfs.join(",")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_keeps_a_node_from_running_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let tree = Tree::open(dir.path()).unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let told = |line: &str| notes(&tree, &tree, line, &[]).unwrap().join("\n");
        assert!(told("").contains("no /sbin/init"));
        assert_eq!(told("init=/bin/tini"), "");
        for (line, is_told) in [("overlay", true), ("yes", true), ("no", false)] {
            let line = format!("init=/bin/tini systemd.volatile={line} quiet");
            assert_eq!(told(&line).contains("dracut"), is_told, "{line}");
        }
        let grub = "GRUB_CMDLINE_LINUX=\"quiet systemd.volatile=state\"\n";
        write("etc/default/grub", grub);
        assert!(told("init=/bin/tini").contains("systemd.volatile=state:"));
        write("etc/default/grub", &format!("#{grub}"));
        assert_eq!(told("init=/bin/tini"), "");
        write("sbin/init", "x");
        assert_eq!(told(""), "");
        let global = "[ NFSMount_Global_Options ]\n# Defaultproto=udp\nBackground=True\n";
        write(
            NFS_DEFAULTS,
            &format!("{global}[ Server \"x\" ]\nSec=krb5\n"),
        );
        assert_eq!(told(""), "");
        for setting in ["Sec=krb5p", "Defaultproto = udp", "port=2050"] {
            write(NFS_DEFAULTS, &format!("{global}{setting}\n"));
            assert!(told("").contains(&format!("sets {setting} for every mount")));
        }
        write(NFS_DEFAULTS, global);
        write("armbianEnv.txt", "extraargs=quiet\n");
        assert_eq!(told(""), "");
        write("boot.scr", "x");
        assert!(told("").starts_with("armbianEnv.txt is read by boot.scr"));
        fs::remove_file(dir.path().join("boot.scr")).unwrap();
        write("etc/selinux/config", "# SELINUX=\nSELINUX=enforcing\n");
        assert!(told("quiet").contains("enforcing=0"));
        assert_eq!(told("selinux=0"), "");
        write("etc/selinux/config", "SELINUX=permissive\n");
        write("usr/sbin/connmand", "x");
        write(
            "etc/connman/main.conf",
            "[General]\n# NetworkInterfaceBlacklist=eth\n",
        );
        assert!(told("").contains("connman"));
        write(
            "etc/connman/main.conf",
            "[General]\nNetworkInterfaceBlacklist=vmnet,eth\n",
        );
        assert_eq!(told(""), "");
        write(
            "etc/systemd/network/eth.network",
            "[Match]\nName=eth0\n[Network]\n# Bridge=x\nBond=bond0\n",
        );
        let part = "/etc/systemd/network/eth.network puts an interface into another one (Bond)";
        assert!(told("").contains(part));
    }
}
