//! The files that GRUB reads on the disk of the machine that has the pool: a script for its own configuration, the menu of all
//! environments, and the entry of each environment.
//!
//! GRUB's btrfs driver finds files by paths from the top level of the filesystem, whatever is mounted, follows links, and
//! crosses subvolumes by name. So the machine's configuration never changes: it reads through the link `active`. Pure.

use super::env_block::ONCE;
use super::local_root::{GRUB_PREFIX, OwnRoot};
use super::pxelinux::Loads;
use super::uefi::{self, arguments, origin, quoted};

/// The script in the directory of GRUB's own: after the header, before the machine's own entries.
pub const SCRIPT: &str = "/etc/grub.d/06_netbe";

/// An environment's entry, in its boot half.
pub(crate) const CONFIG: &str = uefi::GRUB_CONFIG;

/// The name of the entry that boots the active environment.
pub const ACTIVE_ENTRY: &str = "netbe-active";

/// The name of the entry that boots another one for once.
const ONCE_ENTRY: &str = "netbe-once";

/// A pool, as the machine's configuration names it.
#[derive(Debug, Clone, Copy)]
pub struct Machine<'a> {
    /// The UUID of the filesystem.
    pub filesystem: &'a str,
    /// The pool, as a path from the top level: `netbe`.
    pub pool: &'a str,
    /// Its node.
    pub node: &'a str,
    /// The environment block, if GRUB can write one.
    pub block: Option<Block<'a>>,
}

/// GRUB's environment block for boots for once.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    /// The UUID of a filesystem.
    pub filesystem: &'a str,
    /// The file, as a path from its top, or else sectors of its device: `512+1`.
    pub file: &'a str,
    /// Whether it is a list of sectors, which GRUB writes from 2.14 on; before, `save_env` fails ("sparse file not allowed").
    pub is_block_list: bool,
}

impl Machine<'_> {
    /// Returns the path of a file of the active environment from the top level.
    fn active(&self, file: &str) -> String {
        format!("/{}/nodes/{}/active/boot/{file}", self.pool, self.node)
    }

    /// Returns the lines that read the environment to boot for once, and erase it before it boots: if GRUB cannot write, it is
    /// not booted.
    fn once(&self) -> String {
        let Some(block) = self.block else {
            return String::new();
        };
        let Block {
            filesystem, file, ..
        } = block;
        // A path without `/` after the device is a list of blocks.
        let slash = if block.is_block_list { "" } else { "/" };
        let file = format!("\"($netbe_block){slash}{file}\"");
        format!(
            "  search --no-floppy --fs-uuid --set=netbe_block {filesystem}\n  \
             if [ -n \"$netbe_block\" -a -s {file} ]; then\n    \
             load_env --skip-sig -f {file} {ONCE}\n    \
             if [ -n \"${ONCE}\" ]; then\n      \
             set netbe_env=\"${ONCE}\"\n      set {ONCE}=\n      \
             if save_env -f {file} {ONCE}; then\n        export netbe_env\n      else\n        set netbe_env=\n      fi\n    \
             fi\n  fi\n"
        )
    }

    /// Returns the entry that boots an environment for once.
    fn once_entry(&self) -> String {
        if self.block.is_none() {
            return String::new();
        }
        let file = format!(
            "/{}/nodes/{}/envs/$netbe_env/boot/{CONFIG}",
            self.pool, self.node
        );
        format!(
            "  if [ -n \"$netbe_env\" -a -f \"($netbe){file}\" ]; then\n    \
             menuentry \"{}: $netbe_env, this once\" --id {ONCE_ENTRY} --class gnu-linux --class os {{\n      \
             set root=\"$netbe\"\n      source \"{file}\"\n    }}\n    \
             set default={ONCE_ENTRY}\n  fi\n",
            self.node
        )
    }

    /// Returns the path of the menu of all environments from the top level.
    fn menu(&self) -> String {
        format!("/{}/{MENU}", self.pool)
    }
}

/// The menu of all environments, in the pool.
pub const MENU: &str = "environments.cfg";

