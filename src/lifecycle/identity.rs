//! Giving a copy an identity of its own.
//!
//! Two machines with one host name, machine-id or ssh host key are taken for one another: by DHCP servers,
//! by NFS (an NFSv4 client's name is its lease), by people. So what is made for another node gets all of it
//! anew, and what is made for the same node keeps it. Works on halves in an unpublished stage only.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result};
use rand_core::OsRng;
use ssh_key::private::{KeypairData, RsaKeypair};
use ssh_key::{Algorithm, LineEnding, PrivateKey, PublicKey};

use crate::boot::identity;
use crate::pool::NodeName;
use crate::storage::beneath::Tree;

/// Where ssh keeps what it proves a host's identity with.
const SSH: &str = "etc/ssh";

/// Makes the halves another machine's: `new` instead of what they say now.
///
/// Returns notes, a sentence each.
pub fn reset(root: &Path, boot: &Path, new: &NodeName) -> Result<Vec<String>> {
    let (root, boot) = (Tree::open(root)?, Tree::open(boot)?);
    rename(&root, new).context("giving it a host name of its own")?;
    for path in identity::EMPTIED {
        empty(&root, path).with_context(|| format!("emptying {path}"))?;
    }
    for (dir, starts, ends) in identity::REMOVED {
        remove_matching(&root, dir, starts, ends)
            .with_context(|| format!("removing {dir}/{starts}*{ends}"))?;
    }
    for name in identity::REMOVED_FROM_BOOT {
        boot.remove_file(name)
            .with_context(|| format!("removing {name} from the boot half"))?;
    }
    rename_initiator(&root, new).context("giving it an iSCSI initiator name of its own")?;
    host_keys(&root, new).context("giving it ssh host keys of its own")
}

/// Gives a machine that stays the same another host name.
pub fn rename_host(root: &Path, new: &NodeName) -> Result<()> {
    rename(&Tree::open(root)?, new).context("giving it its new host name")
}

fn rename(root: &Tree, new: &NodeName) -> Result<()> {
    let old = root.read_text("etc/hostname")?;
    let old = old.as_deref().map(str::trim).filter(|o| !o.is_empty());
    let hosts = root.read_text("etc/hosts")?;
    if let Some(text) = identity::hosts(hosts.as_deref(), old, new.as_str()) {
        root.make_dirs("etc")?;
        root.write("etc/hosts", text.as_bytes())?;
    }
    root.make_dirs("etc")?;
    root.write(
        "etc/hostname",
        identity::hostname_file(new.as_str()).as_bytes(),
    )?;
    Ok(())
}

/// Empties a file that says who the machine is; one that is missing, or says that nobody is yet, stays.
///
/// An empty machine-id is made anew at boot; a missing one, or the word `uninitialized`, would make it a
/// first boot, which resets what services are enabled: machine-id(5).
fn empty(root: &Tree, path: &str) -> Result<()> {
    match root.read(path) {
        Ok(Some(text)) if !text.is_empty() && !text.starts_with(b"uninitialized") => {
            root.write(path, b"").map_err(Into::into)
        }
        Ok(_) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

fn remove_matching(root: &Tree, dir: &str, starts: &str, ends: &str) -> Result<()> {
    for name in root.names(dir)? {
        let path = format!("{dir}/{name}");
        if name.len() >= starts.len() + ends.len()
            && name.starts_with(starts)
            && name.ends_with(ends)
            && root.symlink_metadata(&path)?.is_some_and(|m| !m.is_dir())
        {
            root.remove_file(&path)?;
        }
    }
    Ok(())
}

fn rename_initiator(root: &Tree, new: &NodeName) -> Result<()> {
    const FILE: &str = "etc/iscsi/initiatorname.iscsi";
    let Some(old) = root.read_text(FILE)? else {
        return Ok(());
    };
    let mut random = [0_u8; 6];
    rand_core::RngCore::fill_bytes(&mut OsRng, &mut random);
    let unique: String = random.iter().map(|b| format!("{b:02x}")).collect();
    if let Some(text) = identity::initiator_name(&format!("{new}-{unique}"), &old) {
        root.write(FILE, text.as_bytes())?;
    }
    Ok(())
}

/// Makes new host keys of the kinds there are, each with the old file's mode and owner.
fn host_keys(root: &Tree, new: &NodeName) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for name in root.names(SSH)? {
        let path = format!("{SSH}/{name}");
        if name.starts_with("ssh_host_") && name.ends_with("-cert.pub") {
            root.remove_file(&path)?;
            notes.push(format!(
                "/{path} was removed: it certifies the old host key"
            ));
        }
    }
    for name in root.names(SSH)? {
        if !name.starts_with("ssh_host_") || !name.ends_with("_key") {
            continue;
        }
        let path = format!("{SSH}/{name}");
        let public_path = format!("{path}.pub");
        match algorithm(root, &name, &public_path)? {
            Some(algorithm) => write_key(root, &path, &public_path, &algorithm, new)
                .with_context(|| format!("making a new /{path}"))?,
            None => {
                root.remove_file(&path)?;
                root.remove_file(&public_path)?;
                notes.push(format!(
                    "/{path} was removed: no key of its kind is made any more"
                ));
            }
        }
    }
    Ok(notes)
}

/// Returns what kind of key a host key is: as its public half says, else by its name.
fn algorithm(root: &Tree, name: &str, public_path: &str) -> Result<Option<Algorithm>> {
    let public = root
        .read_text(public_path)?
        .and_then(|text| PublicKey::from_openssh(text.trim()).ok());
    if let Some(key) = public {
        return Ok(Some(key.algorithm()).filter(|a| *a != Algorithm::Dsa));
    }
    let word = match name {
        "ssh_host_ed25519_key" => "ssh-ed25519",
        "ssh_host_rsa_key" => "ssh-rsa",
        "ssh_host_ecdsa_key" => "ecdsa-sha2-nistp256",
        _ => return Ok(None),
    };
    Ok(Algorithm::new(word).ok())
}

fn write_key(
    root: &Tree,
    path: &str,
    public_path: &str,
    algorithm: &Algorithm,
    new: &NodeName,
) -> Result<()> {
    let mut key = match algorithm {
        // As long as ssh-keygen(1) makes them.
        Algorithm::Rsa { .. } => {
            PrivateKey::new(KeypairData::from(RsaKeypair::random(&mut OsRng, 3072)?), "")?
        }
        other => PrivateKey::random(&mut OsRng, other.clone())?,
    };
    key.set_comment(format!("root@{new}"));
    let public = format!("{}\n", key.public_key().to_openssh()?);
    let old_public = root.symlink_metadata(public_path)?;
    // Readable by root alone from the first byte on: replaced, it keeps the old one's mode.
    if let Some(file) = root.open_file(path)?
        && file.metadata()?.mode() & 0o077 != 0
    {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    root.write(path, key.to_openssh(LineEnding::LF)?.as_bytes())?;
    root.write(public_path, public.as_bytes())?;
    if old_public.is_none()
        && let Some(mut file) = root.open_file(public_path)?
    {
        file.flush()?;
    }
    Ok(())
}
