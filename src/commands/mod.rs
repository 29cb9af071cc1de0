//! A file a command: its arguments and its help, one call down, one sentence out. No rules here.
//!
//! Man pages and completions are made from the types. Parsing only: names are checked here, by their types, and nothing
//! is looked up.

pub mod activate;
mod args;
pub mod check;
mod complete;
pub mod completions;
mod confirm;
pub mod create;
pub mod dedupe;
pub mod describe;
pub mod destroy;
pub mod diff;
pub mod export;
pub mod import;
pub mod init;
pub mod list;
pub mod mount;
pub mod properties;
pub mod prune;
pub mod publish;
pub mod reconcile;
pub mod rename;
pub mod run;
pub mod serve;
mod session;
pub mod status;
pub mod upgrade;
mod upgrade_many;

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::Result;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{Parser, Subcommand, ValueHint};

pub use args::Color;
pub use session::Session;

use crate::output::Screen;
use crate::output::screen::Talk;
use activate::{Activate, Confirm, Rollback};
use check::Check;
use completions::Completions;
use create::{CloneEnv, Create};
use dedupe::Dedupe;
use describe::{Describe, Pin, Unpin};
use destroy::Destroy;
use diff::Diff;
use export::Export;
use import::Import;
use init::Init;
use list::List;
use mount::{Mount, Umount};
use properties::{Get, Set};
use prune::Prune;
use publish::Publish;
use reconcile::{Reconcile, Transfer};
use rename::Rename;
use run::{Run, Shell};
use serve::Serve;
use status::Status;
use upgrade::Upgrade;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const FIRST_STEPS: &str = "\
First steps:
  netbe init --file 64G                    a pool in a file, at /srv/netbe
  netbe import debian debian.tar.zst       a template, to make nodes from
  netbe create nog --mac dc:a6:32:01:02:03
  netbe upgrade --node nog                 in a copy; nog goes on working
  netbe activate nog                       its next reboot is the new system
  netbe rollback nog                       or the old one again

NODE/ENV is one environment of a node; NODE alone is its active one. Every command that changes something takes -n, to say what it would do.
Exit status: 0 done, 1 failed, 2 usage, 3 refused by a safety rule, 4 no such pool, node or environment, 5 locked.";

/// Boot environments for machines that boot over the network
///
/// One server holds, on one btrfs filesystem, every system its nodes can boot: kernel and root together,
/// as one named environment that is made in a moment, upgraded without touching what runs, switched in one
/// step, and gone back to.
#[derive(Debug, Parser)]
#[command(name = "netbe", version, styles = STYLES, help_expected = true, arg_required_else_help = true)]
#[command(after_help = FIRST_STEPS, max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    /// The pool
    #[arg(long, global = true, help_heading = "Options of every command", display_order = 100, value_name = "DIR", env = "NETBE_POOL", default_value = "/srv/netbe", hide_env_values = true, value_hint = ValueHint::DirPath)]
    pub pool: PathBuf,
    /// Where what must not lie on the pool stands
    #[arg(long, global = true, help_heading = "Options of every command", display_order = 100, value_name = "DIR", env = "NETBE_STATE", default_value = crate::pool::state::DEFAULT, hide_env_values = true, value_hint = ValueHint::DirPath)]
    pub state: PathBuf,
    /// Say only what is wrong
    #[arg(
        short,
        long,
        global = true,
        help_heading = "Options of every command",
        display_order = 100,
        conflicts_with = "verbose"
    )]
    pub quiet: bool,
    /// Say more
    #[arg(
        short,
        long,
        global = true,
        help_heading = "Options of every command",
        display_order = 100
    )]
    pub verbose: bool,
    /// When to use colour
    #[arg(
        long,
        global = true,
        help_heading = "Options of every command",
        display_order = 100,
        value_name = "WHEN",
        default_value = "auto"
    )]
    pub color: Color,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)]
pub enum Command {
    Init(Init),
    Import(Import),
    Create(Create),
    Clone(CloneEnv),
    #[command(visible_alias = "ls")]
    List(List),
    Activate(Activate),
    Rollback(Rollback),
    Confirm(Confirm),
    Upgrade(Upgrade),
    Run(Run),
    Shell(Shell),
    #[command(visible_alias = "rm")]
    Destroy(Destroy),
    Prune(Prune),
    Rename(Rename),
    Describe(Describe),
    Pin(Pin),
    Unpin(Unpin),
    Mount(Mount),
    #[command(visible_alias = "unmount")]
    Umount(Umount),
    Diff(Diff),
    Dedupe(Dedupe),
    Export(Export),
    Set(Set),
    Get(Get),
    Status(Status),
    Check(Check),
    Publish(Publish),
    Serve(Serve),
    Reconcile(Reconcile),
    #[command(hide = true)]
    Transfer(Transfer),
    Completions(Completions),
}

/// Runs the command that was asked for; returns the exit status.
pub fn run(cli: Cli) -> Result<u8> {
    let talk = match (cli.quiet, cli.verbose) {
        (true, _) => Talk::Quiet,
        (_, true) => Talk::Verbose,
        _ => Talk::Normal,
    };
    let session = Session {
        screen: Screen::new(talk, colour(cli.color)),
        pool_dir: cli.pool,
        states: std::path::absolute(cli.state)?,
    };
    let s = &session;
    match cli.command {
        Command::Init(a) => init::run(s, a),
        Command::Import(a) => import::run(s, a),
        Command::Export(a) => export::run(s, a),
        Command::Create(a) => create::create(s, a),
        Command::Clone(a) => create::clone(s, a),
        Command::List(a) => list::run(s, &a),
        Command::Activate(a) => activate::activate(s, &a),
        Command::Confirm(a) => activate::confirm(s, &a),
        Command::Serve(a) => serve::run(s, &a),
        Command::Reconcile(a) => reconcile::run(s, &a),
        Command::Transfer(a) => reconcile::transfer(s, &a),
        Command::Rollback(a) => activate::rollback(s, &a),
        Command::Upgrade(a) if a.names_several() => upgrade_many::run(s, &a),
        Command::Upgrade(a) if a.worker => upgrade_many::worker(s, &a),
        Command::Upgrade(a) => upgrade::run(s, &a),
        Command::Run(a) => run::run(s, a),
        Command::Shell(a) => run::shell(s, &a),
        Command::Destroy(a) => destroy::run(s, &a),
        Command::Prune(a) => prune::run(s, &a),
        Command::Rename(a) => rename::run(s, &a),
        Command::Describe(a) => describe::describe(s, &a),
        Command::Pin(a) => describe::pin(s, &a.operands, true, a.changing),
        Command::Unpin(a) => describe::pin(s, &a.operands, false, a.changing),
        Command::Mount(a) => mount::mount(s, &a),
        Command::Umount(a) => mount::umount(s, &a),
        Command::Dedupe(a) => dedupe::run(s, &a),
        Command::Diff(a) => diff::run(s, &a),
        Command::Set(a) => properties::set(s, &a),
        Command::Get(a) => properties::get(s, &a),
        Command::Status(a) => status::run(s, &a),
        Command::Check(a) => check::run(s, &a),
        Command::Publish(a) => publish::run(s, &a),
        Command::Completions(a) => completions::run(s, &a),
    }
}

/// Returns whether standard output is to be coloured.
pub fn colour(when: Color) -> bool {
    match when {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => {
            std::io::stdout().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
        }
    }
}
