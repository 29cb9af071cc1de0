//! Packages of boot loaders. A part of each loader is installed outside of the package's files, on the EFI system partition or
//! in a boot sector, which an upgrade in a copy does not reach.
//!
//! Pure. Not for loaders that netbe serves to machines over the network.

use super::Changes;

/// How the installed part of a loader is updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Outside {
    /// Whether that part is on the EFI system partition; else it is in a boot sector.
    on_esp: bool,
    /// The command.
    command: &'static str,
}

const BY_GRUB_INSTALL: Outside = Outside {
    on_esp: true,
    command: "grub-install",
};
const BY_BOOTCTL: Outside = Outside {
    on_esp: true,
    command: "bootctl update",
};

/// Prefixes of package names of Debian, Arch, Fedora and openSUSE; the first that matches counts.
const LOADERS: &[(&str, Outside)] = &[
    (
        "grub-pc",
        Outside {
            on_esp: false,
            command: "dpkg-reconfigure grub-pc",
        },
    ),
    ("grub-efi", BY_GRUB_INSTALL),
    ("grub2-efi", BY_GRUB_INSTALL),
    (
        "grub2-i386-pc",
        Outside {
            on_esp: false,
            command: "update-bootloader --reinit",
        },
    ),
    ("shim", BY_GRUB_INSTALL),
    ("systemd-boot", BY_BOOTCTL),
];

/// Packages whose names have such a prefix and that install no loader.
const OTHERS: &[&str] = &["grub-pc-bin", "grub-efi-amd64-bin", "grub-efi-arm64-bin"];

/// Returns the messages about upgraded loaders, one for each command; `env` is the environment in which they were upgraded.
pub fn notes(changes: &Changes, env: &str) -> Vec<String> {
    let note = |(outside, names): (Outside, Vec<&str>)| {
        format!(
            "{} {} upgraded in {env}; the part that starts this machine is {}, and stays the old one: once {env} runs, {}",
            names.join(", "),
            if names.len() == 1 { "was" } else { "were" },
            match outside.on_esp {
                true => "on the EFI system partition",
                false => "in a boot sector",
            },
            outside.command
        )
    };
    left_outside(changes).into_iter().map(note).collect()
}

/// Returns the upgraded packages whose installed part is still the old one, by the command that updates it.
fn left_outside(changes: &Changes) -> Vec<(Outside, Vec<&str>)> {
    let mut found: Vec<(Outside, Vec<&str>)> = Vec::new();
    for (name, _, _) in &changes.upgraded {
        if OTHERS.contains(&name.as_str()) {
            continue;
        }
        let Some((_, outside)) = LOADERS.iter().find(|(start, _)| name.starts_with(start)) else {
            continue;
        };
        match found.iter_mut().find(|(other, _)| other == outside) {
            Some((_, names)) => names.push(name),
            None => found.push((*outside, vec![name])),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loader_has_a_part_elsewhere() {
        let upgraded = |names: &[&str]| Changes {
            upgraded: names
                .iter()
                .map(|name| ((*name).to_string(), "1".to_string(), "2".to_string()))
                .collect(),
            ..Changes::default()
        };
        for (names, expected) in [
            (&["bash", "grub-common", "grub-pc-bin"][..], &[][..]),
            (&["grub-pc"], &[("dpkg-reconfigure grub-pc", 1)]),
            (
                &["grub-efi-amd64-signed", "shim-signed", "systemd-boot-efi"],
                &[("grub-install", 2), ("bootctl update", 1)],
            ),
        ] {
            let changes = upgraded(names);
            let found: Vec<(&str, usize)> = left_outside(&changes)
                .iter()
                .map(|(outside, names)| (outside.command, names.len()))
                .collect();
            assert_eq!(found, expected, "{names:?}");
        }
    }
}
