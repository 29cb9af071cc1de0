//! Text that people type and that is written unquoted elsewhere: names, values of properties, lines of exports.

use std::path::Path;
use std::time::Duration;

use netbe::boot::Ip;
use netbe::btrfs::subvolume::Uuid;
use netbe::pool::{EnvName, NodeName, Operand, properties};
use netbe::publish::{exports, tftp};

use super::Target;
use super::mutation::Seeds;

pub(super) fn targets() -> Vec<Target> {
    let of = |name, seeds, make| Target {
        name,
        seeds,
        short: 8_000,
        memory: (64 << 10, 200),
        time: Duration::from_millis(100),
        make,
    };
    vec![
        of("names", named(), || Box::new(names)),
        of("properties", values(), || Box::new(property)),
        of("exports", lines(), || Box::new(export)),
        of("links", links(), || Box::new(link)),
    ]
}

fn named() -> Seeds {
    Seeds::texts(
        &[
            "nog",
            "nog/first",
            "a-b",
            "20261120T101500Z-2",
            "A.b_c+d-e",
            "n",
            "10.0.0.5/24,10.0.0.1,eth0",
        ],
        &[
            "envs",
            ".staged-",
            ".trash-",
            "active",
            "nodes",
            "dhcp,",
            "/24",
            "0.0.0.0",
            "255.255.255.255",
            "eth0",
        ],
    )
}

fn names(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(name) = text.parse::<NodeName>() {
        let safe = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        assert_eq!(name.to_string(), text);
        assert!(
            (1..=63).contains(&text.len())
                && text.bytes().all(safe)
                && !text.starts_with('-')
                && !text.ends_with('-')
        );
    }
    if let Ok(name) = text.parse::<EnvName>() {
        let safe = |b: u8| b.is_ascii_alphanumeric() || b"._+-".contains(&b);
        assert_eq!(name.to_string(), text);
        assert!(
            (1..=64).contains(&text.len())
                && text.bytes().all(safe)
                && text.as_bytes()[0].is_ascii_alphanumeric()
        );
    }
    if let Ok(operand) = text.parse::<Operand>() {
        assert_eq!(operand.to_string(), text);
        assert!(!text.contains("..") || operand.env.is_some(), "{text:?}");
    }
    if let Ok(ip) = text.parse::<Ip>() {
        assert_eq!(
            ip.to_string()
                .parse::<Ip>()
                .expect("netbe reads what it wrote"),
            ip
        );
        let argument = ip.argument("nog");
        assert!(
            argument.bytes().all(|b| b.is_ascii_graphic() && b != b'"'),
            "{argument:?}"
        );
    }
}

fn values() -> Seeds {
    Seeds::texts(
        &[
            "dc:a6:32:01:02:03,DC-A6-32-01-02-04",
            "01-dc-a6-32-01-02-03",
            "dca6.3201.0203",
            "0x10000000abcdef01",
            "10.0.0.5/24,10.0.0.1",
            "10.0.0.10-10.0.0.99",
            "10.0.0.0/24,nog.lan,@group,*.lan",
            "PARTUUID=1234-02",
            "actimeo=120,nconnect=4",
            "quiet  console=ttyS0",
            "4.2",
            "pxelinux",
            "apt-get -y dist-upgrade",
            "on",
        ],
        &[
            "proxy", "off", "nfs", "dhcp,", "vers=", "root=", "ip=", "LABEL=", "*", "?", "@",
            "(rw)", "nfsroot_", "-",
        ],
    )
}

fn property(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for property in properties::ALL {
        let Ok(value) = property.normalise(&text) else {
            continue;
        };
        let again = property.normalise(&value);
        assert_eq!(
            again.ok().as_ref(),
            Some(&value),
            "{} has two spellings of {text:?}",
            property.name
        );
        assert!(
            !value.contains(char::is_control),
            "{}={value:?}",
            property.name
        );
        let plain = |allowed: &[u8]| {
            value
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || allowed.contains(&b))
        };
        let fine = match property.name {
            "mac" => plain(b":,"),
            "serial" => plain(b"") && matches!(value.len(), 0 | 8),
            "server" | "ip" => plain(b"./,_-@:"),
            "clients" => {
                plain(b".-_/:*?@,")
                    && value.split(',').all(|c| {
                        value.is_empty() || c.contains(|x: char| x.is_ascii_alphanumeric())
                    })
            }
            "root" => plain(b"=-_."),
            "nfs.options" => plain(b"=,._-"),
            "cmdline" => !value.contains('"'),
            _ => true,
        };
        assert!(fine, "{}={value:?}", property.name);
    }
}

fn lines() -> Seeds {
    Seeds::texts(
        &[
            "/srv/netbe/nodes/nog/envs/a/root",
            "# netbe pool 5a3c\n\"/srv/n\\040b/nodes/nog/envs/a/root\" 10.0.0.5(rw,fsid=1)\n\"/srv/netbe/nodes/nog/envs/ab/boot\" x(rw)\n",
        ],
        &[
            "\"/srv/netbe/nodes/nog/envs/a/root\"",
            "# netbe pool ",
            "(rw)",
            "\\042",
            "/nodes/nog/envs/a",
        ],
    )
}

fn export(bytes: &[u8]) {
    let path = String::from_utf8_lossy(bytes).into_owned();
    let line = |path: &str| exports::Line {
        path: path.to_string(),
        clients: vec!["10.0.0.0/24".to_string()],
        fsid: Uuid([7; 16]),
        read_only: false,
        subtree_check: false,
    };
    let text = exports::print("u", &[line(&path)], Vec::new());
    assert_eq!(exports::pool_of(&text), Some("u"));
    let body: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
    assert_eq!(body.len(), 1, "{text:?}");
    // As exports(5) reads it: up to the closing quote, octal escapes undone.
    let (quoted, rest) = body[0]
        .strip_prefix('"')
        .and_then(|l| l.split_once('"'))
        .expect("it is quoted");
    assert_eq!(unescaped(quoted), path.as_bytes(), "{text:?}");
    assert!(rest.starts_with(" 10.0.0.0/24("), "{text:?}");
    assert_eq!(exports::with(&text, "u", &[line(&path)]), text);
    assert_eq!(exports::without(&text, &[Path::new("/nowhere")]), None);
    // And any text there is in its place.
    let with = exports::with(&path, "u", &[line("/srv/x")]);
    assert_eq!(
        exports::with(&with, "u", &[line("/srv/x")]),
        with,
        "added twice"
    );
    let _ = (
        exports::paths(&path),
        exports::pool_of(&path),
        exports::below(&path, Path::new("/srv")),
    );
}

fn unescaped(text: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, behind @ ..] = rest {
        if *first == b'\\' {
            let digits = std::str::from_utf8(&behind[..3]).expect("three digits follow");
            out.push(u8::from_str_radix(digits, 8).expect("three digits follow"));
            rest = &behind[3..];
        } else {
            out.push(*first);
            rest = behind;
        }
    }
    out
}

fn links() -> Seeds {
    Seeds::texts(
        &[
            "../nodes/nog/active/boot",
            "../nodes/nog/envs/a.b/boot",
            "/srv/x",
        ],
        &["../", "nodes", "active", "envs", "boot", "//", "/./"],
    )
}

fn link(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(led) = tftp::led(Path::new(text.as_ref())) {
        let end = led
            .env
            .as_ref()
            .map_or("active".to_string(), |env| format!("envs/{env}"));
        let plain = format!("../nodes/{}/{end}/boot", led.node);
        // Nothing but the same path in another spelling leads there.
        assert_eq!(Path::new(text.as_ref()), Path::new(&plain));
    }
}
