//! Reads the kernel's handlers for programs of other architectures, `binfmt_misc`.
//!
//! Matches as the kernel does, by magic bytes of the program's header, not by the handler's name or package.
//! Registers and changes nothing.

use std::path::Path;

use anyhow::Context;

use crate::fs::mounts::{Detached, Forbids};
use crate::fs::rooted::Tree;
use crate::hex;

/// Mount point of `binfmt_misc`.
const HANDLERS: &str = "/proc/sys/fs/binfmt_misc";

/// The state of `binfmt_misc`.
pub(super) enum Registered {
    Some(Vec<Handler>),
    Disabled,
    Unknown,
}

/// One entry of `binfmt_misc`, as its file describes it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Handler {
    name: String,
    enabled: bool,
    /// `F`: the interpreter was opened at registration, so it is found from any root.
    fixed: bool,
    offset: usize,
    magic: Vec<u8>,
    mask: Vec<u8>,
}

impl Handler {
    /// Parses an entry; `None` for one that matches by file extension.
    fn parse(name: &str, text: &str) -> Option<Self> {
        let field = |key: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix([' ', ':']))
                .map(str::trim)
        };
        let magic = hex::bytes(field("magic")?)?;
        let mask = match field("mask") {
            Some(mask) => hex::bytes(mask)?,
            None => vec![0xff; magic.len()],
        };
        Some(Self {
            name: name.to_string(),
            enabled: text.lines().next() == Some("enabled"),
            fixed: field("flags").is_some_and(|flags| flags.contains('F')),
            offset: field("offset")?.parse().ok()?,
            magic,
            mask,
        })
    }

    fn matches(&self, header: &[u8]) -> bool {
        let Some(found) = header.get(self.offset..self.offset + self.magic.len()) else {
            return false;
        };
        found
            .iter()
            .zip(&self.magic)
            .zip(&self.mask)
            .all(|((byte, magic), mask)| (byte ^ magic) & mask == 0)
    }
}

/// Checks that a handler would run this program inside another root; the error says why none would.
pub(super) fn handler_for(header: &[u8], handlers: &[Handler]) -> Result<(), String> {
    let matching: Vec<&Handler> = handlers.iter().filter(|h| h.matches(header)).collect();
    if matching.iter().any(|h| h.enabled && h.fixed) {
        return Ok(());
    }
    Err(match matching.first() {
        None => "no binfmt_misc handler matches it".to_string(),
        Some(h) if !h.enabled => format!("its binfmt_misc handler {:?} is disabled", h.name),
        Some(h) => format!(
            "its binfmt_misc handler {:?} lacks the flag F, so its interpreter is not found inside the sandbox",
            h.name
        ),
    })
}

pub(super) fn registered() -> Registered {
    let shown = Tree::open(Path::new(HANDLERS)).map_err(anyhow::Error::from);
    shown
        .and_then(|tree| read_handlers(&tree))
        .or_else(|_| read_unmounted())
        .unwrap_or(Registered::Unknown)
}

/// Handlers work also where `binfmt_misc` is not mounted: reads them from a detached mount.
fn read_unmounted() -> anyhow::Result<Registered> {
    let forbids =
        Forbids::MOUNT_ATTR_NOSUID | Forbids::MOUNT_ATTR_NODEV | Forbids::MOUNT_ATTR_NOEXEC;
    let top = Detached::new("binfmt_misc", &[], forbids)?.into_top();
    read_handlers(&Tree::open_descriptor(&top)?)
}

fn read_handlers(tree: &Tree) -> anyhow::Result<Registered> {
    let status = tree.read_text("status")?.context("not mounted")?;
    if status.trim() != "enabled" {
        return Ok(Registered::Disabled);
    }
    let mut handlers = Vec::new();
    for name in tree.names(".")? {
        if name == "status" || name == "register" {
            continue;
        }
        // Skip a handler that was unregistered meanwhile.
        if let Ok(Some(text)) = tree.read_text(&name) {
            handlers.extend(Handler::parse(&name, &text));
        }
    }
    Ok(Registered::Some(handlers))
}

#[cfg(test)]
mod tests {
    use super::super::emulation::tests::header;
    use super::*;

    const AARCH64: &str = "enabled\n\
        interpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\n\
        flags: POF\n\
        offset 0\n\
        magic 7f454c460201010000000000000000000200b700\n\
        mask ffffffffffffff00fffffffffffffffffeffffff\n";

    #[test]
    fn a_handler_matches_as_in_the_kernel() {
        let handler = Handler::parse("qemu-aarch64", AARCH64).unwrap();
        assert!(handler.enabled && handler.fixed);
        assert!(handler.matches(&header(2, 1, 183)));
        assert!(!handler.matches(&header(2, 1, 62)));
        assert!(!handler.matches(b"\x7fELF"));
        assert_eq!(handler_for(&header(2, 1, 183), &[handler]), Ok(()));
    }

    #[test]
    fn the_reason_why_a_handler_does_not_work_is_named() {
        let program = header(2, 1, 183);
        let refusal = |text: String| {
            let handler = Handler::parse("qemu-aarch64", &text).unwrap();
            handler_for(&program, &[handler]).unwrap_err()
        };
        assert!(refusal(AARCH64.replace("POF", "PO")).contains("flag F"));
        assert!(refusal(AARCH64.replace("enabled", "disabled")).contains("is disabled"));
        assert!(
            handler_for(&program, &[])
                .unwrap_err()
                .contains("no binfmt")
        );
    }

    #[test]
    fn entries_of_another_kind_are_skipped() {
        let java = "enabled\ninterpreter /usr/bin/jexec\nflags: \nextension .jar\n";
        assert_eq!(Handler::parse("jar", java), None);
        assert_eq!(
            Handler::parse("odd", "enabled\noffset 0\nmagic 7f4\n"),
            None
        );
    }
}
