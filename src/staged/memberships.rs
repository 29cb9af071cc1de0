//! Services that a system is registered with, in which nodes of one template would appear as one machine.
//!
//! Noted at an import, and never changed: a machine registers with a service only with that service's consent. Not for the
//! identity that each node gets anew: that is `boot::identity`.

use std::io;

use crate::boot::identity::{Pattern, matching};
use crate::fs::rooted::Tree;

/// Files with a machine's identity in a service, and the name of the service.
const MEMBERSHIPS: [(Pattern, &str); 24] = [
    (file("etc/salt", "minion_id"), "Salt"),
    (file("etc/salt/pki/minion", "minion.pem"), "Salt"),
    (
        file("etc/puppetlabs/puppet/ssl/private_keys", "*.pem"),
        "Puppet",
    ),
    (file("var/lib/puppet/ssl/private_keys", "*.pem"), "Puppet"),
    (file("etc/chef", "client.pem"), "Chef"),
    (file("var/lib/ceph/osd/*", "whoami"), "Ceph"),
    (file("var/lib/ceph/mon/*", "keyring"), "Ceph"),
    (file("var/lib/glusterd", "glusterd.info"), "GlusterFS"),
    (file("var/lib/etcd/member/snap", "db"), "etcd"),
    (file("opt/consul", "node-id"), "Consul"),
    (file("var/lib/tailscale", "tailscaled.state"), "Tailscale"),
    (file("var/lib/zerotier-one", "identity.secret"), "ZeroTier"),
    (file("etc/rancher/node", "password"), "Kubernetes (k3s)"),
    (
        file("var/lib/kubelet/pki", "kubelet-client-current.pem"),
        "Kubernetes",
    ),
    (file("var/lib/docker", "engine-id"), "Docker"),
    (file("etc/wireguard", "*.conf"), "WireGuard"),
    (file("etc", "krb5.keytab"), "Kerberos"),
    (
        file("var/lib/samba/private", "secrets.tdb"),
        "a Windows domain (Samba)",
    ),
    (
        file("etc/pki/consumer", "cert.pem"),
        "Red Hat's subscriptions",
    ),
    (
        file("var/lib/ubuntu-advantage/private", "machine-token.json"),
        "Ubuntu Pro",
    ),
    (
        file("var/lib/netdata/registry", "netdata.public.unique.id"),
        "Netdata",
    ),
    (
        file("etc/dropbear", "dropbear_*_host_key"),
        "ssh (Dropbear)",
    ),
    (file("etc/tinc/*", "rsa_key.priv"), "tinc"),
    (file("etc/openvpn/client", "*.conf"), "OpenVPN"),
];

const fn file(dir: &'static str, name: &'static str) -> Pattern {
    Pattern { dir, name }
}

/// Returns the registrations that nodes of a system would share, a sentence each.
pub(super) fn notes(root: &Tree) -> io::Result<Vec<String>> {
    let mut notes = Vec::new();
    for (pattern, service) in MEMBERSHIPS {
        if let Some(path) = matching(root, &[pattern])?.first() {
            notes.push(format!(
                "/{path} says which machine this is to {service}: every node of this system would be the same; remove it in the \
                 template, and join each node by itself"
            ));
        }
    }
    Ok(notes)
}
