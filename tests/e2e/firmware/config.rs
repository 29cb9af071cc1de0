//! `config.txt`, as far as it says what to load.
//!
//! Format: Raspberry Pi's documentation, "What is config.txt" and "Boot options"; a section that is not for a Pi 4 is
//! passed over, a line is read up to its 98th character.

/// What is to be loaded.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) kernel: String,
    pub(super) cmdline: String,
    pub(super) os_prefix: String,
    pub(super) device_tree: Option<String>,
    named_initramfs: Option<String>,
    auto_initramfs: bool,
}

impl Config {
    /// Reads a file's text.
    pub(super) fn read(text: &str) -> Self {
        let mut config = Self {
            kernel: "kernel8.img".to_string(),
            cmdline: "cmdline.txt".to_string(),
            os_prefix: String::new(),
            device_tree: None,
            named_initramfs: None,
            auto_initramfs: false,
        };
        let mut ours = true;
        for line in text.lines() {
            let line: String = line.chars().take(98).collect();
            let line = line.split('#').next().unwrap_or_default().trim();
            if let Some(section) = line.strip_prefix('[') {
                ours = matches!(section.trim_end_matches(']'), "all" | "pi4");
            } else if ours {
                config.take(line);
            }
        }
        config
    }

    fn take(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("initramfs ") {
            self.named_initramfs = rest.split_whitespace().next().map(str::to_string);
        }
        let Some((key, value)) = line.split_once('=') else {
            return;
        };
        let value = value.trim().to_string();
        match key.trim() {
            "kernel" => self.kernel = value,
            "cmdline" => self.cmdline = value,
            "os_prefix" => self.os_prefix = value,
            "device_tree" => self.device_tree = Some(value),
            "auto_initramfs" => self.auto_initramfs = value == "1",
            _ => {}
        }
    }

    /// Returns the initramfs; that which belongs to the kernel by its name, where that is asked for.
    pub(super) fn initramfs(&self) -> Option<String> {
        let by_kernel = || {
            let stem = self.kernel.trim_end_matches(".img");
            stem.replace("kernel", "initramfs")
        };
        self.named_initramfs
            .clone()
            .or_else(|| self.auto_initramfs.then(by_kernel))
    }
}
