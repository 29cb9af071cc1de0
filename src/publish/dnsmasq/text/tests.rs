use super::host::MACS_A_LINE;
use super::*;
use proptest::prelude::*;

fn base() -> Config<'static> {
    Config {
        pool_uuid: "u-u",
        state: Path::new("/var/lib/netbe/u-u"),
        first: true,
        server: Ipv4Addr::new(10, 0, 0, 1),
        dhcp: Dhcp::Proxy,
        http: None,
        by_serial: false,
        alone: true,
        router: None,
        name_servers: &[],
    }
}

/// Returns the lines that are no comment.
fn active(text: &str) -> Vec<&str> {
    text.lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
        .collect()
}

#[test]
fn a_proxy_answers_our_machines_only() {
    let text = config(&base());
    assert!(text.starts_with("# netbe pool u-u"), "{text}");
    assert_eq!(
        active(&text),
        [
            "port=0",
            "conf-dir=/var/lib/netbe/u-u/publish/dnsmasq-hosts",
            "pxe-service=tag:netbe-rpi,0,\"Raspberry Pi Boot\"",
            "pxe-service=tag:netbe-pxelinux,x86PC,\"netbe\",pxelinux.0,10.0.0.1",
            "dhcp-match=set:netbe-ipxe,175",
            "pxe-service=tag:netbe-pxelinux,tag:!netbe-ipxe,x86-64_EFI,\"netbe\",snponly.efi,10.0.0.1",
            "pxe-service=tag:netbe-pxelinux,tag:netbe-ipxe,x86-64_EFI,\"netbe\",netbe.ipxe,10.0.0.1",
            "pxe-service=tag:netbe-pxelinux,tag:!netbe-ipxe,BC_EFI,\"netbe\",snponly.efi,10.0.0.1",
            "pxe-service=tag:netbe-pxelinux,tag:netbe-ipxe,BC_EFI,\"netbe\",netbe.ipxe,10.0.0.1",
            "pxe-service=tag:netbe-pxelinux,tag:!netbe-ipxe,ARM64_EFI,\"netbe\",snponlyaa64.efi,10.0.0.1",
            "pxe-service=tag:netbe-pxelinux,tag:netbe-ipxe,ARM64_EFI,\"netbe\",netbe.ipxe,10.0.0.1",
            "dhcp-range=set:netbe-range,10.0.0.1,proxy",
            "dhcp-ignore=tag:!netbe",
        ]
    );
}

#[test]
fn beside_an_administrator_neither_dns_nor_others_machines_are_touched() {
    let text = config(&Config {
        alone: false,
        name_servers: &[Ipv4Addr::new(9, 9, 9, 9)],
        ..base()
    });
    assert!(!hands_out_files(&text));
    for word in ["port=", "dhcp-ignore=", "dns-server", "tftp", "script"] {
        assert!(!active(&text).iter().any(|l| l.contains(word)), "{text}");
    }
}

#[test]
fn a_range_has_router_and_dns_options_if_they_are_known() {
    let range = Dhcp::Range(Ipv4Addr::new(10, 0, 0, 100), Ipv4Addr::new(10, 0, 0, 200));
    let none = config(&Config {
        dhcp: range,
        ..base()
    });
    for line in [
        "dhcp-range=set:netbe-range,10.0.0.100,10.0.0.200,12h",
        "dhcp-authoritative",
        // Without it dnsmasq would name itself.
        "dhcp-option=tag:netbe-range,option:router",
        "dhcp-boot=tag:netbe-pxelinux,tag:!netbe-efi,pxelinux.0,,10.0.0.1",
        "dhcp-match=set:netbe-efi-x64,option:client-arch,7",
        "dhcp-boot=tag:netbe-pxelinux,tag:netbe-efi-x64,tag:!netbe-ipxe,shimx64.efi,,10.0.0.1",
        "dhcp-boot=tag:netbe-pxelinux,tag:netbe-efi-arm64,tag:!netbe-ipxe,shimaa64.efi,,10.0.0.1",
        "dhcp-boot=tag:netbe-pxelinux,tag:netbe-efi,tag:netbe-ipxe,netbe.ipxe,,10.0.0.1",
        "dhcp-option=tag:netbe,option:server-ip-address,10.0.0.1",
    ] {
        assert!(active(&none).contains(&line), "{line}\n{none}");
    }
    assert!(!none.contains("dns-server"), "{none}");
    let both = config(&Config {
        dhcp: range,
        router: Some(Ipv4Addr::new(10, 0, 0, 254)),
        name_servers: &[Ipv4Addr::new(9, 9, 9, 9), Ipv4Addr::new(1, 1, 1, 1)],
        ..base()
    });
    for line in [
        "dhcp-option=tag:netbe-range,option:router,10.0.0.254",
        "dhcp-option=tag:netbe-range,option:dns-server,9.9.9.9,1.1.1.1",
    ] {
        assert!(active(&both).contains(&line), "{line}\n{both}");
    }
}

