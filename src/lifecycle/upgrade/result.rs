//! The result of an upgrade: correcting and recording the copy, keeping the log or copy of a failed run, and activating it.
//!
//! Not for the run itself.

use std::path::Path;

use anyhow::Result;

use super::{LOG, Run, Upgraded, program};
use crate::failure::Failure;
use crate::fs::interrupt;
use crate::fs::rooted::Tree;
use crate::fs::shown_path::quoted_word;
use crate::lifecycle::{Mode, Outcome, activate_new, trial};
use crate::packages::{Changes, LISTS_DIRECTORY, with_lists};
use crate::pool::{Environment, NodeLock, Pool, layout};
use crate::staged::{Complete, Content, Identity, StagedEnvironment};

impl Run<'_> {
    /// Returns why the result would not boot if the run does not change that, which is not known in a dry run.
    pub(super) fn as_it_is(&self) -> Option<String> {
        let (source, target) = (self.source, self.target());
        let written = source.show_files().and_then(|_files| {
            self.wanted
                .reasons_once_written(&source.root(), &source.boot())
        });
        let unless = match written {
            Ok(reasons) if reasons.is_empty() => return None,
            Ok(reasons) if self.request.boots_next() => {
                format!(
                    "not keep {target}, which would not boot: {}",
                    reasons.join("; ")
                )
            }
            Ok(reasons) => format!(
                "mark {target} with !, since it would not boot: {}",
                reasons.join("; ")
            ),
            Err(e) => format!("not keep {target}: {e:#}"),
        };
        Some(format!(
            "{unless} (as in {source}, unless the run fixes it)"
        ))
    }

    /// Has the node boot the result next, once or on trial.
    pub(super) fn lead(&self, pool: &Pool, upgraded: &mut Upgraded, mode: Mode) -> Result<()> {
        let (Some(how), Upgraded::New { id, begun, .. }) = (self.request.how, upgraded) else {
            return Ok(());
        };
        let led = trial::begin(pool, Some(&id.clone().into()), how, false, mode)
            .map_err(|e| activate_new::only_made(id, &how.option(), &e))?;
        if let Outcome::Done(done) = led {
            *begun = Some(done);
        }
        Ok(())
    }

    /// Returns the content of the new environment after the run.
    fn content(&self, staged: &StagedEnvironment, changes: Option<Changes>) -> Result<Content> {
        let (node, name) = (&self.source.node, &self.source.name);
        let mut record = self.before.derived(staged.uuid()?, node, name);
        record.description.clone_from(&self.request.description);
        record.proposed = true;
        record.upgrade = changes;
        Ok(Content {
            record,
            before: self.before.clone(),
            identity: Identity::Same,
        })
    }

    /// Writes netbe's own settings into the halves, and takes the lock of the node: before or after, if programs have to run
    /// for that.
    pub(super) fn completed(
        &self,
        pool: &Pool,
        staged: &mut StagedEnvironment,
        changes: Option<Changes>,
        mode: Mode,
    ) -> Result<(NodeLock, Complete)> {
        if staged.runs_programs(&self.before)? {
            staged.look_unlocked()?;
            let complete = self.complete(staged, changes)?;
            return mode.lock_completed(pool, staged, complete);
        }
        let lock = mode.lock_again(pool, &self.node.name)?;
        staged.look_again(&lock)?;
        let complete = self.complete(staged, changes)?;
        Ok((lock, complete))
    }

    /// Writes netbe's own settings into the halves.
    fn complete(&self, staged: &StagedEnvironment, changes: Option<Changes>) -> Result<Complete> {
        self.restore_command_line(&staged.boot())?;
        staged.complete(self.content(staged, changes)?)
    }

    /// Returns the given command preceded by the one that downloads package lists, if these are missing.
    fn with_lists(&self) -> Option<String> {
        let names = Tree::open(&self.source.root()).and_then(|root| root.names(LISTS_DIRECTORY));
        let line = with_lists(&self.request.command, &names.ok()?)?;
        Some(format!(
            "netbe upgrade {} -- sh -c {}",
            self.source,
            quoted_word(&line)
        ))
    }

    /// Keeps the log of a failed run, and the copy if requested; returns the error of the command.
    pub(super) fn failed(
        &self,
        pool: &Pool,
        mut staged: StagedEnvironment,
        error: &anyhow::Error,
        mode: Mode,
    ) -> Result<Failure> {
        let log = self.node.dir.join(layout::FAILED_UPGRADE_LOG);
        let said = program::keep_end(&staged.dir().join(LOG), &log).is_ok_and(|says| says);
        let lists = self.with_lists();
        let ended = |outcome: &str| {
            let (why, whole_log) = match (&lists, said) {
                (None, _) => ("", String::new()),
                (Some(_), false) => (", without package lists", String::new()),
                (Some(_), true) => (
                    ", without package lists",
                    format!("\n  all of it: {}", log.display()),
                ),
            };
            let mut failure = Failure::failed(format!(
                "upgrading {}{why}: {outcome}: {error:#}{whole_log}",
                self.source
            ));
            if let Some(refusal) = error.downcast_ref::<Failure>() {
                failure.kind = refusal.kind;
            }
            let log = said.then(|| format!("less {}", log.display()));
            match lists.clone().or(log) {
                Some(hint) => failure.hint(hint),
                None => failure,
            }
        };
        if !self.request.keep || interrupt::requested().is_some() {
            drop(staged);
            return Ok(ended("nothing was kept"));
        }
        let why = format!("its upgrade failed: {error:#}");
        let why = why.lines().next().unwrap_or_default().to_string();
        let _ = self.restore_command_line(&staged.boot());
        staged.look_unlocked()?;
        // It is booted by its name alone, after a verification: properties that change from here on are no matter.
        let complete = staged.complete_failed(self.content(&staged, None)?, why)?;
        let lock = mode.lock_again(pool, &self.node.name)?;
        staged.publish(&lock, complete)?;
        Ok(ended(&format!("the copy is kept as {}", self.target())))
    }
}

/// The file that holds a Raspberry Pi's command line.
const CMDLINE: &str = "cmdline.txt";

/// Returns the source's command line before a run, if it names the source's own root.
pub(super) fn command_line(source: &Environment) -> Result<Option<String>> {
    let text = Tree::open(&source.boot())?.read_text(CMDLINE)?;
    let root = source.root();
    Ok(text.filter(|text| root.to_str().is_some_and(|root| text.contains(root))))
}

impl Run<'_> {
    /// Restores the source's `cmdline.txt` if the run replaced it.
    ///
    /// Debian's raspi-firmware hook writes the file anew after every new kernel or initramfs, with the
    /// server's own disk as root, and with it go all arguments the node had. A line that still names the
    /// source's root was merely edited, and stays.
    fn restore_command_line(&self, boot: &Path) -> Result<()> {
        let (Some(before), Some(root)) = (
            &self.command_line,
            self.source.root().to_str().map(str::to_string),
        ) else {
            return Ok(());
        };
        let tree = Tree::open(boot)?;
        if !tree
            .read_text(CMDLINE)?
            .is_some_and(|now| now.contains(&root))
        {
            tree.write(CMDLINE, before.as_bytes())?;
        }
        Ok(())
    }
}
