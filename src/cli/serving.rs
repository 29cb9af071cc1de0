//! Serving what machines fetch.

use std::net::{Ipv4Addr, SocketAddrV4};

use clap::Args;

/// Hand out boot files by TFTP
///
/// Answers machines until it is stopped. netbe init --services has systemd run it as netbe-tftp.service; by hand it runs
/// in the foreground, and tells what it sends.
///
/// A name begins with a MAC address of a node, with dashes, or with its serial; else the MAC address is that of the
/// machine that asks. The rest is a file in the boot half of the environment that the node boots now, or is to boot
/// for once or on trial. Each request is looked up when it comes, so what was activated, or what a node has
/// just put into its own boot folder, is what the next request gets.
///
/// Only regular files below that boot half are handed out, up to 4 GiB, and only those that others may read; a kernel
/// or initramfs that the boot files name is handed out whatever its mode. A link is followed that stays below the boot
/// half. Nothing is written.
///
/// Two processes: one faces the network, without privileges, files of its own or the means to open any; the
/// other opens what is asked for. A client gets 16 files at once and 200 a second; who asks for more waits.
///
/// What a machine has fetched whole is noted with the environment it came from: that is how netbe knows what may be running.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  netbe serve
  netbe serve --all-pools
  netbe serve --listen 10.0.0.1")]
pub struct Serve {
    /// Where to answer: an IPv4 address of this machine, with a port or without
    #[arg(long, value_name = "ADDR[:PORT]", default_value = "0.0.0.0:69", value_parser = at)]
    pub listen: SocketAddrV4,
    /// Answer the machines of every pool of this server, not of one
    #[arg(long)]
    pub all_pools: bool,
    /// Be the process that faces the network
    #[arg(long, hide = true)]
    pub facing_the_network: bool,
}

fn at(text: &str) -> Result<SocketAddrV4, String> {
    let address = text
        .parse::<Ipv4Addr>()
        .map(|a| SocketAddrV4::new(a, crate::serve::PORT));
    address
        .or_else(|_| text.parse())
        .map_err(|_| "an IPv4 address, or one with a port: 10.0.0.1, 10.0.0.1:69".to_string())
}