#[test]
fn with_http_firmware_and_ipxe_get_urls() {
    let range = Dhcp::Range(Ipv4Addr::new(10, 0, 0, 100), Ipv4Addr::new(10, 0, 0, 200));
    let text = config(&Config {
        dhcp: range,
        http: Some(8080),
        ..base()
    });
    for line in [
        "dhcp-vendorclass=set:netbe-http,HTTPClient",
        "dhcp-option-force=tag:netbe-pxelinux,tag:netbe-http,60,HTTPClient",
        "dhcp-match=set:netbe-efi,option:client-arch,16",
        "dhcp-match=set:netbe-http-x64,option:client-arch,16",
        "dhcp-boot=tag:netbe-pxelinux,tag:netbe-http,tag:netbe-http-x64,tag:!netbe-ipxe,http://10.0.0.1:8080/snponly.efi",
        "dhcp-boot=tag:netbe-pxelinux,tag:netbe-efi,tag:netbe-ipxe,http://10.0.0.1:8080/netbe.ipxe,,10.0.0.1",
    ] {
        assert!(active(&text).contains(&line), "{line}\n{text}");
    }
    let proxy = config(&Config {
        http: Some(80),
        ..base()
    });
    assert!(
        proxy.contains("tag:netbe-ipxe,x86-64_EFI,\"netbe\",http://10.0.0.1/netbe.ipxe,10.0.0.1")
    );
    assert!(!config(&base()).contains("http:"));
}

#[test]
fn a_range_has_a_file_for_each_firmware_and_no_machine_two() {
    let range = Dhcp::Range(Ipv4Addr::new(10, 0, 0, 100), Ipv4Addr::new(10, 0, 0, 200));
    let text = config(&Config {
        dhcp: range,
        http: Some(8080),
        ..base()
    });
    let url = "http://10.0.0.1:8080";
    // What firmware says of itself, and the file it gets.
    for (tags, file) in [
        ("", "pxelinux.0".to_string()),
        ("efi efi-x64", "shimx64.efi".to_string()),
        ("efi efi-arm64", "shimaa64.efi".to_string()),
        ("efi efi-x64 ipxe", format!("{url}/netbe.ipxe")),
        ("efi efi-arm64 ipxe", format!("{url}/netbe.ipxe")),
        ("efi http http-x64", format!("{url}/snponly.efi")),
        ("efi http http-arm64", format!("{url}/snponlyaa64.efi")),
        ("efi http http-x64 ipxe", format!("{url}/netbe.ipxe")),
        // UEFI of other processors.
        ("efi", String::new()),
    ] {
        let has = |tag: &str| {
            let name = tag.trim_start_matches("netbe-");
            name == "pxelinux" || tags.split(' ').any(|t| t == name)
        };
        let given = |line: &&str| {
            let mut fields = line.split(',').map_while(|f| f.strip_prefix("tag:"));
            fields.all(|tag| match tag.strip_prefix('!') {
                Some(other) => !has(other),
                None => has(tag),
            })
        };
        let boots = active(&text);
        let boots = boots.iter().filter_map(|l| l.strip_prefix("dhcp-boot="));
        let files: Vec<&str> = boots
            .filter(given)
            .filter_map(|line| line.split(',').find(|f| !f.starts_with("tag:")))
            .collect();
        let wanted: Vec<&str> = Some(file.as_str())
            .filter(|f| !f.is_empty())
            .into_iter()
            .collect();
        assert_eq!(files, wanted, "{tags}: {text}");
    }
    let pi = "pxe-service=tag:netbe-rpi,0,\"Raspberry Pi Boot\"";
    assert!(active(&text).contains(&pi), "{text}");
}

#[test]
fn off_has_no_range_and_keeps_the_boot_part() {
    let text = config(&Config {
        dhcp: Dhcp::Off,
        ..base()
    });
    let lines = active(&text);
    assert!(!lines.iter().any(|l| l.starts_with("dhcp-range")), "{text}");
    assert!(
        !lines.iter().any(|l| l.starts_with("dhcp-ignore")),
        "{text}"
    );
    assert!(lines.iter().any(|l| l.starts_with("dhcp-boot")), "{text}");
}

