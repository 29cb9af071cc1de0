//! Subvolumes. The one place that names the `btrfsutil` crate.
