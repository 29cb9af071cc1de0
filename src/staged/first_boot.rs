//! Actions of a system's first boot, and settings by which nodes of one template would be the same machine.
//!
//! Each is a note to the user who imports a system or makes a node of it, since netbe cannot decide them. Not for the
//! identity that each node gets anew: that is [`super::identity`].

use std::io;

use super::network_settings::{network_files, own_word};
use super::{memberships, obstacles};
use crate::boot::{self, cloud_init};
use crate::fs::rooted::Tree;

/// Programs that wait for input at the console of a machine's first boot: the link that starts one, the file whose absence
/// makes it wait, its description, and the command that avoids it.
const WAITING: [(&str, &str, &str, &str); 4] = [
    (
        "etc/systemd/system/multi-user.target.wants/userconfig.service",
        "userconf",
        "Raspberry Pi OS asks for a user (such as pi)",
        "echo \"pi:$(openssl passwd -6)\" | netbe run NODE/ENV -- tee BOOT/userconf.txt",
    ),
    (
        "etc/systemd/system/multi-user.target.wants/initial-setup.service",
        "",
        "initial-setup asks for a user",
        "netbe run NODE/ENV -- systemctl disable initial-setup.service",
    ),
    (
        "etc/systemd/system/sysinit.target.wants/systemd-firstboot.service",
        "",
        "systemd-firstboot asks for language and password",
        "netbe run NODE/ENV -- systemctl disable systemd-firstboot.service",
    ),
    (
        "etc/systemd/system/default.target.wants/jeos-firstboot.service",
        "",
        "jeos-firstboot asks for language and password",
        "netbe run NODE/ENV -- systemctl disable jeos-firstboot.service",
    ),
];
/// The directory of module options, one of which is the name by which an NFSv4 server knows a machine.
const MODULES: &str = "etc/modprobe.d";
const NFS_NAME: &str = "nfs4_unique_id=";
/// The maximum number of files that are read in one directory.
const FILES: usize = 64;

/// Returns notes about a system before nodes are made from it, a sentence each.
pub fn notes(root: &Tree, boot: &Tree, boot_mount: &str) -> io::Result<Vec<String>> {
    let mut notes = Vec::new();
    let summary = boot::summary(boot, root);
    let line = summary.cmdline.unwrap_or_default();
    let value = |key: &str| line.split_whitespace().find_map(|t| t.strip_prefix(key));
    if let Some(program) = value("systemd.run=") {
        let program = program.trim_matches('"');
        notes.push(format!(
            "the kernel command line has systemd.run={program}, a first boot such as Raspberry Pi Imager's: each node would do it, and \
             get the host name in it; do it once: netbe run NODE/ENV -- {program}, then take systemd.run… and systemd.unit… off the \
             command line"
        ));
    }
    if boot.metadata("custom.toml")?.is_some() {
        notes.push(format!(
            "{boot_mount}/custom.toml (user, password, keys, host name of Raspberry Pi Imager) is read at a first boot from a card only, \
             which a node does not have: set them up with netbe run"
        ));
    }
    if has_cloud_init(root)? {
        notes.push(cloud_init_note(boot, boot_mount)?);
    }
    notes.extend(waiting(root, boot, boot_mount)?);
    notes.extend(memberships::notes(root)?);
    notes.extend(nfs_name(root)?);
    notes.extend(networks(root)?);
    notes.extend(obstacles::notes(root, boot, &line, &summary.initramfs)?);
    Ok(notes)
}

