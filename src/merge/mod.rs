//! How two systems that were one become one again: three ways, text by text and path by path.
//!
//! Pure: texts and facts in, decisions out. Not for reading systems, nor for writing them.

pub mod accounts;
