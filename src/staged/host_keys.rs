//! The ssh host keys of a machine, made anew.
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

/// How long an RSA host key is, in bits: as ssh-keygen(1) makes them.
const RSA_BITS: &str = "3072";
/// What makes host keys, in every distribution.
const SSH_KEYGEN: &str = "/usr/bin/ssh-keygen";

/// Makes new host keys of the kinds there are, but for those that are `kept`, by their paths; certificates of the old
/// ones, and keys of kinds that are made no more, go.
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
            // In the old one's place: it keeps the old one's mode, which lets root alone read it.
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

/// A key pair, as the two files of it.
struct KeyPair {
    private: Vec<u8>,
    public: Vec<u8>,
}

/// Makes a key pair by this machine's ssh-keygen(1), in a directory that is root's alone.
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
