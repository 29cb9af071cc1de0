use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[test]
fn hosts_get_the_new_name() {
    for (text, old, expected) in [
        (
            "127.0.0.1\tlocalhost\n::1\t\tlocalhost ip6-localhost\n\n127.0.1.1\t\traspberrypi\n",
            Some("raspbian"),
            "127.0.0.1\tlocalhost\n::1\t\tlocalhost ip6-localhost\n\n127.0.1.1\t\tnog\n",
        ),
        (
            "127.0.1.1 old.lan old # old",
            Some("old"),
            "127.0.1.1 nog.lan nog # old",
        ),
        (
            "127.0.1.1 other.lan other old",
            Some("old"),
            "127.0.1.1 nog.lan nog nog",
        ),
        (
            "127.0.0.1 localhost old older\n",
            Some("old"),
            "127.0.0.1 localhost nog older\n",
        ),
        (
            "127.0.1.1 x\r\n10.0.0.5 old\r\n",
            None,
            "127.0.1.1 nog\r\n10.0.0.5 old\r\n",
        ),
        ("::1 localhost old\n", Some("old"), "::1 localhost nog\n"),
    ] {
        assert_eq!(hosts(Some(text), old, "nog").as_deref(), Some(expected));
        assert_eq!(hosts(Some(expected), old, "nog"), None);
    }
    for text in [
        "",
        "# 127.0.1.1 old\n",
        "10.0.0.5 old\n10.0.0.6 nog\n",
        "127.0.0.1 localhost\n",
        "127.0.1.1\n",
    ] {
        assert_eq!(hosts(Some(text), Some("old"), "nog"), None);
    }
    assert_eq!(
        hosts(Some("127.0.0.1 localhost\n"), Some("localhost"), "nog"),
        None
    );
    assert!(
        hosts(None, None, "nog")
            .unwrap()
            .ends_with("127.0.1.1\tnog\n")
    );
    assert_eq!(hostname_file("nog"), "nog\n");
}

#[test]
fn the_initiator_gets_a_new_name() {
    let text = "## comment InitiatorName=no\nInitiatorName=iqn.1993-08.org.debian:01:abc \n";
    let new = initiator_name("123", text).unwrap();
    assert_eq!(
        new,
        "## comment InitiatorName=no\nInitiatorName=iqn.1993-08.org.debian:01:123 \n"
    );
    assert_eq!(initiator_name("123", &new), None);
    assert_eq!(initiator_name("123", "GenerateName=yes\n"), None);
    assert_eq!(
        initiator_name("1", "InitiatorName=iqn.2020-01.lan").unwrap(),
        "InitiatorName=iqn.2020-01.lan:1"
    );
}

#[test]
fn the_table_finds_existing_files() {
    let names = [
        "var/lib/dhcp/dhclient.eth0.leases",
        "var/lib/dhcp/dhclient.conf",
        "var/lib/NetworkManager/secret_key",
        "var/lib/NetworkManager/internal-x.lease",
        "etc/dhcpcd.conf",
        "etc/dhcpcd.duid",
        "var/lib/systemd/random-seed",
    ];
    let all = |groups: &'static [Group]| groups.iter().flat_map(|group| group.files);
    let root: BTreeMap<String, Vec<u8>> =
        names.iter().map(|n| ((*n).to_string(), vec![])).collect();
    assert_eq!(
        matching(&root, all(RESET.remove)).unwrap(),
        [names[5], names[3], names[2], names[0], names[6]]
    );
    let boot: BTreeMap<String, Vec<u8>> =
        ["pieeprom.upd", "vl805.bin", "start4.elf", "recovery.bin"]
            .iter()
            .map(|n| ((*n).to_string(), vec![]))
            .collect();
    assert_eq!(
        matching(&boot, all(RESET.remove_boot)).unwrap(),
        ["pieeprom.upd", "recovery.bin", "vl805.bin"]
    );
}

#[test]
fn an_existing_node_keeps_the_files_that_a_new_one_resets() {
    let names = [
        "etc/hostname",
        "etc/dhcpcd.duid",
        "etc/ssh/ssh_host_rsa_key",
        "etc/ssh/ssh_host_rsa_key-cert.pub",
        "etc/ssh/sshd_config",
        "var/lib/cloud/data/instance-id",
        "var/lib/systemd/random-seed",
    ];
    let root: BTreeMap<String, Vec<u8>> =
        names.iter().map(|n| ((*n).to_string(), vec![])).collect();
    let kept = RESET.of_machine(&root).unwrap();
    let kept: Vec<&str> = kept.iter().map(|(path, _)| path.as_str()).collect();
    for (name, is_kept) in names
        .into_iter()
        .zip([true, true, true, true, false, false, true])
    {
        assert_eq!(kept.contains(&name), is_kept, "{name}");
    }
    for path in kept {
        assert!(RESET.is_of(path), "{path}");
    }
    let of_others = ["etc/ssh/sshd_config", "etc/hosts"];
    assert!(!of_others.iter().any(|path| RESET.is_of(path)));
}

#[test]
fn host_keys_of_the_same_types_are_generated() {
    let names = [
        "moduli",
        "ssh_host_dsa_key",
        "ssh_host_ed25519_key",
        "ssh_host_ed25519_key-cert.pub",
        "ssh_host_ed25519_key.pub",
        "ssh_host_rsa_key",
        "sshd_config",
    ]
    .map(str::to_string);
    let keys = host_keys(&names);
    assert_eq!(keys.renew, [HostKey::Ed25519, HostKey::Rsa]);
    assert_eq!(keys.remove.len(), 5);
    assert_eq!(host_keys(&["sshd_config".to_string()]), HostKeys::default());
}

proptest! {
    #[test]
    fn other_lines_stay(lines in proptest::collection::vec("(10\\.0\\.0\\.[0-9]|#|fe80::1)?[ \t][a-z. ]{0,12}", 0..6)) {
        let text = lines.join("\n");
        prop_assert_eq!(hosts(Some(&text), Some("a"), "nog"), None);
    }
}
