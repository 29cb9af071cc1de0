//! Properties: their names, their values, and which value is effective.
//!
//! A node's value overrides the pool's, and that overrides the default. Values are checked and normalised when they are
//! set. Pure: not for storing them, nor for what a change requires.

mod dhcp;
mod http;
mod keep;
mod machines;
mod value;

pub use dhcp::Dhcp;
pub use http::Http;
pub use keep::{Keep, keep};
pub use machines::{addresses, has_several_machines, is_by_serial_alone, is_for_any, is_read_only};

use super::data;
use super::record::{NodeRecord, PoolRecord};
use crate::boot::read_only::SshKeys;
use crate::boot::{Ip, Loader, NfsVersion};
use crate::failure::Failure;
use crate::sandbox::Network;

/// One property.
#[derive(Debug, Clone, Copy)]
pub struct Property {
    /// Its name.
    pub name: &'static str,
    /// What it sets, one line.
    pub help: &'static str,
    /// The format of its values.
    pub value: &'static str,
    /// The default, in words; `-` for none.
    pub default: &'static str,
    /// Whether it can be set on the pool, for every node.
    pub pool_wide: bool,
    normalise: fn(&str) -> Result<String, String>,
}

/// The value in `mac` that stands for every machine that no other node names.
pub const ANY: &str = "any";

/// Every property, in the order `get` prints them.
pub const ALL: &[Property] = &[
    Property {
        name: "server",
        help: "address by which nodes reach this machine",
        value: "IPv4 address",
        default: "address on the default route",
        pool_wide: true,
        normalise: value::address,
    },
    Property {
        name: "mac",
        help: "MAC addresses of the node",
        value: "one or more, comma-separated, any common spelling; any, for every machine that no other node names",
        default: "-",
        pool_wide: false,
        normalise: value::macs,
    },
    Property {
        name: "serial",
        help: "Raspberry Pi serial of the node",
        value: "the low 8 hex digits",
        default: "-",
        pool_wide: false,
        normalise: value::serial,
    },
    Property {
        name: "ip",
        help: "how the node gets its address",
        value: "dhcp, dhcp,ADDR (that address reserved), or ADDR/LEN[,GATEWAY[,DEVICE]]",
        default: "dhcp",
        pool_wide: false,
        normalise: value::parsed::<Ip>,
    },
    Property {
        name: "clients",
        help: "NFS clients that may mount the node's environments",
        value: "addresses, networks or host names, comma-separated",
        default: "the node's ip, else the server's own network",
        pool_wide: true,
        normalise: value::clients,
    },
    Property {
        name: "dhcp",
        help: "DHCP by the server's dnsmasq",
        value: "proxy (another server assigns addresses), FIRST-LAST (dnsmasq assigns them, to every client), off",
        default: "proxy",
        pool_wide: true,
        normalise: value::parsed::<Dhcp>,
    },
    Property {
        name: "http",
        help: "boot files by HTTP too, for iPXE and for firmware that boots by HTTP",
        value: "a port, such as 80; off",
        default: "off",
        pool_wide: true,
        normalise: value::parsed::<Http>,
    },
    Property {
        name: "model",
        help: "the machine, for which environments are verified",
        value: "pc-bios, pc-efi, rpi1, rpi0, rpi2, rpi2-v1.2, rpi3, rpi3+, cm3, cm3+, rpi4, rpi400, cm4, cm4s, rpi5, rpi500, cm5",
        default: "known from its report or what it fetched",
        pool_wide: true,
        normalise: value::model,
    },
    Property {
        name: "loader",
        help: "the boot loader that reads the boot files",
        value: "rpi, pxelinux, grub-efi",
        default: "recognised from the boot files",
        pool_wide: true,
        normalise: value::parsed::<Loader>,
    },
    Property {
        name: "root",
        help: "the node's root filesystem",
        value: "nfs, iscsi, PARTUUID=…, UUID=…, LABEL=…",
        default: "nfs",
        pool_wide: true,
        normalise: value::root,
    },
    Property {
        name: "access",
        help: "whether machines write to the root on the server, or to their memory: for one machine or many",
        value: "rw, ro",
        default: "rw",
        pool_wide: true,
        normalise: value::access,
    },
    Property {
        name: "ssh-keys",
        help: "SSH host keys of machines that boot one root, access=ro",
        value: "shared (those in the root), boot (new at each boot), machine (each its own, kept on the server)",
        default: "shared",
        pool_wide: true,
        normalise: value::parsed::<SshKeys>,
    },
    Property {
        name: "nfs.version",
        help: "NFS version the root is mounted with",
        value: "3, 4.1, 4.2",
        default: "what the environment's initramfs can mount",
        pool_wide: true,
        normalise: value::parsed::<NfsVersion>,
    },
    Property {
        name: "nfs.options",
        help: "additional mount options of the root",
        value: "comma-separated, such as actimeo=120",
        default: "-",
        pool_wide: true,
        normalise: value::nfs_options,
    },
    Property {
        name: "cmdline",
        help: "kernel arguments added to those of the boot files",
        value: "arguments, blank-separated",
        default: "-",
        pool_wide: true,
        normalise: value::cmdline,
    },
    Property {
        name: "upgrade.command",
        help: "command that replaces the distribution's full upgrade",
        value: "a shell command, run by /bin/sh -c inside the environment",
        default: "by distribution",
        pool_wide: true,
        normalise: value::one_line,
    },
    Property {
        name: "nfs.subtree-check",
        help: "whether the NFS server checks that a node's file handles are inside its exports",
        value: "on, off",
        default: "off",
        pool_wide: true,
        normalise: value::on_off,
    },
    Property {
        name: "image.driver",
        help: "what opens disk images (root=iscsi) for upgrade, run and shell: fuse2fs, in a sandbox, or this machine's kernel, \
               which is faster, and trusts what a node has written",
        value: "fuse2fs, kernel",
        default: "fuse2fs",
        pool_wide: true,
        normalise: value::image_driver,
    },
    Property {
        name: "upgrade.sync",
        help: "whether fsync calls in an upgrade are executed; if not, they return at once, and all is synced at the end",
        value: "on, off",
        default: "off",
        pool_wide: true,
        normalise: value::on_off,
    },
    Property {
        name: "upgrade.network",
        help: "network of upgrade, run and shell: private, from which only the listed ports of this machine can be \
               reached, or this machine's own",
        value: "private, private,ADDR:PORT[,ADDR:PORT…], host",
        default: "private",
        pool_wide: true,
        normalise: value::parsed::<Network>,
    },
    Property {
        name: "keep",
        help: "how many environments prune keeps",
        value: "a number, or all",
        default: "5",
        pool_wide: true,
        normalise: value::parsed::<Keep>,
    },
    Property {
        name: "packages.before",
        help: "whether package managers of the running system make an environment before they change it, on a machine that is \
               its own node (netbe adopt)",
        value: "on, off",
        default: "off",
        pool_wide: true,
        normalise: value::on_off,
    },
    Property {
        name: "report",
        help: "whether environments get the unit that reports a completed boot",
        value: "on, off",
        default: "on",
        pool_wide: true,
        normalise: value::on_off,
    },
    Property {
        name: "data",
        help: "paths that belong to the node and not to its environments: upgrade, activate and rollback leave them alone",
        value: "absolute paths, comma-separated; default (/home, /root, /srv, /var/log, /var/mail, /var/spool, /var/www, as \
               far as the active environment has them); none",
        default: "-",
        pool_wide: true,
        normalise: data::normalised,
    },
    Property {
        name: "data.snapshots",
        help: "whether activate and rollback keep a read-only snapshot of the node's data beside the environment that is left",
        value: "on, off",
        default: "on",
        pool_wide: true,
        normalise: value::on_off,
    },
    Property {
        name: "power.cycle",
        help: "command that power-cycles a node after a failed trial; gets NETBE_NODE, NETBE_MAC and NETBE_IP",
        value: "a shell command, run by /bin/sh -c on this machine",
        default: "-",
        pool_wide: true,
        normalise: value::one_line,
    },
];

