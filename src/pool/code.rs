//! The code that authenticates an environment's record on the pool.
//!
//! `env.json` is beside the halves, so that an environment is made and removed by one rename. But an NFS client that
//! may mount one export can write any file of that filesystem. So the record has an HMAC-SHA256 over its content and
//! the UUID of its root subvolume; the key is in the state directory. A record that was changed, or copied from another
//! environment, is refused. Not for records in the state directory.

mod tokens;

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;

use super::record_file;
use crate::btrfs::subvolume::Uuid;
use crate::fs::atomic::{self, Durable};
use crate::hex;

/// The member of a record that holds its code.
pub(super) const MEMBER: &str = "code";
/// The length of a key, in bytes.
const LENGTH: usize = 32;

/// The key of one pool on one server.
#[derive(Clone)]
pub struct Key(Arc<[u8; LENGTH]>);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// Makes a new key and writes it, durably.
    pub fn make(file: &Path) -> Result<Self> {
        let mut bytes = [0; LENGTH];
        getrandom::fill(&mut bytes)
            .map_err(io::Error::from)
            .context("making a key")?;
        atomic::private(file, hex::digits(&bytes).as_bytes(), Durable::AtOnce)?;
        Ok(Self(Arc::new(bytes)))
    }

    /// Reads a key.
    pub fn read(file: &Path) -> Result<Self> {
        let text = record_file::read(file)?
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
            .with_context(|| format!("reading {}", file.display()))?;
        let bytes = hex::bytes(text.trim()).and_then(|b| b.try_into().ok());
        let bytes = bytes.with_context(|| format!("{} is not a key", file.display()))?;
        Ok(Self(Arc::new(bytes)))
    }

    /// Adds the code to the record of the environment with that root subvolume.
    pub(super) fn sign(&self, record: &mut Value, root: Uuid) {
        let Some(members) = record.as_object_mut() else {
            return;
        };
        members.remove(MEMBER);
        let code = hex::digits(
            &self
                .mac(record.to_string().as_bytes(), root)
                .finalize()
                .into_bytes(),
        );
        if let Some(members) = record.as_object_mut() {
            members.insert(MEMBER.to_string(), Value::String(code));
        }
    }

    /// Removes the code from the record of the environment with that root subvolume, and verifies it.
    ///
    /// # Errors
    /// When the code is missing or wrong.
    pub(super) fn verify(&self, record: &mut Value, root: Uuid) -> Result<()> {
        let members = record.as_object_mut();
        let code = members.and_then(|members| members.remove(MEMBER));
        let code = code.as_ref().and_then(Value::as_str).and_then(hex::bytes);
        let code = code.context("it has no code of this server")?;
        let is_ours = self
            .mac(record.to_string().as_bytes(), root)
            .verify_slice(&code)
            .is_ok();
        ensure!(
            is_ours,
            "its code does not match its content: it was not written by netbe on this server"
        );
        Ok(())
    }

    /// Verifies the code of a record by its text alone, in a tenth of the time of parsing it; false if that is not conclusive.
    ///
    /// True only for the text of a record as it was signed: the code is over its tokens without spaces. The text must be JSON:
    /// other texts could have tokens that are separated only by spaces.
    pub(super) fn is_signed(&self, json: &str, root: Uuid) -> bool {
        let Some((tokens, code)) = tokens::without(MEMBER, json) else {
            return false;
        };
        let code = str::from_utf8(code).ok().and_then(hex::bytes);
        code.is_some_and(|code| self.mac(&tokens, root).verify_slice(&code).is_ok())
    }

    /// Returns a secret of this many hexadecimal digits for one purpose and one name; the same each time.
    pub fn secret(&self, purpose: &str, name: &str, digits: usize) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&*self.0).expect("HMAC takes a key of any length");
        mac.update(b"netbe secret 1\0");
        mac.update(purpose.as_bytes());
        mac.update(b"\0");
        mac.update(name.as_bytes());
        let mut secret = hex::digits(&mac.finalize().into_bytes());
        secret.truncate(digits);
        secret
    }

    fn mac(&self, record: &[u8], root: Uuid) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&*self.0).expect("HMAC takes a key of any length");
        mac.update(b"netbe env.json 1\0");
        mac.update(&root.0);
        mac.update(record);
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key(Arc::new([7; LENGTH]))
    }

    #[test]
    fn a_record_is_believed_as_it_was_written_for_its_own_root_alone() {
        let root = Uuid([1; 16]);
        let mut record: Value = serde_json::from_str(r#"{"b":1,"a":"x","n":1.5}"#).unwrap();
        key().sign(&mut record, root);
        let text = serde_json::to_string_pretty(&record).unwrap();
        let read = || serde_json::from_str::<Value>(&text).unwrap();
        key().verify(&mut read(), root).unwrap();
        assert!(key().is_signed(&text, root) && key().is_signed(&record.to_string(), root));
        assert!(!key().is_signed(&text, Uuid([2; 16])));
        assert!(!Key(Arc::new([8; LENGTH])).is_signed(&text, root));
        assert!(key().verify(&mut read(), Uuid([2; 16])).is_err());
        assert!(
            Key(Arc::new([8; LENGTH]))
                .verify(&mut read(), root)
                .is_err()
        );
        let mut changed = read();
        changed["a"] = "y".into();
        assert!(!key().is_signed(&changed.to_string(), root));
        assert!(key().verify(&mut changed, root).is_err());
        for code in ["", "00", "zz", &"0".repeat(64)] {
            let mut other = read();
            other[MEMBER] = code.into();
            assert!(key().verify(&mut other, root).is_err(), "{code}");
        }
        let mut none = read();
        none.as_object_mut().unwrap().remove(MEMBER);
        assert!(key().verify(&mut none, root).is_err());
        assert!(key().verify(&mut Value::Null, root).is_err());
    }

    #[test]
    fn a_secret_is_each_names_and_each_keys_own() {
        let secret = key().secret("iscsi", "nog", 16);
        assert_eq!(
            (secret.len(), &secret),
            (16, &key().secret("iscsi", "nog", 16))
        );
        let others = [
            key().secret("iscsi", "ordo", 16),
            key().secret("other", "nog", 16),
            Key(Arc::new([8; LENGTH])).secret("iscsi", "nog", 16),
        ];
        assert!(!others.contains(&secret));
    }

    #[test]
    fn a_key_is_read_back_and_only_root_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        let made = Key::make(&file).unwrap();
        assert_eq!(Key::read(&file).unwrap().0, made.0);
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        std::fs::write(&file, "short").unwrap();
        assert!(Key::read(&file).is_err());
    }
}
