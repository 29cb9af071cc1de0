//! What in the texts of an environment is its own by nature, told apart from what else they say.
//!
//! Each environment names its own root and boot half, and each machine its own name, so no two say the same. Pure.
//! Not for editing: what is left is for comparing and showing.

use std::io;

use super::cmdline::OWN;
use super::cmdline_tokens::{Line, name_of, same_name};
use super::files::{BootFiles, text};
use super::fstab;
use super::identity::{self, HOST_KEYS, HOSTNAME, INITIATOR_NAME, RESET};
use super::plan::recognise;
use super::pxelinux::boots::{self, Reader};
use super::pxelinux::{self, MADE_BY};
use super::rpi;
use super::spec::Loader;

/// A text without what is its environment's own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parted {
    /// What is left.
    pub rest: String,
    /// What was taken out, piece by piece.
    pub own: Vec<String>,
}

/// Returns a kernel command line, an argument a line.
pub fn part_cmdline(text: &str) -> Parted {
    // What is no single line boots nothing, and is compared as it is.
    let Ok(line) = Line::parse(text) else {
        return Parted {
            rest: text.to_string(),
            own: Vec::new(),
        };
    };
    let is_own = |token: &&str| OWN.iter().any(|own| same_name(name_of(token), own));
    let (own, rest): (Vec<&str>, Vec<&str>) = line.tokens().partition(is_own);
    let init: Vec<&str> = line.for_init().collect();
    let end = (!init.is_empty()).then_some("--");
    Parted {
        rest: rest
            .into_iter()
            .chain(end)
            .chain(init)
            .map(|token| format!("{token}\n"))
            .collect(),
        own: own.into_iter().map(str::to_string).collect(),
    }
}

/// Returns an fstab without netbe's own line.
pub fn part_fstab(text: &str) -> Parted {
    let mut parted = Parted::default();
    for line in text.split_inclusive('\n') {
        match fstab::entries(line).iter().any(fstab::Entry::is_own) {
            true => parted.own.push(line.trim_end().to_string()),
            false => parted.rest.push_str(line),
        }
    }
    parted
}

/// Returns the menu of a loader without the command line, which is compared by itself, and without whom it was made for.
fn part_menu(text: &str, reader: Reader) -> Parted {
    let (first, rest) = match text.strip_prefix(MADE_BY) {
        Some(rest) => rest.split_at(rest.find('\n').map_or(rest.len(), |end| end + 1)),
        None => ("", text),
    };
    let mut menu = pxelinux::menu::Menu::parse(rest);
    if let Ok(choice) = boots::choice(&menu, reader, &|_| false)
        && menu.append(&choice.label).is_some()
    {
        menu.set_append(&choice.label, "…");
    }
    let first = first.trim_end();
    Parted {
        rest: menu.to_string(),
        own: match first.is_empty() {
            true => Vec::new(),
            false => vec![format!("{MADE_BY}{first}")],
        },
    }
}

/// Returns the command lines of a boot half, each with the file it stands in.
///
/// # Errors
/// Where one cannot be read, or is no text.
pub fn cmdlines(boot: &dyn BootFiles) -> io::Result<Vec<(String, Parted)>> {
    let mut found = Vec::new();
    match recognise(boot) {
        Some(Loader::Rpi) => {
            let mut files = Vec::new();
            for config in rpi::configs(boot)? {
                files.extend(rpi::loads(boot, &config)?.into_iter().map(|l| l.cmdline));
            }
            files.sort();
            files.dedup();
            for file in files {
                if let Some(text) = text(boot, &file)? {
                    found.push((file, part_cmdline(&text)));
                }
            }
        }
        Some(Loader::Pxelinux) => {
            for file in pxelinux::configurations(boot)? {
                let menu = pxelinux::read(boot, &file).map_err(io::Error::other)?;
                let label = menu
                    .as_ref()
                    .and_then(|(m, _)| Some((m, pxelinux::choice(m, boot, None).ok()?)));
                if let Some((menu, choice)) = label {
                    let append = menu.append(&choice.label).unwrap_or_default();
                    found.push((file, part_cmdline(append)));
                }
            }
        }
        None => {}
    }
    Ok(found)
}

