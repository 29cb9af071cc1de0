//! The rules of a merge: which side a file, an account or a text is taken from.
//!
//! Pure. FROM is the side that was changed and is merged, TO the side that it is merged into. Not for finding what changed, nor
//! for applying it.

pub mod accounts;
pub mod decide;
mod numbers;
pub mod texts;
