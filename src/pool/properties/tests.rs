//! Values, in a table.

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
        ("http", "8080", Some("8080")),
        ("http", "off", Some("off")),
        ("http", "0", None),
        ("http", "65536", None),
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
        ("model", "rpi4", Some("rpi4")),
        ("model", "pi4", Some("rpi4")),
        ("model", "vax", None),
        ("cmdline", "root=/dev/sda", None),
        ("cmdline", "a\nb", None),
        ("access", "ro", Some("ro")),
        ("access", "RO", None),
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

#[test]
fn each_completed_choice_is_a_valid_value() {
    for property in ALL {
        // The beginning of one ends so.
        for choice in property
            .choices
            .iter()
            .filter(|choice| !choice.ends_with('='))
        {
            let stored = property.normalise(choice);
            assert!(stored.is_ok(), "{}={choice}: {stored:?}", property.name);
        }
    }
}
