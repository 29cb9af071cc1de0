//! Giving a copy a new identity, or that of the node that it is for.
//!
//! Two machines with one host name, machine-id or ssh host key are taken for one another: by DHCP servers,
//! by NFS (an NFSv4 client's name is its lease), by people. So a copy for a new node gets a new identity,
//! and a copy for an existing node gets that node's identity. Works on halves in an unpublished stage only.

use std::io;
use std::path::Path;

use anyhow::{Context, Result};

use super::first_boot::has_cloud_init;
use super::kept_identity::Kept;
use super::{host_keys, report_unit};
use crate::boot::cloud_init;
use crate::boot::identity::{self, RESET};
use crate::btrfs::subvolume::Uuid;
use crate::fs::rooted::Tree;
use crate::hex;
use crate::pool::{EnvId, Environment, NodeName};

/// The directory of journals, each in a directory named by its machine-id.
const JOURNAL: &str = "var/log/journal";
/// The directory of credentials that are encrypted with `var/lib/systemd/credential.secret`.
const CREDENTIALS: &str = "etc/credstore.encrypted";

/// The machine that the halves belong to.
#[derive(Debug, Clone)]
pub enum Identity {
    /// The target's.
    Same,
    /// The target's, under its former host name.
    OldName,
    /// Another machine's: the target is a new one.
    Other,
    /// Another machine's: the target is an existing node, whose identity is in this environment.
    Kept(Box<Environment>),
}

impl Identity {
    /// Returns the identity that another machine's halves get for a node, and the sentence of that step.
    pub fn of_node(id: &EnvId, own: Option<&Environment>) -> (String, Self) {
        match own {
            Some(own) => (
                format!("give {id} the identity of {}, from {own}", id.node),
                Self::Kept(Box::new(own.clone())),
            ),
            None => (format!("give {id} an identity of its own"), Self::Other),
        }
    }
}

/// Gives the halves the identity of the node `new`: a new one, or the existing one in `own`, an environment of the
/// node.
///
/// Returns notes, a sentence each.
pub fn reset(
    root: &Path,
    boot: &Path,
    new: &NodeName,
    own: Option<&Environment>,
) -> Result<Vec<String>> {
    let (root, boot) = (Tree::open(root)?, Tree::open(boot)?);
    let kept = own.map(Kept::of).transpose()?;
    let fresh = format!("{new}-{}", hex::digits(&random::<4>()?));
    let kept_name = kept.as_ref().and_then(|kept| kept.host_name.as_deref());
    let name = kept_name.unwrap_or(new.as_str());
    let instance = kept.as_ref().and_then(|kept| kept.instance.clone());
    let instance = instance.unwrap_or(fresh);
    rename(&root, name, Some(&instance)).context("giving it a host name of its own")?;
    if has_cloud_init(&root)? {
        rename_in_seed(&boot, "", name, Some(&instance))
            .context("naming it in what cloud-init reads")?;
    }
    let mut notes = Vec::new();
    notes.extend(forget_journal(&root).context("leaving out the journal of the other machine")?);
    for path in RESET.empty {
        empty(&root, path).with_context(|| format!("emptying {path}"))?;
    }
    for path in RESET.remove_regular {
        if root.symlink_metadata(path)?.is_some_and(|m| m.is_file()) {
            root.remove_file(path)?;
        }
    }
    for (half, groups) in [(&root, RESET.remove), (&boot, RESET.remove_boot)] {
        for path in identity::matching(half, groups.iter().flat_map(|group| group.files))? {
            if half.symlink_metadata(&path)?.is_some_and(|m| !m.is_dir()) {
                half.remove_file(&path)?;
            }
        }
    }
    rename_initiator(&root, new).context("setting its iSCSI initiator name")?;
    renew_numbers(&root).context("setting its numbers for storage")?;
    if !root.names(CREDENTIALS)?.is_empty() {
        notes.push(format!(
            "the credentials in /{CREDENTIALS} were encrypted for the machine that it was made from, and {new} cannot read them: \
             encrypt them again on it, with systemd-creds encrypt"
        ));
    }
    let keys = kept.as_ref().map_or(&[][..], |kept| &kept.host_keys);
    notes.extend(host_keys::renew(&root, new, keys).context("making its ssh host keys")?);
    if let Some(kept) = kept {
        let keeping = || format!("keeping the identity of {new} in {}", kept.from);
        notes.extend(kept.write(&root, &boot, new).with_context(keeping)?);
    }
    Ok(notes)
}

/// Gives the same machine another host name.
pub fn rename_host(root: &Path, new: &NodeName) -> Result<()> {
    rename(&Tree::open(root)?, new.as_str(), None).context("setting its new host name")
}

