//! Reads the EFI variables between systemd-boot and the system that it started: The Boot Loader Interface.
//!
//! Not for writing them: bootctl(1).

use std::io;
use std::path::PathBuf;

use super::path_error::if_exists;

/// The kernel's efivarfs.
const DIR: &str = "/sys/firmware/efi/efivars";
/// The vendor UUID of these variables.
const VENDOR: &str = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/// Returns the file of a variable.
pub fn path(name: &str) -> PathBuf {
    PathBuf::from(DIR).join(format!("{name}-{VENDOR}"))
}

/// Returns a variable's text; `None` if it does not exist, or there is no such firmware.
pub fn read(name: &str) -> io::Result<Option<String>> {
    Ok(if_exists(std::fs::read(path(name)))?.and_then(|bytes| text(&bytes)))
}

/// Returns the text of a variable: four bytes of attributes, then UTF-16, little end first, up to a NUL.
fn text(bytes: &[u8]) -> Option<String> {
    let units = bytes.get(4..)?.chunks_exact(2);
    let units = units.map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
    let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
    String::from_utf16(&units).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_text_after_its_attributes() {
        assert_eq!(text(b"\x07\0\0\0n\0o\0g\0\0\0x\0").as_deref(), Some("nog"));
        assert_eq!(text(b"\x07\0"), None);
        assert_eq!(text(b"\x07\0\0\0").as_deref(), Some(""));
    }
}