/// An entry of that menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The environment's name.
    pub name: String,
    /// The rest of its title: its kernel, and the time of creation.
    pub about: String,
}

/// Returns the entry of an environment: its kernel, with its arguments, and its initramfs.
///
/// The caller has set `root` to the filesystem.
pub(crate) fn of_environment(name: &str, loads: &Loads, own: &OwnRoot) -> String {
    let path = |file: &String| quoted(&format!("/{}/{}", own.boot, file.trim_start_matches('/')));
    // GRUB quotes an argument with blanks by itself, and would escape a quote, which the kernel does not understand.
    let given = arguments(&loads.append).map(|token| quoted(&token.replace('"', "")));
    // Before the arguments of init, which follow a `--`.
    let mut words = vec![format!("{GRUB_PREFIX}=$prefix")];
    words.extend(given);
    let mut text = format!(
        "{}\nlinux {} {}\n",
        origin(name),
        path(&loads.kernel),
        words.join(" ")
    );
    if !loads.initramfs.is_empty() {
        let files: Vec<String> = loads.initramfs.iter().map(path).collect();
        text.push_str(&format!("initrd {}\n", files.join(" ")));
    }
    text
}

/// Returns the menu of all environments, in this order.
///
/// GRUB shows an entry only if its environment exists: a destroyed one is not offered, even after a power cut in between.
pub fn menu(machine: Machine<'_>, entries: &[Entry]) -> String {
    let mut text = format!(
        "# made by netbe for {}: every environment, the newest first\n",
        machine.node
    );
    for Entry { name, about } in entries {
        let file = format!(
            "/{}/nodes/{}/envs/{name}/boot/{CONFIG}",
            machine.pool, machine.node
        );
        text.push_str(&format!(
            "if [ -f {file} ]; then\n  menuentry {} --id netbe-{name} --class gnu-linux --class os {{\n    \
             set root=\"$netbe\"\n    source {file}\n  }}\nfi\n",
            quoted(&format!("{name} ({about})"))
        ));
    }
    text
}