#[test]
fn a_serial_admits_raspberry_pis_only() {
    assert!(!config(&base()).contains("netbe-pi"));
    let text = config(&Config {
        by_serial: true,
        ..base()
    });
    assert!(active(&text).contains(&"dhcp-match=set:netbe-pi,97,00:52:50:69"));
    assert!(
        active(&text).contains(&"tag-if=set:netbe,set:netbe-rpi,tag:netbe-pi,tag:!netbe"),
        "{text}"
    );
}

#[test]
fn hosts() {
    let mac = "dc:a6:32:01:02:03";
    type Row = (
        &'static str,
        Vec<&'static str>,
        Option<Loader>,
        Option<Ipv4Addr>,
        &'static str,
    );
    let table: &[Row] = &[
        (
            "nog",
            vec![mac],
            Some(Loader::Rpi),
            None,
            "dhcp-host=dc:a6:32:01:02:03,id:*,set:netbe,set:netbe-rpi,nog\n",
        ),
        (
            "web",
            vec![mac, "02:00:00:00:00:01"],
            Some(Loader::GrubEfi),
            Some(Ipv4Addr::new(10, 0, 0, 5)),
            "dhcp-host=dc:a6:32:01:02:03,02:00:00:00:00:01,id:*,set:netbe,set:netbe-pxelinux,10.0.0.5,web\n",
        ),
        (
            "x",
            vec![mac],
            None,
            None,
            "dhcp-host=dc:a6:32:01:02:03,id:*,set:netbe,x\n",
        ),
        // dnsmasq's own words, and what it takes for a lease time.
        (
            "ignore",
            vec![mac],
            None,
            None,
            "dhcp-host=dc:a6:32:01:02:03,id:*,set:netbe\n",
        ),
        (
            "infinite",
            vec![mac],
            None,
            None,
            "dhcp-host=dc:a6:32:01:02:03,id:*,set:netbe\n",
        ),
        (
            "45m",
            vec![mac],
            None,
            None,
            "dhcp-host=dc:a6:32:01:02:03,id:*,set:netbe\n",
        ),
        (
            "7",
            vec![mac],
            None,
            None,
            "dhcp-host=dc:a6:32:01:02:03,id:*,set:netbe\n",
        ),
        (
            "m",
            vec![mac],
            None,
            None,
            "dhcp-host=dc:a6:32:01:02:03,id:*,set:netbe\n",
        ),
        (
            "4rm",
            vec![mac],
            None,
            None,
            "dhcp-host=dc:a6:32:01:02:03,id:*,set:netbe,4rm\n",
        ),
        ("none", vec![], None, None, ""),
    ];
    for (node, macs, loader, address, want) in table {
        let got = host(&Host {
            node,
            macs: macs.clone(),
            several: false,
            for_any: false,
            hands_out: false,
            loader: *loader,
            address: *address,
        });
        assert_eq!(got, *want);
    }
}

proptest! {
    #[test]
    fn no_value_breaks_a_line(
        node in "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?",
        macs in prop::collection::vec("[0-9a-f]{2}(:[0-9a-f]{2}){5}", 1..80),
        address in prop::option::of(any::<u32>()),
        (first, last, router) in (any::<u32>(), any::<u32>(), prop::option::of(any::<u32>())),
        servers in prop::collection::vec(any::<u32>(), 0..4),
        (by_serial, alone, mode) in (any::<bool>(), any::<bool>(), 0..3),
    ) {
        let macs: Vec<&str> = macs.iter().map(String::as_str).collect();
        let text = host(&Host {
            node: &node, macs: macs.clone(), loader: Some(Loader::Rpi), address: address.map(Ipv4Addr::from),
            several: false, for_any: false, hands_out: false,
        });
        prop_assert_eq!(text.lines().count(), macs.len().div_ceil(MACS_A_LINE));
        for line in text.lines() {
            prop_assert!(line.len() < 1024);
            prop_assert!(line.contains(",id:*,set:netbe,set:netbe-rpi"));
        }
        let servers: Vec<Ipv4Addr> = servers.into_iter().map(Ipv4Addr::from).collect();
        let dhcp = match mode {
            0 => Dhcp::Proxy,
            1 => Dhcp::Off,
            _ => Dhcp::Range(first.into(), last.into()),
        };
        let text = config(&Config {
            dhcp, by_serial, alone, router: router.map(Ipv4Addr::from), name_servers: &servers, ..base()
        });
        for line in text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
            let key = line.split('=').next().unwrap_or_default();
            prop_assert!(key.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{}", line);
            // A blank before it would make the rest a comment.
            prop_assert!(!line.contains('#') && line.len() < 1024, "{}", line);
        }
    }
}
