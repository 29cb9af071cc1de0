//! The rules of a merge: which side a file, an account or a text is taken from.
//!
//! Pure. FROM is the side whose changes are merged, TO the side that they are merged into. Not for finding changes, nor for
//! applying them.

pub mod accounts;
pub mod decide;
mod numbers;
pub mod texts;
