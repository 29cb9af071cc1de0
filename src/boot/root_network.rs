//! Settings that keep a system from taking down the interface of its network root.
//!
//! Firmware and initramfs have set that interface up before the system starts, and NFS hangs for ever once its address is
//! removed: at a shutdown, when a daemon is restarted, or when a lease ends. Each network program has a setting against
//! that, which is added here, and removed with a root on a disk. NetworkManager keeps an existing configuration, and so does
//! systemd-networkd since version 252. Pure edits; not for addresses, which are the property `ip`.

/// The comment above a setting of netbe's.
const MARK: &str = "# netbe: the root is on the network";
/// The prefix of a line that was replaced.
const REPLACED: &str = "#netbe# ";
/// Prefixes of interfaces that cannot carry a root.
const OTHERS: [&str; 8] = ["lo", "wl", "ww", "ppp", "tun", "tap", "wg", "/"];

/// The drop-in by which systemd-networkd keeps an existing configuration: systemd.network(5).
pub const NETWORKD: &str =
    "# made by netbe: the root is on the network\n[Network]\nKeepConfiguration=yes\n";

/// The drop-in that keeps systemd's unit `ifup@` from taking down an `allow-hotplug` interface at a shutdown: `no-auto-down`
/// affects only `ifdown -a`.
pub const IFUP_UNIT: &str = "# made by netbe: the root is on the network\n[Service]\nExecStop=\n";

/// The hook of dhclient-script(8) by which no address is removed when a lease ends or changes: the script would flush the
/// interface if it gets an old address, and after a timeout; the kernel removes addresses with a lifetime.
pub const DHCLIENT: &str = "# made by netbe: the root is on the network, and the address that it comes over stays\n\
                            case ${reason:-} in\n\
                            TIMEOUT) reason=FAIL old_ip_address= ;;\n\
                            EXPIRE|FAIL|RELEASE|STOP) old_ip_address= ;;\n\
                            BOUND|RENEW|REBIND|REBOOT)\n\
                            \tnew_dhcp_lease_time=\n\
                            \t[ \"$old_ip_address\" = \"$new_ip_address\" ] || old_ip_address=\n\
                            \t;;\n\
                            esac\n";

/// Edits `etc/dhcpcd.conf`: with `persistent` an interface stays set up when dhcpcd ends; `None` if unchanged.
pub fn dhcpcd(text: &str, keep: bool) -> Option<String> {
    let addition = format!("{MARK}\npersistent\n");
    match keep {
        true if text.lines().any(|line| line.trim() == "persistent") => None,
        // At the start: after a line `interface` it would apply only to that interface.
        true => Some(addition + text),
        false => without(text, &addition),
    }
}

/// Edits `etc/network/interfaces` or a part of it, so that `ifdown -a`, at a shutdown, leaves its interfaces up: interfaces(5);
/// `None` if unchanged.
pub fn interfaces(text: &str, keep: bool) -> Option<String> {
    if !keep {
        let at = text.find(&format!("{MARK}\nno-auto-down "))?;
        let end = text[at..].match_indices('\n').nth(1);
        let end = end.map_or(text.len(), |(end, _)| at + end + 1);
        return Some(format!("{}{}", &text[..at], &text[end..]));
    }
    let stays = named(text, |first| first == "no-auto-down");
    let starts = named(text, |first| first == "auto" || is_class(first));
    let mut names: Vec<&str> = Vec::new();
    for name in starts {
        if is_wired(name) && !stays.contains(&name) && !names.contains(&name) {
            names.push(name);
        }
    }
    let end = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    (!names.is_empty()).then(|| format!("{text}{end}{MARK}\nno-auto-down {}\n", names.join(" ")))
}

/// Returns whether a part of `etc/network/interfaces` has a hotplugged interface that may carry the root.
pub fn is_hotplugged(text: &str) -> bool {
    let names = named(text, |first| first == "allow-hotplug");
    // A pattern may match any interface.
    let mut names = names.iter().map(|name| name.trim_start_matches('/'));
    names.any(is_wired)
}

/// Returns the files that `etc/network/interfaces` or a part of it includes: paths, in which `*` is a wildcard.
pub fn sources(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| line.split_whitespace().collect());
    let found = lines.filter_map(|words: Vec<&str>| match words[..] {
        ["source", path] => Some(path.to_string()),
        ["source-directory", path] => Some(format!("{}/*", path.trim_end_matches('/'))),
        _ => None,
    });
    let absolute = |path: String| match path.strip_prefix('/') {
        Some(path) => path.to_string(),
        None => format!("etc/network/{path}"),
    };
    found.map(absolute).collect()
}