/// Returns the script for `/etc/grub.d`, whose output grub-mkconfig(8) puts into the machine's configuration.
///
/// The machine's own entries follow, and boot by default if the pool is not found. An entry that `grub-reboot` set for one
/// boot has precedence.
pub fn script(machine: Machine<'_>) -> String {
    let Machine {
        filesystem, node, ..
    } = machine;
    let (active, menu) = (machine.active(CONFIG), machine.menu());
    let (once, once_entry) = (machine.once(), machine.once_entry());
    format!(
        "#!/bin/sh\n\
         # Written by netbe adopt, and removed by netbe adopt --undo.\n\
         set -e\n\
         lib=${{pkgdatadir:-/usr/share/grub}}/grub-mkconfig_lib\n\
         if [ -r \"$lib\" ] && [ -n \"$GRUB_DEVICE\" ]; then\n\
         \t. \"$lib\"\n\
         \t# What the disk needs: partition table, RAID, LVM.\n\
         \tprepare_grub_to_access_device \"$GRUB_DEVICE\" | grep '^ *insmod ' || true\n\
         fi\n\
         cat <<'END'\n\
         insmod btrfs\n\
         search --no-floppy --fs-uuid --set=netbe {filesystem}\n\
         export netbe\n\
         if [ -f \"($netbe){active}\" ]; then\n\
         {once}  \
         menuentry '{node}: active environment' --id {ACTIVE_ENTRY} --class gnu-linux --class os {{\n    \
         set root=\"$netbe\"\n    source {active}\n  }}\n  \
         submenu '{node}: all environments' --id netbe-all {{\n    \
         set root=\"$netbe\"\n    source {menu}\n  }}\n  \
         if [ \"$boot_once\" != true ]; then\n    set default={ACTIVE_ENTRY}\n  fi\n\
         {once_entry}\
         fi\n\
         END\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: Machine<'static> = Machine {
        filesystem: "1-2",
        pool: "netbe",
        node: "nog",
        block: None,
    };

    fn loads(append: &str) -> Loads {
        Loads {
            kernel: "vmlinuz-6.1".to_string(),
            initramfs: vec!["initrd.img-6.1".to_string()],
            append: append.to_string(),
            configuration: None,
            added: 2,
            tree: None,
            overlays: Vec::new(),
            tree_dir: None,
            faults: Vec::new(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn an_environment_boots_its_own_kernel() {
        let own = OwnRoot {
            filesystem: "1-2".to_string(),
            root: "netbe/nodes/nog/envs/a/root".to_string(),
            boot: "netbe/nodes/nog/envs/a/boot".to_string(),
        };
        let text = of_environment("nog/a", &loads("root=UUID=1-2 \"x=a b\" rw"), &own);
        let (first, rest) = text.split_once('\n').unwrap();
        assert!(first.starts_with("# made by netbe for nog/a"), "{first}");
        assert_eq!(
            rest,
            "linux /netbe/nodes/nog/envs/a/boot/vmlinuz-6.1 netbe.grub=$prefix root=UUID=1-2 'x=a b' rw\n\
             initrd /netbe/nodes/nog/envs/a/boot/initrd.img-6.1\n"
        );
    }

    #[test]
    fn the_menu_lists_existing_environments() {
        let entries = [Entry {
            name: "a".to_string(),
            about: "6.1, it's new".to_string(),
        }];
        let text = menu(MACHINE, &entries);
        assert!(text.contains("if [ -f /netbe/nodes/nog/envs/a/boot/grub/netbe.cfg ]; then\n"));
        assert!(
            text.contains("menuentry 'a (6.1, it'\\''s new)' --id netbe-a "),
            "{text}"
        );
        assert!(menu(MACHINE, &[]).starts_with("# made by netbe for nog"));
    }

    #[test]
    fn the_machines_configuration_reads_the_active_environment() {
        let text = script(MACHINE);
        for line in [
            "search --no-floppy --fs-uuid --set=netbe 1-2\n",
            "if [ -f \"($netbe)/netbe/nodes/nog/active/boot/grub/netbe.cfg\" ]; then\n",
            "    source /netbe/nodes/nog/active/boot/grub/netbe.cfg\n",
            "    source /netbe/environments.cfg\n",
            "    set default=netbe-active\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert!(!text.contains(ONCE));
    }

    #[test]
    fn the_boot_for_once_is_cleared_before_it_starts() {
        for (file, is_block_list, named) in [
            (
                "EFI/netbe/grubenv",
                false,
                "\"($netbe_block)/EFI/netbe/grubenv\"",
            ),
            ("512+1", true, "\"($netbe_block)512+1\""),
        ] {
            let text = script(Machine {
                block: Some(Block {
                    filesystem: "AB-CD",
                    file,
                    is_block_list,
                }),
                ..MACHINE
            });
            let lines = [
                "search --no-floppy --fs-uuid --set=netbe_block AB-CD\n".to_string(),
                format!("if [ -n \"$netbe_block\" -a -s {named} ]; then\n"),
                format!("load_env --skip-sig -f {named} netbe_once\n"),
                "set netbe_env=\"$netbe_once\"\n      set netbe_once=\n".to_string(),
                format!(
                    "if save_env -f {named} netbe_once; then\n        export netbe_env\n      else\n        set netbe_env=\n"
                ),
                "set default=netbe-active\n".to_string(),
                "if [ -n \"$netbe_env\" -a -f \"($netbe)/netbe/nodes/nog/envs/$netbe_env/boot/"
                    .to_string(),
                "      source \"/netbe/nodes/nog/envs/$netbe_env/boot/grub/netbe.cfg\"\n"
                    .to_string(),
                "set default=netbe-once\n".to_string(),
            ];
            let mut rest = text.as_str();
            for line in &lines {
                let at = rest.find(line).unwrap_or_else(|| panic!("{line}: {text}"));
                rest = &rest[at..];
            }
        }
    }
}
