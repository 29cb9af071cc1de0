//! Other settings of this machine that affect dnsmasq: resolv.conf and AppArmor.
//!
//! Reads only. Not for dnsmasq itself.

use std::fs;
use std::path::Path;

use super::daemon::running;
use super::inclusion::active_lines;

/// Returns whether this machine uses its own dnsmasq for DNS, or will when it starts: then its DNS must stay enabled.
/// `ours` is the pool's configuration that it reads so far, if any.
pub fn answers_this_machine(ours: Option<&str>) -> bool {
    let resolver = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let answers = match ours {
        Some(text) => !text.lines().any(|l| l == "port=0"),
        None => running().is_some(),
    };
    // Debian's start script registers it with resolvconf, whatever the configuration directory contains; systemd's
    // program of that name ignores that.
    let named = Path::new("/sbin/resolvconf")
        .canonicalize()
        .is_ok_and(|p| !p.ends_with("resolvectl"));
    named || (answers && asks_itself(&resolver))
}

/// Returns whether a resolv.conf(5) names this machine; 127.0.0.53 is systemd-resolved.
fn asks_itself(text: &str) -> bool {
    active_lines(text)
        .iter()
        .filter_map(|l| l.strip_prefix("nameserver"))
        .any(|address| ["127.0.0.1", "::1"].contains(&address.trim()))
}

/// Returns whether AppArmor confines dnsmasq, by the kernel's list of profiles.
pub fn is_confined() -> bool {
    let profiles = fs::read_to_string("/sys/kernel/security/apparmor/profiles").unwrap_or_default();
    confines_dnsmasq(&profiles)
}

/// Returns the rules that dnsmasq's profile needs, on one line, for all pools with a state directory in `states`: the
/// one dnsmasq reads them all, and does not start if it cannot read one. Tested with Debian's profile.
pub fn profile_rules(states: &Path) -> String {
    format!("{}/*/publish/{{,**}} r,", states.display())
}

fn confines_dnsmasq(profiles: &str) -> bool {
    profiles
        .lines()
        .filter_map(|l| l.strip_suffix(" (enforce)"))
        .any(|name| !name.contains("//") && name.ends_with("dnsmasq"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resolver_that_is_this_machine() {
        assert!(asks_itself("# by hand\nsearch lan\nnameserver 127.0.0.1\n"));
        assert!(asks_itself("nameserver 192.0.2.1\nnameserver\t::1\n"));
        assert!(!asks_itself(
            "nameserver 127.0.0.53\n#nameserver 127.0.0.1\n"
        ));
    }

    #[test]
    fn a_profile_has_to_allow_the_published_files_of_every_pool() {
        let rules = profile_rules(Path::new("/var/lib/netbe"));
        assert_eq!(rules, "/var/lib/netbe/*/publish/{,**} r,");
    }

    #[test]
    fn profiles_that_confine_it() {
        for (profiles, confined) in [
            (
                "dnsmasq (enforce)\ndnsmasq//libvirt_leaseshelper (complain)\n",
                true,
            ),
            ("/usr/sbin/dnsmasq (enforce)\n", true),
            (
                "dnsmasq (complain)\ndnsmasq//libvirt_leaseshelper (enforce)\nlsb_release (enforce)\n",
                false,
            ),
            ("", false),
        ] {
            assert_eq!(confines_dnsmasq(profiles), confined, "{profiles}");
        }
    }
}
