//! to be
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) kernel: Vec<u8>,
    pub(crate) initramfs: Vec<u8>,
    pub(crate) cmdline: String,
}
