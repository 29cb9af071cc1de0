//! The plan of a command: the steps it takes, each as the sentence that a dry run prints beside the code that takes it.
//!
//! Promises that no step is printed that would not be taken, nor taken without being printed. Refusals are found while the
//! plan is made, by the same code in a dry run. Not for results that only the work itself finds: those go into the steps'
//! context.

use anyhow::Result;

use super::Outcome;

/// The steps of a command, in their order. `C` is their context: locks, results of one step for the next, warnings.
pub(super) struct Plan<'a, C> {
    steps: Vec<Step<'a, C>>,
}

struct Step<'a, C> {
    sentences: Vec<String>,
    foresee: Box<dyn FnOnce() -> Result<()> + 'a>,
    take: Take<'a, C>,
}

type Take<'a, C> = Box<dyn FnOnce(&mut C) -> Result<()> + 'a>;

impl<'a, C> Plan<'a, C> {
    /// Returns a plan without steps.
    pub(super) fn new() -> Self {
        Self { steps: Vec::new() }
    }

    /// Adds a step.
    pub(super) fn step(
        &mut self,
        sentence: impl Into<String>,
        take: impl FnOnce(&mut C) -> Result<()> + 'a,
    ) {
        self.steps(vec![sentence.into()], take);
    }

    /// Adds a step with several sentences: for work that is done whole or not at all, or by another program.
    pub(super) fn steps(
        &mut self,
        sentences: Vec<String>,
        take: impl FnOnce(&mut C) -> Result<()> + 'a,
    ) {
        self.steps.push(Step {
            sentences,
            foresee: Box::new(|| Ok(())),
            take: Box::new(take),
        });
    }

    /// Has a dry run look for what the step added last would refuse while it runs.
    pub(super) fn foresee(&mut self, look: impl FnOnce() -> Result<()> + 'a) {
        if let Some(step) = self.steps.last_mut() {
            step.foresee = Box::new(look);
        }
    }

    /// Takes the steps in order, until one fails; without a context, in a dry run, returns their sentences instead.
    pub(super) fn carry_out(self, with: Option<C>) -> Result<Outcome<C>> {
        let Some(mut with) = with else {
            let mut sentences = Vec::new();
            for step in self.steps {
                (step.foresee)()?;
                sentences.extend(step.sentences);
            }
            return Ok(Outcome::Planned(sentences));
        };
        for step in self.steps {
            (step.take)(&mut with)?;
        }
        Ok(Outcome::Done(with))
    }
}

/// Takes a step that turns up while a command works. `look` finds and refuses; a dry run does no more. Returns whether the
/// step is taken, or would be.
pub(super) fn found_step<T>(
    dry_run: bool,
    look: impl FnOnce() -> Result<Option<T>>,
    take: impl FnOnce(T) -> Result<bool>,
) -> Result<bool> {
    match look()? {
        None => Ok(false),
        Some(_) if dry_run => Ok(true),
        Some(found) => take(found),
    }
}

/// Takes a single step and returns its result; without a context, in a dry run, returns the sentences instead, which only a
/// dry run asks for.
pub(super) fn one_step<C, T>(
    with: Option<C>,
    sentences: impl FnOnce() -> Vec<String>,
    take: impl FnOnce(C) -> Result<T>,
) -> Result<Outcome<T>> {
    match with {
        None => Ok(Outcome::Planned(sentences())),
        Some(with) => take(with).map(Outcome::Done),
    }
}
