//! What firmware, kernel and initramfs read.
