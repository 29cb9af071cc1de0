//! File formats of foreign content: archives, compression, disk images.
//!
//! Not for the destination of the content.

pub mod compression;
pub mod detect;
pub mod disk_image;
pub mod tar;
