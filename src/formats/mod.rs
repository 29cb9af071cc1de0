//! File formats of foreign content: archives, compression, disk images.
//!
//! Where the content goes is decided elsewhere.

pub mod compression;
pub mod detect;
pub mod disk_image;
pub mod tar;
