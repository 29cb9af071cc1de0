//! One file for each command: its arguments, its help, one call into `lifecycle`, one answer. No rules here.
//!
//! Man pages and completions are generated from these types. Names are checked by their types when they are parsed;
//! nothing is looked up.

pub mod activate;
pub mod adopt;
mod args;
mod ask;
pub mod check;
pub mod clone;
mod complete;
pub mod completions;
pub mod confirm;
pub mod create;
mod create_many;
pub mod dedupe;
pub mod deploy;
pub mod describe;
pub mod destroy;
pub mod diff;
pub mod export;
pub mod import;
pub mod init;
pub mod list;
pub mod merge;
pub mod mount;
pub mod pin;
mod place;
pub mod properties;
pub mod prune;
pub mod publish;
pub mod reconcile;
pub mod rename;
pub mod rollback;
mod root;
pub mod run;
pub mod serve;
mod session;
mod side_by_side;
pub mod status;
mod this_machine;
pub mod upgrade;
mod upgrade_many;

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::Result;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{Parser, Subcommand, ValueHint};

pub use args::Color;
pub use session::Session;

use crate::fs::shown_path::quoted_word;
use crate::lifecycle::full_disk;
use crate::output::Screen;
use crate::output::screen::Talk;
use crate::output::table::Look;
use crate::terminal::{self, bytes};
use activate::Activate;
use adopt::Adopt;
use check::Check;
use clone::CloneEnv;
use completions::Completions;
use confirm::Confirm;
use create::Create;
use dedupe::Dedupe;
use deploy::Deploy;
use describe::Describe;
use destroy::Destroy;
use diff::Diff;
use export::Export;
use import::Import;
use init::Init;
use list::List;
use merge::Merge;
use mount::{Mount, Umount};
use pin::{Pin, Unpin};
use properties::{Get, Set};
use prune::Prune;
use publish::Publish;
use reconcile::{Reconcile, Transfer};
use rename::Rename;
use rollback::Rollback;
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
  netbe upgrade nog                        in a copy; nog keeps running
  netbe activate nog                       the next boot is the new system
  netbe rollback nog                       the next boot is the old system

NODE/ENV is one environment of a node; NODE alone is its active one. Every command that changes something takes -n, to print what it would do.
Options of every command: --pool DIR, --state DIR, -q, -v, --color WHEN; netbe --help has them and more.
Exit status: 0 done, 1 failed, 2 usage, 3 refused by a safety rule, 4 no such pool, node or environment, 5 locked.";

/// Boot environments for machines that boot over the network
///
/// One server holds, on one btrfs filesystem, every system that its nodes can boot. An environment is one such system,
/// kernel and root together, under one name. It is cloned in well under a second, upgraded in a copy while the node runs,
/// activated in one atomic step, and rolled back to in the same way.
#[derive(Debug, Parser)]
#[command(name = "netbe", version, styles = STYLES, help_expected = true, arg_required_else_help = true)]
#[command(after_help = FIRST_STEPS, max_term_width = 100)]
pub struct Cli {
    /// The pool [default: $NETBE_POOL, else /srv/netbe, or that of this machine itself]
    #[arg(long, global = true, help_heading = "Options of every command", hide_short_help = true, display_order = 100, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub pool: Option<PathBuf>,
    /// Directory for files that must not be on a pool: records, locks, boot evidence [default: $NETBE_STATE, else /var/lib/netbe]
    #[arg(long, global = true, help_heading = "Options of every command", hide_short_help = true, display_order = 100, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub state: Option<PathBuf>,
    /// Print only errors and warnings
    #[arg(
        short,
        long,
        global = true,
        help_heading = "Options of every command",
        hide_short_help = true,
        display_order = 100,
        conflicts_with = "verbose"
    )]
    pub quiet: bool,
    /// Print more
    #[arg(
        short,
        long,
        global = true,
        help_heading = "Options of every command",
        hide_short_help = true,
        display_order = 100
    )]
    pub verbose: bool,
    /// When to use colour
    #[arg(
        long,
        global = true,
        help_heading = "Options of every command",
        hide_short_help = true,
        display_order = 100,
        value_name = "WHEN",
        default_value = "auto"
    )]
    pub color: Color,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