/// Sets the host name; `instance` is the instance ID by which cloud-init recognises another machine.
fn rename(root: &Tree, new: &str, instance: Option<&str>) -> Result<()> {
    let old = root.read_text(identity::HOSTNAME)?;
    let old = old.as_deref().map(str::trim).filter(|o| !o.is_empty());
    let hosts = root.read_text(identity::HOSTS)?;
    root.make_dirs("etc")?;
    if let Some(text) = identity::hosts(hosts.as_deref(), old, new) {
        root.write(identity::HOSTS, text.as_bytes())?;
    }
    let text = identity::hostname_file(new);
    root.write(identity::HOSTNAME, text.as_bytes())?;
    let info = root.read_text(identity::MACHINE_INFO)?;
    if let Some(text) = info.and_then(|text| identity::pretty_name(&text, new)) {
        root.write(identity::MACHINE_INFO, text.as_bytes())?;
    }
    if has_cloud_init(root)? {
        root.make_dirs(cloud_init::SETTINGS)?;
        root.write(cloud_init::OWN_SETTINGS, cloud_init::KEEP_NAME.as_bytes())?;
    }
    for seed in cloud_init::SEEDS {
        rename_in_seed(root, seed, new, instance)?;
    }
    Ok(())
}

/// Writes the host name into the seed data of cloud-init in a directory.
fn rename_in_seed(half: &Tree, directory: &str, new: &str, instance: Option<&str>) -> Result<()> {
    for name in ["user-data", "meta-data"] {
        let path = format!("{directory}/{name}");
        let path = path.trim_start_matches('/');
        if !half.metadata(path)?.is_some_and(|m| m.is_file()) {
            continue;
        }
        // A script or a compressed file has no host name to edit.
        let Ok(Some(text)) = half.read_text(path) else {
            continue;
        };
        if let Some(edited) = cloud_init::renamed(&text, new, instance) {
            half.write(path, edited.as_bytes())?;
        }
    }
    Ok(())
}

/// Empties a file with the machine-id; a missing file stays, and so does one that is not initialised yet.
///
/// An empty machine-id is made anew at boot; a missing one, or the word `uninitialized`, would make it a
/// first boot, which resets which services are enabled: machine-id(5). Without systemd, D-Bus makes the file, and treats
/// an empty one as an error: then it is removed.
fn empty(root: &Tree, path: &str) -> Result<()> {
    match root.read(path)? {
        Some(text) if !text.is_empty() && !text.starts_with(b"uninitialized") => {
            match report_unit::has_systemd(root)? {
                true => Ok(root.write(path, b"")?),
                false => Ok(root.remove_file(path)?),
            }
        }
        _ => Ok(()),
    }
}

/// Removes the journal of the old machine-id: journald reads only that of the new one.
fn forget_journal(root: &Tree) -> Result<Option<String>> {
    let mut ids = Vec::new();
    for path in RESET.empty.iter().chain(RESET.remove_regular) {
        // The text is not trusted: a node can write any text there.
        ids.extend(root.read_text(path).ok().flatten());
    }
    let mut notes = None;
    for id in ids
        .iter()
        .map(|id| id.trim())
        .filter(|id| is_machine_id(id))
    {
        let directory = format!("{JOURNAL}/{id}");
        let names = root.names(&directory)?;
        for name in names.iter().filter(|name| name.contains(".journal")) {
            let path = format!("{directory}/{name}");
            if root.symlink_metadata(&path)?.is_none_or(|m| m.is_dir()) {
                continue;
            }
            root.remove_file(&path)?;
            notes = Some(format!(
                "the journal of the machine that it was made from, /{directory}, was left out"
            ));
        }
        if !names.is_empty() && root.names(&directory)?.is_empty() {
            root.remove_dir(&directory)?;
        }
    }
    Ok(notes)
}

fn is_machine_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Renews existing storage identifiers: ZFS and NVMe targets take two machines with the same one for one machine.
fn renew_numbers(root: &Tree) -> Result<()> {
    if let Some(old) = root.read(identity::HOST_ID)?
        && let Some(new) = identity::host_id(&old, random()?)
    {
        root.write(identity::HOST_ID, &new)?;
    }
    let mut uuid: [u8; 16] = random()?;
    // Version 4, drawn at random: RFC 9562.
    (uuid[6], uuid[8]) = (uuid[6] & 0x0f | 0x40, uuid[8] & 0x3f | 0x80);
    let uuid = Uuid(uuid).to_string();
    for path in identity::NVME {
        let old = root.read_text(path)?;
        if let Some(new) = old.and_then(|old| identity::nvme_name(&old, &uuid)) {
            root.write(path, new.as_bytes())?;
        }
    }
    Ok(())
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(io::Error::from)?;
    Ok(bytes)
}

fn rename_initiator(root: &Tree, new: &NodeName) -> Result<()> {
    let Some(old) = root.read_text(identity::INITIATOR_NAME)? else {
        return Ok(());
    };
    let unique = format!("{new}-{}", hex::digits(&random::<6>()?));
    if let Some(text) = identity::initiator_name(&unique, &old) {
        root.write(identity::INITIATOR_NAME, text.as_bytes())?;
    }
    Ok(())
}
