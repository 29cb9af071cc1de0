//! Verifying that an environment would boot, before a machine is led to it.
//!
//! Kernel, initramfs and modules belong together; boot files and fstab name this environment; the command
//! line fits. Reads only. Not for whether it is published.

mod early;

use anyhow::{Result, ensure};

pub use early::Early;

use crate::evidence::{reports, this_machine};
use crate::failure::Failure;
use crate::fs::shown_path::quoted;
use crate::pool::pending::{Kind, PendingBoot};
use crate::pool::{EnvId, Environment, Node, Pool, properties};
use crate::staged::boot_config::Wanted;
use crate::staged::machine;

/// An environment that its node may be led to: it would boot, or the user forces it.
///
/// The switch takes this type, so that only verified environments are booted next.
#[derive(Debug)]
pub struct Verified<'a> {
    env: &'a Environment,
    /// The reasons against booting it, a sentence each; `None` if it was not verified, since no machine boots it.
    reasons: Option<Vec<String>>,
    /// Those for its record; `None` if it stays as it is.
    recorded: Option<Vec<String>>,
    /// The warning that its node's model is not known, if that matters.
    doubt: Option<String>,
    /// The halves that its node could not write.
    read_only: Vec<(String, String)>,
    is_forced: bool,
}

impl<'a> Verified<'a> {
    /// Verifies an environment; with `force` the reasons against it become warnings, if both its halves exist.
    ///
    /// An environment of a template is not verified, since no machine boots it; environments made from it are.
    ///
    /// # Errors
    /// A refusal that says why it would not boot, or that its node could not write it.
    pub fn new(pool: &Pool, node: &Node, env: &'a Environment, force: bool) -> Result<Self> {
        Self::after(None, pool, node, env, force)
    }

    /// As [`Self::new`], for an environment that may have been verified already, without the lock of its node.
    ///
    /// # Errors
    /// Those of [`Self::new`].
    pub fn after(
        early: Option<Early>,
        pool: &Pool,
        node: &Node,
        env: &'a Environment,
        force: bool,
    ) -> Result<Self> {
        env.require_own_files()?;
        if node.is_template() && env.problems.is_empty() {
            return Ok(Self::just_made(env));
        }
        let reasons = match early.and_then(|early| early.reasons_now(pool, node, env)) {
            Some(reasons) => reasons,
            None => reasons(pool, node, env)?,
        };
        let whole = env.root().is_dir() && env.boot().is_dir();
        let insisted = force && whole;
        if !reasons.is_empty() && !insisted {
            let failure = would_not_boot(&env.id(), &reasons);
            return Err(match whole {
                true => failure.hint_to(
                    "fix it, or activate it anyway",
                    format!("netbe activate {env} --force"),
                ),
                false => failure.hint(format!("netbe check {}", node.name)),
            }
            .into());
        }
        let read_only = read_only_halves(pool, node, env);
        if let Some((problem, remedy)) = read_only.first().filter(|_| !force) {
            return Err(Failure::refused(format!("{env}: {problem}"))
                .hint(remedy)
                .into());
        }
        // With reasons it is forced: among them may be that a file could not be read.
        let recorded = match reasons.is_empty() {
            true => Some(Vec::new()),
            false => reasons_to_record(pool, node, env),
        };
        Ok(Self {
            env,
            reasons: Some(reasons),
            recorded,
            doubt: machine::doubt(pool, node, &env.boot()),
            read_only,
            is_forced: force,
        })
    }

    /// For an environment that was verified when it was made, a moment ago.
    pub(super) fn just_made(env: &'a Environment) -> Self {
        Self {
            env,
            reasons: None,
            recorded: None,
            doubt: None,
            read_only: Vec::new(),
            is_forced: false,
        }
    }

    /// For an environment that its node has booted on trial, by its report.
    ///
    /// # Errors
    /// If nothing tells that it has come up since the trial began.
    pub fn by_its_boot(node: &Node, env: &'a Environment, boot: &PendingBoot) -> Result<Self> {
        ensure!(
            boot.kind == Kind::Try && boot.env == env.name && has_come_up(node, env, boot),
            "nothing tells that {env} has come up on trial"
        );
        Ok(Self {
            env,
            reasons: Some(Vec::new()),
            recorded: Some(Vec::new()),
            doubt: None,
            read_only: Vec::new(),
            is_forced: false,
        })
    }

