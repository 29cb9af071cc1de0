//! `netbe import`

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueHint};
use clap_complete::engine::ArgValueCompleter;

use super::args::{Changing, Making};
use super::complete;
use super::session::Session;
use crate::lifecycle::import::unpack::{Driver, Progress, Source};
use crate::lifecycle::import::{self, NewNode, Request};
use crate::output::progress::Line;
use crate::pool::{NodeName, Operand};

/// Bring an operating system in as an environment
///
/// SOURCE is a directory, a tar archive (plain, gzip, xz, zstd), a disk image (raw or compressed so, such
/// as Raspberry Pi OS), a stream of netbe export, or - for one of these on standard input; which it is is
/// told by its content. A NODE that does not exist becomes a template: a node no machine boots, to make
/// others from. Owners, modes, hard links, devices, sparse files, extended attributes and ACLs arrive as
/// they were.
///
/// A stream knows what it is of. Without ENV the environment is called what it was called there, where that
/// is free. Into a node of the same name it comes as the machine it was, host keys and all; into another one
/// it gets that node's identity, as by clone. A NODE that does not exist becomes one, without the properties
/// it had: no machine can ask for it yet; a template where it was one. What is damaged, cut short or rests on
/// something that is not here is refused, and leaves nothing (see netbe-export).
///
/// A stream of what changed since another environment holds all of that one, once it has arrived: it rests on
/// what NODE has, and on another node's only where --base names that.
///
/// The filesystems of a disk image are read by netbe itself, and never mounted: ext2, ext3 and ext4, with a
/// journal that was not played back, and FAT. With --kernel-driver this machine's kernel mounts them, out of
/// sight, which it can do with btrfs, xfs, f2fs, squashfs and erofs too: a kernel trusts what it mounts, and an
/// image made for that can take the machine down, or over. What only the kernel can read is refused without.
///
/// The boot half is what the system's own fstab mounts at /boot/firmware or /boot, else the content of
/// /boot.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe import raspios 2026-10-01-raspios-lite-arm64.img.xz
  mmdebstrap --include=linux-image-amd64,systemd-sysv trixie - | netbe import debian -
  netbe import nog/old /mnt/sdcard --boot /mnt/sdcard-boot -d 'nog, from its SD card'
  ssh other netbe export nog/a | netbe import nog/a")]
pub struct Import {
    /// The environment to make
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(complete::nodes))]
    pub target: Operand,
    /// What to bring in; standard input without it
    #[arg(value_name = "SOURCE", default_value = "-", hide_default_value = true, value_hint = ValueHint::AnyPath)]
    pub source: std::ffi::OsString,
    /// Where the boot half is, if not in SOURCE
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub boot: Option<PathBuf>,
    /// The node whose environments a stream of changes may rest on; NODE itself without it
    #[arg(long, value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    pub base: Option<NodeName>,
    /// Have this machine's kernel read a disk image; only for one whose author you trust
    #[arg(long)]
    pub kernel_driver: bool,
    /// What to say of it.
    #[command(flatten)]
    pub making: Making,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

impl Progress for Line {
    fn phase(&mut self, what: &str) {
        Line::phase(self, what);
    }

    fn advance(&mut self, bytes_done: u64, bytes_total: Option<u64>) {
        Line::advance(self, bytes_done, bytes_total);
    }
}

/// Brings a system in.
pub fn run(session: &Session, args: Import) -> Result<u8> {
    let request = Request {
        target: args.target,
        source: Source::from_operand(&args.source)?,
        boot: args.boot,
        base: args.base,
        driver: match args.kernel_driver {
            true => Driver::Kernel,
            false => Driver::Own,
        },
        description: args.making.description,
    };
    let mut line = Line::new(session.screen.draws_progress());
    let outcome = import::import(&session.pool()?, &request, &mut line, args.changing.into());
    drop(line);
    if let Some(made) = session.done(outcome?)? {
        let kernel = made
            .kernel
            .map_or(String::new(), |k| format!(", kernel {k}"));
        let node = match made.new_node {
            Some(NewNode::Template) => " as a template",
            Some(NewNode::Booted) => " as a new node",
            None => "",
        };
        session
            .screen
            .sentence(&format!("Imported {}{node}{kernel}.", made.id))?;
        session.screen.notes(&made.notes);
        session.screen.warnings(&made.warnings);
    }
    Ok(0)
}
