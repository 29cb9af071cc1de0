//! The command line as types; every sentence of help lives here, and in a file for each theme below.
//!
//! Man pages and completions are made from it. Parsing only: names are checked here, by their types, and
//! nothing is looked up.

mod candidates;
mod environments;
mod keeping_house;
mod looking;
mod serving;
mod setting_up;
mod travelling;
mod upgrading;

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use jiff::{SignedDuration, Span, SpanRelativeTo};

pub use environments::{
    Activate, CloneEnv, Confirm, Create, Describe, Destroy, List, Pin, Rename, Rollback, SortField,
    Unpin,
};
pub use keeping_house::{
    Check, Completions, Dedupe, Prune, Publish, Reconcile, ShellName, Status, Transfer,
};
pub use looking::{Diff, Mount, Umount};
pub use serving::Serve;
pub use setting_up::{Get, Import, Init, Set};
pub use travelling::Export;
pub use upgrading::{Run, Shell, Upgrade};

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

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
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

/// What every command that changes something takes.
#[derive(Debug, Clone, Copy, Args)]
pub struct Changing {
    /// Say what would be done, and refuse what would be refused; change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// How long to wait for another netbe to end
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub wait: Duration,
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .map(Duration::from_secs)
        .map_err(|_| "a number of seconds".to_string())
}

/// Reads a duration such as `10m`, `90s`, `1h 30m`; a number alone is seconds.
fn duration(text: &str) -> Result<SignedDuration, String> {
    let seconds = text.parse().map(SignedDuration::from_secs);
    match seconds.ok().or_else(|| span(text)) {
        Some(duration) if duration >= SignedDuration::from_secs(1) => Ok(duration),
        _ => Err("a duration such as 90s, 10m or 1h".to_string()),
    }
}

/// Reads an age such as `30d`, `2w`, `36h`; a number alone is none: who writes 30 means days.
fn age(text: &str) -> Result<SignedDuration, String> {
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    match span(text).filter(|_| !is_number) {
        Some(age) if !age.is_negative() => Ok(age),
        _ => Err("a duration such as 30d, 2w or 36h".to_string()),
    }
}

/// Reads a duration; a day has 24 hours, and months and years are none.
fn span(text: &str) -> Option<SignedDuration> {
    let span: Span = text.parse().ok()?;
    if span.get_years() != 0 || span.get_months() != 0 {
        return None;
    }
    span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()
}

/// What every command that makes an environment takes.
#[derive(Debug, Clone, Args)]
pub struct Said {
    /// What to say of it
    #[arg(
        short,
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub description: String,
}