    /// Returns the environment.
    pub fn env(&self) -> &'a Environment {
        self.env
    }

    /// Returns whether the user wants it to be active in any case.
    pub fn is_forced(&self) -> bool {
        self.is_forced
    }

    /// Returns the remaining doubts that it boots, a sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let reasons = self.reasons.iter().flatten();
        let warning = |reason| format!("{} may not boot: {reason}", self.env);
        let doubt = self
            .doubt
            .iter()
            .map(|doubt| format!("{}: {doubt}", self.env));
        let read_only = self.read_only.iter();
        let read_only =
            read_only.map(|(problem, remedy)| format!("{}: {problem}: {remedy}", self.env));
        reasons.map(warning).chain(doubt).chain(read_only).collect()
    }

    /// Returns the reasons against booting it for its record; `None` if the record stays as it is.
    pub fn reasons(&self) -> Option<&[String]> {
        self.recorded.as_deref()
    }
}

/// Returns whether an environment has reported a boot since a trial of it began, or is what this machine runs since then.
fn has_come_up(node: &Node, env: &Environment, boot: &PendingBoot) -> bool {
    if node.is_this_machine {
        let is_later = boot.set_in != this_machine::boot_id();
        return is_later
            && this_machine::came_up()
            && this_machine::Root::look().is(env) == Some(true);
    }
    reports::reported(env).is_some_and(|(time, report)| {
        boot.since.is_none_or(|since| time >= since)
            && boot.boot_id_before.as_ref() != Some(&report.boot_id)
    })
}

/// Returns the reasons why an environment would not boot on its node, a sentence each; none when it is
/// sound.
pub fn reasons(pool: &Pool, node: &Node, env: &Environment) -> Result<Vec<String>> {
    if !env.problems.is_empty() {
        return Ok(env.problems.clone());
    }
    let record = env.record_for_change()?;
    let wanted = Wanted::new(pool, &node.name, &node.record, &env.name, &record)?;
    let _files = match env.show_files() {
        Ok(files) => files,
        Err(e) => return Ok(vec![format!("{e:#}")]),
    };
    wanted.reasons_against(&env.root(), &env.boot())
}

/// Returns the reasons for an environment's record; `None` if it cannot be read whether it would boot.
fn reasons_to_record(pool: &Pool, node: &Node, env: &Environment) -> Option<Vec<String>> {
    let record = env.record_for_change().ok()?;
    let wanted = Wanted::new(pool, &node.name, &node.record, &env.name, &record).ok()?;
    let _files = env.show_files().ok()?;
    wanted.reasons_to_record(&env.root(), &env.boot()).ok()
}

/// Returns whether an environment would boot once its boot files and fstab are rewritten by its node's properties.
pub fn is_stale(pool: &Pool, node: &Node, env: &Environment) -> bool {
    let once_written = || -> Result<Vec<String>> {
        let record = env.record_for_change()?;
        let wanted = Wanted::new(pool, &node.name, &node.record, &env.name, &record)?;
        let _files = env.show_files()?;
        wanted.reasons_once_written(&env.root(), &env.boot())
    };
    once_written().is_ok_and(|reasons| reasons.is_empty())
}

/// Returns whether an environment would boot once it mounts the data of its node, without any other change.
pub fn lacks_data_alone(pool: &Pool, node: &Node, env: &Environment) -> bool {
    let lacks = || -> Result<bool> {
        let record = env.record_for_change()?;
        let wanted = Wanted::new(pool, &node.name, &node.record, &env.name, &record)?;
        let _files = env.show_files()?;
        wanted.lacks_data_alone(&env.root(), &env.boot())
    };
    !node.is_template() && lacks().unwrap_or(false)
}

/// Refuses halves that would not boot, for these reasons.
pub fn refuse_unbootable(name: &EnvId, reasons: &[String]) -> Result<()> {
    match reasons {
        [] => Ok(()),
        reasons => Err(would_not_boot(name, reasons).into()),
    }
}

/// Returns the failure for halves that would not boot.
pub(super) fn would_not_boot(name: &EnvId, reasons: &[String]) -> Failure {
    Failure::refused(format!("{name} would not boot: {}", reasons.join("; ")))
}

/// Returns the read-only halves of an environment, such as read-only snapshots put in their place by hand: the problem, and
/// the command that mends it.
///
/// Nodes with `access=ro` do not need writable halves.
pub fn read_only_halves(pool: &Pool, node: &Node, env: &Environment) -> Vec<(String, String)> {
    if properties::is_read_only(Some(&node.record), pool.record()) {
        return Vec::new();
    }
    env.read_only_halves()
        .map(|(half, path)| {
            (
                format!("its {half} half is a read-only subvolume, which the node cannot write"),
                format!("btrfs property set {} ro false", quoted(&path)),
            )
        })
        .collect()
}
