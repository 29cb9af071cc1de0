//! A file a command: arguments in, one call down, one sentence out. No rules here.

pub mod activate;
pub mod check;
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
pub mod status;
pub mod upgrade;
mod upgrade_many;

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::Result;

use crate::cli::{Changing, Cli, Color, Command};
use crate::failure::Failure;
use crate::lifecycle::{Mode, Outcome};
use crate::output::Screen;
use crate::output::screen::Talk;
use crate::pool::Pool;

/// What every command has at hand.
#[derive(Debug)]
pub struct Session {
    /// The pool's directory, as given.
    pub pool_dir: PathBuf,
    /// The directory of state directories, as given.
    pub states: PathBuf,
    /// Where answers go.
    pub screen: Screen,
}

impl Session {
    /// Opens the pool.
    pub fn pool(&self) -> Result<Pool> {
        Pool::open(&self.pool_dir, &self.states)
    }

    /// Does something with the pool, or with every pool of this server that is there; returns the worst exit status.
    ///
    /// What fails in one of several pools is told, and the next one's turn comes.
    fn each_pool(&self, all: bool, work: impl Fn(&Pool) -> Result<u8>) -> Result<u8> {
        if !all {
            return work(&self.pool()?);
        }
        let mut worst = 0;
        for (dir, pool) in Pool::all(&self.states)? {
            let done = pool.and_then(|pool| work(&pool));
            let failed = |e: anyhow::Error| {
                let error = e.context(format!("the pool in {}", dir.display()));
                self.failed(&[error])
            };
            worst = worst.max(done.unwrap_or_else(failed));
        }
        Ok(worst)
    }

    /// Prints a dry run's steps, or gives back what was done.
    fn done<T>(&self, outcome: Outcome<T>) -> Result<Option<T>> {
        match outcome {
            Outcome::Done(done) => Ok(Some(done)),
            Outcome::Planned(steps) => {
                self.screen.plan(&steps)?;
                Ok(None)
            }
        }
    }

    /// Tells of what failed beside what was done; returns the exit status of the worst.
    fn failed(&self, failures: &[anyhow::Error]) -> u8 {
        let mut worst = 0;
        for error in failures {
            let failure = error.downcast_ref::<Failure>();
            self.screen
                .failed(error, failure.and_then(|f| f.hint.as_deref()));
            worst = worst.max(failure.map_or(1, Failure::status));
        }
        worst
    }
}

impl From<Changing> for Mode {
    fn from(c: Changing) -> Self {
        Self {
            dry_run: c.dry_run,
            wait: c.wait,
        }
    }
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
