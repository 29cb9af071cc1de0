//! `netbe import`

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueHint};
use clap_complete::engine::ArgValueCompleter;

use super::args::{Changing, Making};
use super::complete;
use super::session::Session;
use crate::lifecycle::data::list;
use crate::lifecycle::import::unpack::{Driver, Source};
use crate::lifecycle::import::{self, NewNode, Request};
use crate::output::progress::Line;
use crate::pool::{NodeName, Operand};

/// Import an operating system as an environment
///
/// SOURCE is a directory, a tar archive (plain, gzip, xz, zstd), a disk image (raw or compressed like an archive),
/// a stream of netbe export, or - for one of these on standard input; the type is detected from the content. A NODE
/// that does not exist becomes a template: a node that no machine boots, used as a source for others. Owners, modes, hard
/// links, devices, sparse files, extended attributes and ACLs are preserved.
///
/// A stream contains the name of its environment, which is used without ENV, if it is free. In a node of the same name the
/// environment keeps its identity with the host keys; in another node it gets that node's identity, as by clone. A
/// NODE that does not exist becomes a node without properties, which no machine can ask for yet, or a template
/// if it was one. A stream that is damaged, cut short, or based on an environment that is missing here is
/// refused and leaves nothing behind (see netbe-export).
///
/// An incremental stream needs the environment that it is based on, and the result contains all of its content. So the
/// base is looked for in NODE, and in another node only if --base names it.
///
/// With --data the node also gets the data of its own (netbe-set) that the stream was exported with, and all of its
/// environments mount it. A node that has data at one of these paths keeps it: the import is refused. Without --data the
/// import names the data that it leaves out.
///
/// netbe reads the filesystems of a disk image itself, without mounting them: ext2, ext3 and ext4, also with a
/// dirty journal, and FAT. With --kernel-driver this machine's kernel mounts them, in a private mount namespace; it can
/// read btrfs, xfs, f2fs, squashfs and erofs too. A kernel trusts the filesystems that it mounts: a crafted image can crash
/// the machine or take it over. Without --kernel-driver these filesystems are refused.
///
/// The boot half is the filesystem that the system's fstab mounts at /boot/firmware or /boot, else the content of /boot.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe import raspios 2026-10-01-raspios-lite-arm64.img.xz
  mmdebstrap --include=linux-image-amd64,systemd-sysv trixie - |
      netbe import debian -
  netbe import nog/old /mnt/sdcard --boot /mnt/boot -d 'its SD card'
  ssh other netbe export nog/a | netbe import nog/a
  ssh other netbe export nog/a --data | netbe import nog/a --data")]
pub struct Import {
    /// The environment to make
    #[arg(value_name = "NODE[/ENV]", add = ArgValueCompleter::new(complete::nodes))]
    pub target: Operand,
    /// What to import [default: standard input]
    #[arg(value_name = "SOURCE", default_value = "-", hide_default_value = true, value_hint = ValueHint::AnyPath)]
    pub source: std::ffi::OsString,
    /// The directory of the boot half, if it is not in SOURCE
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub boot: Option<PathBuf>,
    /// The node with the environment that an incremental stream is based on [default: NODE]
    #[arg(long, value_name = "NODE", add = ArgValueCompleter::new(complete::nodes))]
    pub base: Option<NodeName>,
    /// Give NODE the data of its own node that the stream has
    #[arg(long)]
    pub data: bool,
    /// Mount the disk image with this machine's kernel; only for images whose author you trust
    #[arg(long)]
    pub kernel_driver: bool,
    /// The description.
    #[command(flatten)]
    pub making: Making,
    /// Common options.
    #[command(flatten)]
    pub changing: Changing,
}

/// Imports a system.
pub fn run(session: &Session, args: Import) -> Result<u8> {
    let request = Request {
        target: args.target,
        source: Source::from_operand(&args.source)?,
        boot: args.boot,
        base: args.base,
        data: args.data,
        driver: match args.kernel_driver {
            true => Driver::Kernel,
            false => Driver::Own,
        },
        description: args.making.description,
    };
    let mut line = Line::new(session.draws_progress());
    let outcome = import::import(&session.pool()?, &request, &mut line, args.changing.into());
    drop(line);
    let (outcome, failures) = outcome?;
    if let Some(made) = session.done(outcome)? {
        let kernel = made
            .kernel
            .map_or(String::new(), |k| format!(", kernel {k}"));
        let node = match made.new_node {
            Some(NewNode::Template) => " as a template",
            Some(NewNode::Booted) => " as a new node",
            None => "",
        };
        let data = match made.data.as_slice() {
            [] => String::new(),
            paths => format!(", and data of {}: {}", made.id.node, list(paths)),
        };
        session.sentence(&format!("Imported {}{node}{kernel}{data}.", made.id))?;
        session.notes(&made.notes);
        session.warnings(&made.warnings);
    }
    Ok(session.failed(&failures))
}