/// Returns the other texts that tell a loader what to do, each with its file.
///
/// # Errors
/// Where one cannot be read, or is no text.
pub fn settings(boot: &dyn BootFiles) -> io::Result<Vec<(String, Parted)>> {
    let mut found = Vec::new();
    if let Some(text) = text(boot, rpi::CONFIG)? {
        let rest = Parted {
            rest: text,
            own: Vec::new(),
        };
        found.push((rpi::CONFIG.to_string(), rest));
    }
    for file in pxelinux::configurations(boot)? {
        if let Some(text) = text(boot, &file)? {
            found.push((file, part_menu(&text, Reader::of(boot, None))));
        }
    }
    Ok(found)
}

/// Returns whether a file of the root half says who a machine is, and nothing else.
pub fn is_identity(path: &str) -> bool {
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    RESET.empty.contains(&path)
        || RESET.remove_regular.contains(&path)
        || RESET.remove.iter().any(|p| p.dir == dir && p.matches(name))
        || [HOSTNAME, INITIATOR_NAME].contains(&path)
        || (dir == HOST_KEYS && !identity::host_keys(&[name.to_string()]).remove.is_empty())
}

/// Returns whether a file of the boot half is one machine's own.
pub fn is_identity_in_boot(path: &str) -> bool {
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    RESET
        .remove_boot
        .iter()
        .any(|p| p.dir == dir && p.matches(name))
}

/// Returns whether two `etc/hosts` differ in the machine's own name only.
pub fn same_hosts(before: &str, old: &str, after: &str, new: &str) -> bool {
    let renamed = identity::hosts(Some(before), Some(old.trim()), new.trim());
    renamed.as_deref().unwrap_or(before) == after
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_parted_from_where_its_root_is() {
        let parted = part_cmdline(
            "console=tty1 root=/dev/nfs nfsroot=10.0.0.1:/srv/a rw ip=dhcp quiet -- single\n",
        );
        assert_eq!(parted.rest, "console=tty1\nrw\nquiet\n--\nsingle\n");
        assert_eq!(
            parted.own,
            ["root=/dev/nfs", "nfsroot=10.0.0.1:/srv/a", "ip=dhcp"]
        );
        assert_eq!(part_cmdline("two\nlines\n").rest, "two\nlines\n");
    }

    #[test]
    fn an_fstab_is_parted_from_its_own_line() {
        let text = "# disks\ntmpfs /tmp tmpfs\n10.0.0.1:/srv/b /boot nfs rw,x-netbe 0 0\n";
        let parted = part_fstab(text);
        assert_eq!(parted.rest, "# disks\ntmpfs /tmp tmpfs\n");
        assert_eq!(parted.own, ["10.0.0.1:/srv/b /boot nfs rw,x-netbe 0 0"]);
    }

    #[test]
    fn a_menu_is_parted_from_its_command_line() {
        let text =
            "# made by netbe for nog/a\nDEFAULT l\nLABEL l\n  KERNEL k\n  APPEND root=x quiet\n";
        let parted = part_menu(text, Reader::UBoot);
        assert_eq!(parted.rest, "DEFAULT l\nLABEL l\n  KERNEL k\n  APPEND …\n");
        assert_eq!(parted.own, ["# made by netbe for nog/a"]);
        assert_eq!(part_menu("garbage", Reader::UBoot).rest, "garbage");
    }

    #[test]
    fn what_says_who_a_machine_is_is_known() {
        for path in [
            "etc/hostname",
            "etc/machine-id",
            "etc/ssh/ssh_host_rsa_key",
            "etc/ssh/ssh_host_ed25519_key.pub",
            "var/lib/dhcp/dhclient.eth0.leases",
            "var/lib/systemd/random-seed",
        ] {
            assert!(is_identity(path), "{path}");
        }
        for path in ["etc/hosts", "etc/ssh/sshd_config", "hostname", "etc/fstab"] {
            assert!(!is_identity(path), "{path}");
        }
        assert!(is_identity_in_boot("pieeprom.upd"));
        let (nog, ordo) = (
            "127.0.1.1 nog\n10.0.0.9 nog\n",
            "127.0.1.1 ordo\n10.0.0.9 nog\n",
        );
        assert!(same_hosts(nog, "nog\n", ordo, "ordo\n"));
        assert!(!same_hosts(
            nog,
            "nog",
            &format!("{ordo}1.1.1.1 x\n"),
            "ordo"
        ));
    }
}
