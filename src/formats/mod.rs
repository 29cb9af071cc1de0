//! What files hold that others made: archives, their compressions, images of disks.
//!
//! Not for where what is in them is to stand.

pub mod compression;
pub mod detect;
pub mod disk_image;
pub mod tar;
