//! Properties: which there are, what values they take, where a value comes from.
//!
//! A node's own value goes before the pool's, and that before the default. Values are checked and
//! brought to one spelling on the way in. Pure: not for storing them, nor for what follows a change.

mod dhcp;
mod keep;
mod value;

pub use dhcp::Dhcp;
pub use keep::{Keep, keep};

use super::record::{NodeRecord, PoolRecord};
use crate::failure::Failure;

/// One property there is.
#[derive(Debug, Clone, Copy)]
pub struct Property {
    /// Its name.
    pub name: &'static str,
    /// What it is, one line.
    pub help: &'static str,
    /// What its values look like.
    pub value: &'static str,
    /// What holds where nobody says anything, as a person reads it; `-` for nothing.
    pub default: &'static str,
    /// Whether the pool can have it, for every node.
    pub pool_wide: bool,
    normalise: fn(&str) -> Result<String, String>,
}

/// Every property, in the order `get` prints them.
pub const ALL: &[Property] = &[
    Property {
        name: "server",
        help: "address of this machine, as nodes see it",
        value: "IPv4 address",
        default: "address on the default route",
        pool_wide: true,
        normalise: value::address,
    },
    Property {
        name: "mac",
        help: "MAC addresses the node asks by",
        value: "one or more, comma-separated, any common spelling",
        default: "-",
        pool_wide: false,
        normalise: value::macs,
    },
    Property {
        name: "serial",
        help: "Raspberry Pi serial the node asks by",
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
        normalise: value::ip,
    },
    Property {
        name: "clients",
        help: "who may mount the node's environments",
        value: "addresses, networks or host names, comma-separated",
        default: "the node's ip, else the server's own network",
        pool_wide: true,
        normalise: value::clients,
    },
    Property {
        name: "dhcp",
        help: "what the server's dnsmasq does about DHCP",
        value: "proxy (another server hands out addresses), FIRST-LAST (dnsmasq does, to everybody), off",
        default: "proxy",
        pool_wide: true,
        normalise: value::dhcp,
    },
    Property {
        name: "loader",
        help: "what reads the boot files",
        value: "rpi, pxelinux",
        default: "recognised from the boot files",
        pool_wide: true,
        normalise: value::loader,
    },
    Property {
        name: "root",
        help: "where the node's root is",
        value: "nfs, PARTUUID=…, UUID=…, LABEL=…",
        default: "nfs",
        pool_wide: true,
        normalise: value::root,
    },
    Property {
        name: "nfs.version",
        help: "NFS version the root is mounted with",
        value: "3, 4.1, 4.2",
        default: "what the environment's own boot path can mount",
        pool_wide: true,
        normalise: value::nfs_version,
    },
    Property {
        name: "nfs.options",
        help: "more mount options for the root",
        value: "comma-separated, such as actimeo=120",
        default: "-",
        pool_wide: true,
        normalise: value::nfs_options,
    },
    Property {
        name: "cmdline",
        help: "kernel arguments added to those the boot files bring",
        value: "arguments, blank-separated",
        default: "-",
        pool_wide: true,
        normalise: value::cmdline,
    },
    Property {
        name: "upgrade.command",
        help: "replaces the distribution's full upgrade",
        value: "a shell command, run by /bin/sh -c inside",
        default: "by distribution",
        pool_wide: true,
        normalise: value::one_line,
    },
    Property {
        name: "nfs.subtree-check",
        help: "whether the NFS server keeps a node's handles inside the node's own exports",
        value: "on, off",
        default: "off",
        pool_wide: true,
        normalise: value::on_off,
    },
    Property {
        name: "upgrade.sync",
        help: "whether an upgrade's fsync calls are made, not only answered; the whole is always synced before it is kept",
        value: "on, off",
        default: "off",
        pool_wide: true,
        normalise: value::on_off,
    },
    Property {
        name: "upgrade.network",
        help: "the network of upgrade, run and shell: one apart, from where this machine is not reached but for what is \
               admitted, or this machine's own",
        value: "private, private,ADDR:PORT (of this machine, more comma-separated), host",
        default: "private",
        pool_wide: true,
        normalise: value::network,
    },
    Property {
        name: "keep",
        help: "environments prune leaves",
        value: "a number, or all",
        default: "5",
        pool_wide: true,
        normalise: value::keep,
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
        name: "power.cycle",
        help: "power-cycles a node whose trial did not come up; NETBE_NODE, NETBE_MAC and NETBE_IP in its environment",
        value: "a shell command, run by /bin/sh -c on this machine",
        default: "-",
        pool_wide: true,
        normalise: value::one_line,
    },
];

