//! Making new ssh host keys for a machine.
//!
//! All kinds side by side, by this machine's own ssh-keygen(1): a long RSA key takes a second of a processor. Works on a
//! root half in an unpublished stage. Which files are host keys: `boot::identity`.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::boot::identity::{self, HostKey};
use crate::fs::parallel;
use crate::fs::rooted::Tree;
use crate::fs::server_packages;
use crate::pool::NodeName;

/// The length of an RSA host key, in bits: ssh-keygen(1)'s default.
const RSA_BITS: &str = "3072";
/// The program that makes host keys, in every distribution.
const SSH_KEYGEN: &str = "/usr/bin/ssh-keygen";

/// Replaces the existing host keys by new ones of the same kinds, except for the paths in `kept`; removes certificates of
/// the old keys, and keys of kinds that are not made any more.
///
/// Returns notes, a sentence each.
pub(super) fn renew(root: &Tree, new: &NodeName, kept: &[String]) -> Result<Vec<String>> {
    let keys = identity::host_keys(&root.names(identity::HOST_KEYS)?);
    let mut kinds = keys.renew;
    kinds.retain(|kind| !kept.iter().any(|path| path == kind.path()));
    let mut made = Vec::new();
    for (kind, key) in kinds
        .iter()
        .zip(parallel::all(&kinds, kinds.len() > 1, |kind| {
            make_key(*kind, new)
        }))
    {
        let path = kind.path();
        let public = format!("{path}.pub");
        let written = key.and_then(|key| {
            // Written over the old file, to keep its mode, by which only root can read it.
            root.write(path, &key.private)?;
            Ok(root.write(&public, &key.public)?)
        });
        written.with_context(|| format!("making a new /{path}"))?;
        made.extend([path.to_string(), public]);
    }
    let mut notes = Vec::new();
    for path in keys.remove.iter().filter(|p| !made.contains(p)) {
        root.remove_file(path)?;
        if kept.is_empty() {
            notes.push(format!(
                "/{path} was removed: it belonged to the old host keys"
            ));
        }
    }
    Ok(notes)
}

/// A key pair, as the content of its two files.
struct KeyPair {
    private: Vec<u8>,
    public: Vec<u8>,
}

/// Makes a key pair with this machine's ssh-keygen(1), in a directory that only root can access.
fn make_key(kind: HostKey, new: &NodeName) -> Result<KeyPair> {
    let dir = tempfile::tempdir().context("making a directory for a key")?;
    let file = dir.path().join("key");
    let (kind, bits) = match kind {
        HostKey::Ed25519 => ("ed25519", "256"),
        HostKey::Ecdsa => ("ecdsa", "256"),
        HostKey::Rsa => ("rsa", RSA_BITS),
    };
    let made = Command::new(SSH_KEYGEN)
        .args(["-q", "-t", kind, "-b", bits, "-N", "", "-C"])
        .arg(format!("root@{new}"))
        .arg("-f")
        .arg(&file)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => anyhow::Error::from(server_packages::missing(SSH_KEYGEN))
                .context("making ssh host keys"),
            _ => anyhow::Error::new(e).context(format!("running {SSH_KEYGEN}")),
        })?;
    anyhow::ensure!(
        made.status.success(),
        "{SSH_KEYGEN}: {}",
        String::from_utf8_lossy(&made.stderr).trim()
    );
    let read = |path: &Path| fs::read(path).with_context(|| format!("reading {}", path.display()));
    Ok(KeyPair {
        private: read(&file)?,
        public: read(&file.with_extension("pub"))?,
    })
}
