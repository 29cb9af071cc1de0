//! Finds the disk of the machine an initramfs was made on for which dracut makes it wait.

/// The directory of arguments that dracut recorded on the machine it was run on.
pub(super) const SETTINGS: &str = "etc/cmdline.d";

/// Returns the disk, or the argument that names it, from a file in an initramfs, whose path has no leading `usr/`.
pub(super) fn waits_for(dir: &str, name: &str, content: &[u8]) -> Option<String> {
    if dir.ends_with("dracut/hooks/initqueue/finished") {
        let disk = name.strip_prefix("devexists-")?;
        return Some(disk.trim_end_matches(".sh").replace("\\x2f", "/"));
    }
    match dir {
        "etc/systemd/system/initrd.target.wants" => {
            name.ends_with(".device").then(|| name.to_string())
        }
        SETTINGS => of_a_disk(content),
        _ => None,
    }
}

/// Returns the argument in dracut's own settings that makes it wait for a disk.
fn of_a_disk(settings: &[u8]) -> Option<String> {
    let words = settings.split(u8::is_ascii_whitespace);
    let text = words.map(|word| String::from_utf8_lossy(word).into_owned());
    let disks = ["rd.lvm.lv=", "rd.luks.uuid=", "rd.md.uuid="];
    text.into_iter()
        .find(|word| disks.iter().any(|disk| word.starts_with(disk)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_that_dracut_waits_for_are_found() {
        let hooks = "var/lib/dracut/hooks/initqueue/finished";
        let wants = "etc/systemd/system/initrd.target.wants";
        let uuid = r"devexists-\x2fdev\x2fdisk\x2fby-uuid\x2f1.sh";
        for (dir, name, content, disk) in [
            (hooks, uuid, "", Some("/dev/disk/by-uuid/1")),
            (wants, "dev-sda2.device", "", Some("dev-sda2.device")),
            (
                SETTINGS,
                "90lvm.conf",
                " rd.lvm.lv=vg/root\n",
                Some("rd.lvm.lv=vg/root"),
            ),
            (SETTINGS, "95root.conf", "root=UUID=1 rootfstype=ext4", None),
            (hooks, "nfsroot.sh", "", None),
            (wants, "x.service", "", None),
        ] {
            let found = waits_for(dir, name, content.as_bytes());
            assert_eq!(found.as_deref(), disk, "{dir}/{name}");
        }
    }
}