/// Returns the words after the first one, of each line whose first word satisfies `is`.
fn named(text: &str, is: fn(&str) -> bool) -> Vec<&str> {
    let lines = text.lines().map(str::split_whitespace);
    lines
        .filter_map(|mut words| words.next().filter(|first| is(first)).map(|_| words))
        .flatten()
        .collect()
}

fn is_class(first: &str) -> bool {
    first.starts_with("allow-") && first != "allow-no-auto-down"
}

/// Edits an `etc/sysconfig/network/ifcfg-…`: with `STARTMODE=nfsroot` wicked never takes it down: ifcfg(5); `None` if unchanged.
pub fn ifcfg(text: &str, keep: bool) -> Option<String> {
    let mut edited = String::new();
    let mut skip = false;
    for line in text.split_inclusive('\n') {
        let mode = line.strip_prefix("STARTMODE=").map(|value| {
            let value = value.trim().trim_matches(['\'', '"']);
            ["auto", "boot", "onboot", "on", "hotplug", "ifplugd"].contains(&value)
        });
        match (keep, line.strip_prefix(REPLACED)) {
            (false, Some(original)) if original.starts_with("STARTMODE=") => {
                edited.push_str(original);
                skip = true;
                continue;
            }
            (true, _) if mode == Some(true) => {
                edited.push_str(&format!(
                    "{REPLACED}{}\nSTARTMODE='nfsroot'\n",
                    line.trim_end()
                ));
            }
            (false, _) if skip && line.starts_with("STARTMODE='nfsroot'") => {}
            _ => edited.push_str(line),
        }
        skip = false;
    }
    (edited != text).then_some(edited)
}

/// Returns whether an interface, by its name, may carry a root.
pub fn is_wired(interface: &str) -> bool {
    !OTHERS.iter().any(|other| interface.starts_with(other))
}

/// Returns whether a `.network` file of systemd-networkd has its own KeepConfiguration=.
pub fn says_what_is_kept(text: &str) -> bool {
    let keys = ["KeepConfiguration", "CriticalConnection", "Unmanaged"];
    text.lines()
        .filter_map(|line| line.split_once('='))
        .any(|(key, _)| keys.contains(&key.trim()))
}

/// Returns whether a packaged `.network` file of systemd-networkd may be for a wired interface, and not for a tunnel, a
/// container or a wireless interface.
pub fn may_be_wired(text: &str) -> bool {
    let mut lines = text.lines().filter_map(|line| line.split_once('='));
    !lines.any(|(key, value)| match key.trim() {
        "Virtualization" | "WLANInterfaceType" | "SSID" => true,
        "Kind" => !value.trim().starts_with('!'),
        "Type" => ["wlan", "wwan", "loopback"].contains(&value.trim()),
        _ => false,
    })
}

/// Returns the names under `ethernets:` in a netplan file, for each of which netplan generates a `.network` file; none if
/// NetworkManager is the renderer.
pub fn netplan_names(text: &str) -> Vec<String> {
    let lines: Vec<(usize, &str)> = text
        .lines()
        .map(|line| line.split(" #").next().unwrap_or(line).trim_end())
        .filter(|line| !line.trim_start().is_empty() && !line.trim_start().starts_with('#'))
        .map(|line| (line.len() - line.trim_start().len(), line.trim_start()))
        .collect();
    if lines
        .iter()
        .any(|(_, line)| line.starts_with("renderer:") && line.ends_with("NetworkManager"))
    {
        return Vec::new();
    }
    let Some(at) = lines.iter().position(|(_, line)| *line == "ethernets:") else {
        return Vec::new();
    };
    let (outer, inside) = (lines[at].0, &lines[at + 1..]);
    let inside = inside.iter().take_while(|(depth, _)| *depth > outer);
    let depth = lines.get(at + 1).map_or(0, |(depth, _)| *depth);
    let names = inside.filter(|(found, _)| *found == depth);
    names
        .filter_map(|(_, line)| line.strip_suffix(':'))
        .map(|name| name.trim_matches(['"', '\'']).to_string())
        .filter(|name| !name.is_empty() && !name.contains(['/', '.', '*']))
        .collect()
}

fn without(text: &str, own: &str) -> Option<String> {
    text.contains(own).then(|| text.replacen(own, "", 1))
}

#[cfg(test)]
mod tests;