#[allow(missing_docs)]
pub enum Command {
    Init(Init),
    Adopt(Adopt),
    Import(Import),
    Create(Create),
    Clone(CloneEnv),
    #[command(visible_alias = "ls")]
    List(List),
    Activate(Activate),
    Rollback(Rollback),
    Confirm(Confirm),
    Upgrade(Upgrade),
    Merge(Merge),
    Run(Run),
    Shell(Shell),
    #[command(visible_alias = "rm", aliases = ["delete", "remove"])]
    Destroy(Destroy),
    Prune(Prune),
    Rename(Rename),
    Deploy(Deploy),
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

/// Runs the command; returns the exit status.
pub fn run(cli: Cli) -> Result<u8> {
    terminal::colour_messages(colour(cli.color, std::io::stderr().is_terminal()));
    root::require(&cli.command)?;
    let talk = match (cli.quiet, cli.verbose) {
        (true, _) => Talk::Quiet,
        (_, true) => Talk::Verbose,
        _ => Talk::Normal,
    };
    if let Some(pool) = &cli.pool {
        let pool = std::path::absolute(pool)?;
        terminal::name_pool(&quoted_word(&pool.display().to_string()));
    }
    let (pool_dir, states) = place::chosen(cli.pool, cli.state, &cli.command);
    let session = Session {
        screen: Screen::new(talk, look(cli.color)),
        pool_dir,
        states: std::path::absolute(states)?,
    };
    let command = this_machine::with_this_machine(&session, cli.command)?;
    carry_out(&session, command).map_err(|error| explained(&session, error))
}

/// Adds the largest users of space to an error because of a full pool.
fn explained(session: &Session, error: anyhow::Error) -> anyhow::Error {
    let Some(full) = full_disk::explain(|| session.pool(), &error) else {
        return error;
    };
    let (free, whole) = full.free;
    let with_size = |(name, size): &(String, u64)| format!("{name} {}", bytes(*size));
    let largest: Vec<String> = full.largest.iter().map(with_size).collect();
    session.screen.notes(&[format!(
        "the pool has {} of {} free; the largest are {}",
        bytes(free),
        bytes(whole),
        largest.join(", ")
    )]);
    full.failure.into()
}

fn carry_out(s: &Session, command: Command) -> Result<u8> {
    match command {
        Command::Init(a) => init::run(s, a),
        Command::Adopt(a) => adopt::run(s, &a),
        Command::Import(a) => import::run(s, a),
        Command::Export(a) => export::run(s, a),
        Command::Create(a) if a.before_packages => create::before_packages(s, &a),
        Command::Create(a) if a.names_several() => create_many::run(s, &a),
        Command::Create(a) if a.worker => create_many::worker(s, &a),
        Command::Create(a) => create::create(s, &a),
        Command::Clone(a) => clone::run(s, a),
        Command::List(a) => list::run(s, &a),
        Command::Activate(a) => activate::activate(s, &a),
        Command::Confirm(a) => confirm::run(s, &a),
        Command::Serve(a) => serve::run(s, &a),
        Command::Reconcile(a) => reconcile::run(s, &a),
        Command::Transfer(a) => reconcile::transfer(s, &a),
        Command::Rollback(a) => rollback::run(s, &a),
        Command::Upgrade(a) if a.names_several() => upgrade_many::run(s, &a),
        Command::Upgrade(a) if a.worker => upgrade_many::worker(s, &a),
        Command::Upgrade(a) => upgrade::run(s, &a),
        Command::Merge(a) => merge::run(s, a),
        Command::Run(a) => run::run(s, a),
        Command::Shell(a) => run::shell(s, &a),
        Command::Destroy(a) => destroy::run(s, &a),
        Command::Prune(a) => prune::run(s, &a),
        Command::Rename(a) => rename::run(s, &a),
        Command::Deploy(a) => deploy::run(s, a),
        Command::Describe(a) => describe::describe(s, &a),
        Command::Pin(a) => pin::pin(s, &a),
        Command::Unpin(a) => pin::unpin(s, &a),
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

/// Returns the colours and the width of the output.
fn look(when: Color) -> Look {
    let out = std::io::stdout();
    Look {
        colour: colour(when, out.is_terminal()),
        width: terminal_size::terminal_size_of(&out).map(|(width, _)| usize::from(width.0)),
    }
}

/// Returns whether a stream is to be coloured.
fn colour(when: Color, is_terminal: bool) -> bool {
    match when {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => is_terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
    }
}
