//! Separates what is specific to an environment in its texts from the rest, to compare environments.
//!
//! Each environment has its own root and boot half, and each machine its own name, so the texts always differ. Pure;
//! the result is for comparing and showing only.

use std::io;

use super::cmdline::MANAGED;
use super::cmdline_tokens::{Line, name_of, same_name};
use super::files::{BootFiles, text};
use super::fstab;
use super::identity;
use super::plan::recognise;
use super::pxelinux::boots::{self, Reader};
use super::pxelinux::{self, MADE_BY};
use super::rpi;
use super::spec::Loader;
use super::uefi;

/// A text without what is specific to its environment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Separated {
    /// The rest.
    pub rest: String,
    /// The specific parts.
    pub specific: Vec<String>,
}

/// Returns a kernel command line with one argument a line.
pub fn split_cmdline(text: &str) -> Separated {
    // A text of several lines is no command line, and is compared as it is.
    let Ok(line) = Line::parse(text) else {
        return Separated {
            rest: text.to_string(),
            specific: Vec::new(),
        };
    };
    let is_specific = |token: &&str| {
        MANAGED
            .iter()
            .any(|specific| same_name(name_of(token), specific))
    };
    let (specific, rest): (Vec<&str>, Vec<&str>) = line.tokens().partition(is_specific);
    let init: Vec<&str> = line.for_init().collect();
    let end = (!init.is_empty()).then_some("--");
    Separated {
        rest: rest
            .into_iter()
            .chain(end)
            .chain(init)
            .map(|token| format!("{token}\n"))
            .collect(),
        specific: specific.into_iter().map(str::to_string).collect(),
    }
}

/// Returns an fstab without netbe's line.
pub fn split_fstab(text: &str) -> Separated {
    let mut separated = Separated::default();
    for line in text.split_inclusive('\n') {
        let is_own = |entry: &fstab::Entry| entry.is_managed() || entry.is_data();
        match fstab::entries(line).iter().any(is_own) {
            true => separated.specific.push(line.trim_end().to_string()),
            false => separated.rest.push_str(line),
        }
    }
    separated
}

/// Returns the menu of a loader without the command line, which is compared separately, and without the environment's name.
fn split_menu(text: &str, reader: Reader) -> Separated {
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
    Separated {
        rest: menu.to_string(),
        specific: match first.is_empty() {
            true => Vec::new(),
            false => vec![format!("{MADE_BY}{first}")],
        },
    }
}

/// Returns the command lines of a boot half, each with its file.
///
/// # Errors
/// If a file cannot be read, or is not text.
pub fn cmdlines(boot: &dyn BootFiles) -> io::Result<Vec<(String, Separated)>> {
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
                    found.push((file, split_cmdline(&text)));
                }
            }
        }
        Some(Loader::Pxelinux | Loader::GrubEfi | Loader::Grub) => {
            for file in pxelinux::configurations(boot)? {
                let menu = pxelinux::read(boot, &file).map_err(io::Error::other)?;
                let label = menu
                    .as_ref()
                    .and_then(|(m, _)| Some((m, pxelinux::choice(m, boot, None).ok()?)));
                if let Some((menu, choice)) = label {
                    let append = menu.append(&choice.label).unwrap_or_default();
                    found.push((file, split_cmdline(append)));
                }
            }
        }
        None => {}
    }
    Ok(found)
}

/// Returns the loader's other configuration files, each with its path.
///
/// # Errors
/// If a file cannot be read, or is not text.
pub fn settings(boot: &dyn BootFiles) -> io::Result<Vec<(String, Separated)>> {
    let mut found = Vec::new();
    if let Some(text) = text(boot, rpi::CONFIG)? {
        let rest = Separated {
            rest: text,
            specific: Vec::new(),
        };
        found.push((rpi::CONFIG.to_string(), rest));
    }
    for file in pxelinux::configurations(boot)? {
        if let Some(text) = text(boot, &file)? {
            found.push((file, split_menu(&text, Reader::of(boot, None))));
        }
    }
    // A configuration that is made from the menu is not compared.
    for file in uefi::made(boot)? {
        found.push((file.to_string(), Separated::default()));
    }
    Ok(found)
}

/// Returns whether two `etc/hosts` differ only in the host name.
pub fn same_hosts(before: &str, old: &str, after: &str, new: &str) -> bool {
    let renamed = identity::hosts(Some(before), Some(old.trim()), new.trim());
    renamed.as_deref().unwrap_or(before) == after
}

#[cfg(test)]
mod tests {
    use super::identity::RESET;
    use super::*;

    #[test]
    fn a_command_line_is_separated_from_its_root() {
        let separated = split_cmdline(
            "console=tty1 root=/dev/nfs nfsroot=10.0.0.1:/srv/a rw ip=dhcp quiet -- single\n",
        );
        assert_eq!(separated.rest, "console=tty1\nrw\nquiet\n--\nsingle\n");
        assert_eq!(
            separated.specific,
            ["root=/dev/nfs", "nfsroot=10.0.0.1:/srv/a", "ip=dhcp"]
        );
        assert_eq!(split_cmdline("two\nlines\n").rest, "two\nlines\n");
    }

    #[test]
    fn an_fstab_is_separated_from_netbes_line() {
        let text = "# disks\ntmpfs /tmp tmpfs\n10.0.0.1:/srv/b /boot nfs rw,x-netbe 0 0\n";
        let separated = split_fstab(text);
        assert_eq!(separated.rest, "# disks\ntmpfs /tmp tmpfs\n");
        assert_eq!(
            separated.specific,
            ["10.0.0.1:/srv/b /boot nfs rw,x-netbe 0 0"]
        );
    }

    #[test]
    fn a_menu_is_separated_from_its_command_line() {
        let text =
            "# made by netbe for nog/a\nDEFAULT l\nLABEL l\n  KERNEL k\n  APPEND root=x quiet\n";
        let separated = split_menu(text, Reader::UBoot);
        assert_eq!(
            separated.rest,
            "DEFAULT l\nLABEL l\n  KERNEL k\n  APPEND …\n"
        );
        assert_eq!(separated.specific, ["# made by netbe for nog/a"]);
        assert_eq!(split_menu("garbage", Reader::UBoot).rest, "garbage");
    }

    #[test]
    fn identity_files_are_known() {
        for path in [
            "etc/hostname",
            "etc/machine-id",
            "etc/ssh/ssh_host_rsa_key",
            "etc/ssh/ssh_host_ed25519_key.pub",
            "var/lib/dhcp/dhclient.eth0.leases",
            "var/lib/systemd/random-seed",
        ] {
            assert!(RESET.is_of(path), "{path}");
        }
        for path in ["etc/hosts", "etc/ssh/sshd_config", "hostname", "etc/fstab"] {
            assert!(!RESET.is_of(path), "{path}");
        }
        assert!(RESET.is_of_in_boot("pieeprom.upd"));
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