/// Where a property's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Set on the node.
    Local,
    /// Set on the pool, for every node.
    Pool,
    /// Not set.
    Default,
}

impl Source {
    /// Returns the word `get` prints.
    pub fn word(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Pool => "pool",
            Self::Default => "default",
        }
    }
}

/// A value that was set, with its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// The value, normalised.
    pub value: String,
    /// Where it is set.
    pub source: Source,
}

/// Returns the property of that name.
///
/// # Errors
/// A usage failure that lists all properties.
pub fn find(name: &str) -> Result<&'static Property, Failure> {
    ALL.iter().find(|p| p.name == name).ok_or_else(|| {
        let names: Vec<&str> = ALL.iter().map(|p| p.name).collect();
        Failure::usage(format!(
            "there is no property {name:?}; there are {}",
            names.join(", ")
        ))
        .hint("netbe get")
    })
}

impl Property {
    /// Returns whether it can be set on a node; else only on the pool.
    pub fn is_of_nodes(&self) -> bool {
        // One dnsmasq serves all nodes, and one netbe serve.
        !["dhcp", "http"].contains(&self.name)
    }

    /// Returns the value normalised; an empty one removes the setting.
    ///
    /// # Errors
    /// A usage failure with the format of the values.
    pub fn normalise(&self, value: &str) -> Result<String, Failure> {
        if value.is_empty() {
            return Ok(String::new());
        }
        (self.normalise)(value).map_err(|why| {
            Failure::usage(format!(
                "{0}={value}: {why}; {0} is {1}: {2}",
                self.name, self.help, self.value
            ))
        })
    }
}

/// Returns the value that was set; `None` if the default is effective.
pub fn effective(name: &str, node: Option<&NodeRecord>, pool: &PoolRecord) -> Option<Value> {
    let local = node
        .and_then(|n| n.properties.get(name))
        .map(|v| (v, Source::Local));
    let (value, source) = local.or_else(|| pool.properties.get(name).map(|v| (v, Source::Pool)))?;
    Some(Value {
        value: value.clone(),
        source,
    })
}

#[cfg(test)]
mod tests;