/// Returns whether a system has cloud-init.
pub fn has_cloud_init(root: &Tree) -> io::Result<bool> {
    for path in cloud_init::PROGRAMS {
        if root.symlink_metadata(path)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn cloud_init_note(boot: &Tree, boot_mount: &str) -> io::Result<String> {
    let from = match boot.metadata("user-data")?.is_some() {
        true => format!("what {boot_mount}/user-data and network-config say"),
        false => "what its data source says".to_string(),
    };
    Ok(format!(
        "the system has cloud-init: at its first boot each node does {from}, as a machine of its own, also if the system has \
         done it before; host names stay those of the nodes, and with a root on the network the interfaces stay as they are"
    ))
}

/// Returns a sentence for each program that would wait for input at the console.
fn waiting(root: &Tree, boot: &Tree, boot_mount: &str) -> io::Result<Vec<String>> {
    let mut notes = Vec::new();
    for (starts, answer, what, instead) in WAITING {
        let answered = !answer.is_empty()
            && (boot.metadata(answer)?.is_some()
                || boot.metadata(&format!("{answer}.txt"))?.is_some());
        if !answered && root.symlink_metadata(starts)?.is_some() {
            let instead = instead.replace("BOOT", boot_mount);
            notes.push(format!(
                "{what} at the console of a node's first boot, and waits for the answer; to answer beforehand: {instead}"
            ));
        }
    }
    Ok(notes)
}

/// Returns the file with the name by which NFS servers identify the machine.
fn nfs_name(root: &Tree) -> io::Result<Vec<String>> {
    let mut notes = Vec::new();
    for name in root.names(MODULES)?.into_iter().take(FILES) {
        let path = format!("{MODULES}/{name}");
        let text = root.read_text(&path).ok().flatten().unwrap_or_default();
        let has =
            |line: &str| line.trim_start().starts_with("options nfs ") && line.contains(NFS_NAME);
        if text.lines().any(has) {
            notes.push(format!(
                "/{path} sets {NFS_NAME}: nodes of this system would take each other's NFS locks; remove it in the template"
            ));
        }
    }
    Ok(notes)
}

fn networks(root: &Tree) -> io::Result<Vec<String>> {
    let mut notes = Vec::new();
    for (path, text, words) in network_files(root)? {
        let Some(word) = own_word(&text, words) else {
            continue;
        };
        notes.push(format!(
            "/{path} has an address or a name of one machine ({word}): nodes of this system would share it, or lose the root when \
             it is set; the property ip is for addresses"
        ));
    }
    Ok(notes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_nodes_would_share_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let (r, b) = (dir.path().join("root"), dir.path().join("boot"));
        fs::create_dir_all(&b).unwrap();
        let write = |path: &str, text: &str| {
            let path = r.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(
            "etc/network/interfaces",
            "auto lo\niface lo inet loopback\n address 127.0.0.1\n",
        );
        write("sbin/init", "x");
        let told = || {
            let (root, boot) = (Tree::open(&r).unwrap(), Tree::open(&b).unwrap());
            notes(&root, &boot, "/boot/firmware").unwrap().join("\n")
        };
        assert_eq!(told(), "");
        write(
            "etc/netplan/50-cloud-init.yaml",
            "network:\n  ethernets:\n    eth0:\n      match:\n        macaddress: dc:a6\n",
        );
        write(
            "etc/dhcpcd.conf",
            "# static ip_address=1\ninterface eth0\nstatic ip_address=10.0.0.9/24\n",
        );
        write(
            "etc/systemd/networkd.conf.d/x.conf",
            "[DHCPv4]\nDUIDRawData=00:11\n",
        );
        write(
            "etc/modprobe.d/nfs.conf",
            "options nfs nfs4_unique_id=desk\n",
        );
        write("var/lib/ceph/osd/ceph-3/whoami", "3\n");
        write(
            "etc/systemd/system/multi-user.target.wants/userconfig.service",
            "",
        );
        write("usr/bin/cloud-init", "x");
        write("var/lib/tailscale/tailscaled.state", "{}");
        fs::write(b.join("config.txt"), "").unwrap();
        fs::write(
            b.join("cmdline.txt"),
            "root=/dev/nfs systemd.run=/boot/firmware/firstrun.sh systemd.unit=kernel-command-line.target\n",
        )
        .unwrap();
        fs::write(b.join("custom.toml"), "").unwrap();
        let said = told();
        for part in [
            "systemd.run=/boot/firmware/firstrun.sh",
            "/boot/firmware/custom.toml",
            "cloud-init",
            "Tailscale",
            "/etc/netplan/50-cloud-init.yaml",
            "/etc/dhcpcd.conf",
            "DUIDRawData",
            "nfs4_unique_id",
            "Ceph",
            "tee /boot/firmware/userconf.txt",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert_eq!(said.lines().count(), 10, "{said}");
        fs::write(b.join("userconf.txt"), "nog:hash\n").unwrap();
        assert!(!told().contains("userconf.txt"));
    }
}