/// Where a property's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The node's own.
    Local,
    /// The pool's, for every node.
    Pool,
    /// Nobody said anything.
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

/// A value that somebody set, with who it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// The value, in its one spelling.
    pub value: String,
    /// Where it comes from.
    pub source: Source,
}

/// Returns the property of that name.
///
/// # Errors
/// A usage failure naming those there are.
pub fn find(name: &str) -> Result<&'static Property, Failure> {
    ALL.iter().find(|p| p.name == name).ok_or_else(|| {
        let names: Vec<&str> = ALL.iter().map(|p| p.name).collect();
        Failure::usage(format!("there is no property {name:?}"))
            .hint(format!("properties are {}", names.join(", ")))
    })
}

impl Property {
    /// Returns whether a node can have it; what is not of nodes is the pool's only.
    pub fn is_of_nodes(&self) -> bool {
        // One dnsmasq serves them all.
        self.name != "dhcp"
    }

    /// Returns a value in its one spelling; the empty value takes a setting away.
    ///
    /// # Errors
    /// A usage failure saying what values look like.
    pub fn normalise(&self, value: &str) -> Result<String, Failure> {
        if value.is_empty() {
            return Ok(String::new());
        }
        (self.normalise)(value).map_err(|why| {
            Failure::usage(format!("{}={value}: {why}", self.name))
                .hint(format!("{} is {}: {}", self.name, self.help, self.value))
        })
    }
}

/// Returns the value somebody set; `None` where the default holds.
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
mod tests {
    use super::*;

    #[test]
    fn values_are_checked() {
        let table: &[(&str, &str, Option<&str>)] = &[
            (
                "mac",
                "DC-A6-32-01-02-03,dc:a6:32:01:02:03",
                Some("dc:a6:32:01:02:03"),
            ),
            ("serial", "00000000ABCDEF01", Some("abcdef01")),
            ("serial", "abcdef01", Some("abcdef01")),
            ("serial", "xyz", None),
            ("serial", "../../etc", None),
            ("ip", "dhcp", Some("dhcp")),
            ("ip", "10.0.0.5/24,10.0.0.1", Some("10.0.0.5/24,10.0.0.1")),
            ("ip", "10.0.0.5", None),
            ("ip", "dhcp,10.0.0.5", Some("dhcp,10.0.0.5")),
            ("ip", "dhcp,10.0.0.5/24", None),
            ("ip", "dhcp,", None),
            ("dhcp", "proxy", Some("proxy")),
            ("dhcp", "10.0.0.5-10.0.0.9", Some("10.0.0.5-10.0.0.9")),
            ("dhcp", "10.0.0.5", None),
            ("server", "10.0.0.1", Some("10.0.0.1")),
            ("server", "10.0.0.1 x", None),
            ("server", "0.0.0.0", None),
            ("root", "PARTUUID=1234-02", Some("PARTUUID=1234-02")),
            ("root", "LABEL=a b", None),
            (
                "clients",
                "10.0.0.0/24,nog.lan",
                Some("10.0.0.0/24,nog.lan"),
            ),
            ("clients", "*", None),
            ("clients", "a b", None),
            ("clients", "x(rw)", None),
            ("nfs.options", "actimeo=120", Some("actimeo=120")),
            ("nfs.options", "vers=2", None),
            ("nfs.options", "a b", None),
            (
                "cmdline",
                "quiet  console=ttyS0",
                Some("quiet console=ttyS0"),
            ),
            ("cmdline", "root=/dev/sda", None),
            ("cmdline", "a\nb", None),
            ("nfs.version", "4.2", Some("4.2")),
            ("nfs.version", "2", None),
            ("keep", "007", Some("7")),
            ("keep", "0", Some("0")),
            ("keep", "all", Some("all")),
            ("keep", "-1", None),
            ("keep", "+1", None),
            ("keep", "5 ", None),
            ("keep", "1e3", None),
            ("keep", "99999999999999999999999", None),
        ];
        for (name, value, want) in table {
            let got = find(name).unwrap().normalise(value).ok();
            assert_eq!(got.as_deref(), *want, "{name}={value}");
        }
        assert!(find("colour").is_err());
    }
}
