//! The edits that keep the interface of a network root, there and back.

use super::*;

/// Edits, checks that the same again changes nothing and that the reverse restores the bytes.
fn there_and_back(edit: fn(&str, bool) -> Option<String>, text: &str, expected: Option<&str>) {
    let edited = edit(text, true);
    assert_eq!(edited.as_deref(), expected, "{text}");
    if let Some(edited) = edited {
        assert_eq!(edit(&edited, true), None, "{edited}");
        assert_eq!(edit(&edited, false).as_deref(), Some(text), "{edited}");
    }
    assert_eq!(edit(text, false), None, "{text}");
}

#[test]
fn dhcpcd_keeps_the_interface() {
    for (text, expected) in [
        (
            "hostname\ninterface wlan0\nmetric 10\n",
            Some(format!(
                "{MARK}\npersistent\nhostname\ninterface wlan0\nmetric 10\n"
            )),
        ),
        (
            "#persistent\n",
            Some(format!("{MARK}\npersistent\n#persistent\n")),
        ),
        ("hostname\npersistent\n", None),
    ] {
        there_and_back(dhcpcd, text, expected.as_deref());
    }
}

#[test]
fn ifdown_leaves_wired_interfaces_up() {
    for (text, names) in [
        (
            "auto lo eth0\niface lo inet loopback\niface eth0 inet dhcp\n",
            Some("eth0"),
        ),
        (
            "allow-hotplug enp3s0\niface enp3s0 inet dhcp\n",
            Some("enp3s0"),
        ),
        (
            "auto eth0\nallow-hotplug eth0 eth1\nauto wlan0\n",
            Some("eth0 eth1"),
        ),
        ("auto eth0\nno-auto-down eth0\n", None),
        ("auto lo\niface lo inet loopback\n", None),
        ("# auto eth0\nsource /etc/network/interfaces.d/*\n", None),
        ("auto /eth*\n", None),
        ("", None),
    ] {
        let expected = names.map(|names| format!("{text}{MARK}\nno-auto-down {names}\n"));
        there_and_back(interfaces, text, expected.as_deref());
    }
}

#[test]
fn parts_of_interfaces_and_hotplugged_interfaces_are_found() {
    let text = "source /etc/network/interfaces.d/*\n source-directory more/\nsource /etc/net/eth*.cfg\n# source x\n";
    let found = [
        "etc/network/interfaces.d/*",
        "etc/network/more/*",
        "etc/net/eth*.cfg",
    ];
    assert_eq!(sources(text), found);
    for (text, is) in [
        ("allow-hotplug eth0\n", true),
        ("auto eth0\nallow-hotplug wlan0 enp1s0\n", true),
        ("allow-hotplug /en*\n", true),
        ("allow-hotplug wlan0\n", false),
        ("auto eth0\n", false),
        ("# allow-hotplug eth0\n", false),
    ] {
        assert_eq!(is_hotplugged(text), is, "{text}");
    }
}

#[test]
fn a_lease_that_ends_takes_no_address_away() {
    for (reason, new, after) in [
        ("BOUND", "192.0.2.9", "BOUND:192.0.2.9:"),
        ("RENEW", "192.0.2.8", "RENEW::"),
        ("EXPIRE", "", "EXPIRE::60"),
        ("TIMEOUT", "192.0.2.9", "FAIL::60"),
        ("PREINIT", "", "PREINIT:192.0.2.9:60"),
    ] {
        let script = format!("{DHCLIENT}echo $reason:$old_ip_address:$new_dhcp_lease_time");
        let given = [
            ("reason", reason),
            ("old_ip_address", "192.0.2.9"),
            ("new_ip_address", new),
            ("new_dhcp_lease_time", "60"),
        ];
        let out = std::process::Command::new("/bin/sh")
            .args(["-c", &script])
            .envs(given)
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&out.stdout).trim(), after);
    }
}

#[test]
fn wicked_never_takes_it_down() {
    for (text, expected) in [
        (
            "BOOTPROTO='dhcp'\nSTARTMODE='auto'\nZONE=x\n",
            Some("BOOTPROTO='dhcp'\n#netbe# STARTMODE='auto'\nSTARTMODE='nfsroot'\nZONE=x\n"),
        ),
        (
            "STARTMODE=hotplug\n",
            Some("#netbe# STARTMODE=hotplug\nSTARTMODE='nfsroot'\n"),
        ),
        ("STARTMODE='nfsroot'\n", None),
        ("STARTMODE='off'\n", None),
        ("STARTMODE='manual'\nBOOTPROTO='none'\n", None),
    ] {
        there_and_back(ifcfg, text, expected);
    }
}

#[test]
fn netplan_s_interfaces_are_found() {
    for (text, names) in [
        (
            "# x\nnetwork:\n  version: 2\n  ethernets:\n    eth0: # the first\n      dhcp4: true\n      match:\n        name: e*\n\n    \
             \"lan\":\n      optional: true\n  wifis:\n    wlan0:\n      dhcp4: true\n",
            vec!["eth0", "lan"],
        ),
        (
            "network:\n    ethernets:\n        a:\n            dhcp4: yes\n",
            vec!["a"],
        ),
        (
            "network:\n  renderer: NetworkManager\n  ethernets:\n    eth0:\n",
            vec![],
        ),
        ("network: {ethernets: {eth0: {dhcp4: true}}}\n", vec![]),
        ("network:\n  ethernets:\n", vec![]),
        (
            "network:\n  ethernets:\n    ../../x:\n      dhcp4: true\n",
            vec![],
        ),
    ] {
        assert_eq!(netplan_names(text), names, "{text}");
    }
}

#[test]
fn packaged_files_of_wired_interfaces_are_recognised() {
    for (text, is) in [
        ("[Match]\nType=ether\n[Network]\nDHCP=yes\n", true),
        ("[Match]\nKind=!*\nType=ether\n", true),
        ("[Match]\nName=en*\n", true),
        ("[Match]\nKind=veth\nName=ve-*\n", false),
        ("[Match]\nVirtualization=container\nName=host0\n", false),
        ("[Match]\nWLANInterfaceType=station\n", false),
        ("[Match]\nType=wlan\n", false),
    ] {
        assert_eq!(may_be_wired(text), is, "{text}");
    }
}

#[test]
fn a_network_file_may_set_keepconfiguration_itself() {
    assert!(says_what_is_kept("[Network]\nKeepConfiguration = dhcp\n"));
    assert!(says_what_is_kept("[DHCP]\nCriticalConnection=true\n"));
    assert!(!says_what_is_kept(
        "[Match]\nName=e*\n[Network]\nDHCP=yes\n"
    ));
}
