//! `config.txt`, read as a Raspberry Pi's firmware reads it; never written.
//!
//! Settings apply in order, the last one wins, and `[pi4]` and its like say for which models. Conditions
//! that cannot be known here (a screen, a pin, a serial number, a try boot) count as not met. Not for
//! what devices and overlays a setting turns on.

use super::Model;

/// Characters of a line that the firmware takes; the rest may even become a setting of its own.
pub(crate) const LINE_LIMIT: usize = 98;
/// How deep `include` is followed.
const INCLUDE_DEPTH: usize = 8;
/// How many files are included in all: one that includes itself twice would be read 2^8 times, and so on.
const INCLUDES: usize = 64;
/// How long they may be together, in bytes.
const INCLUDED_LIMIT: usize = 1 << 20;

/// The settings of a `config.txt` and what it includes, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Config {
    settings: Vec<Setting>,
    /// Lines past the limit, with their file and number.
    pub(crate) long_lines: Vec<(String, usize)>,
    /// The files it includes, whether they are there or not.
    includes: Vec<String>,
    /// How long those were together, in bytes.
    included: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Setting {
    scope: Scope,
    name: String,
    value: String,
}

/// For which models a setting counts, as far as that can be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scope {
    models: Only,
    /// Whether every other condition is met.
    met: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Only {
    All,
    Nobody,
    Model(Model),
}

const EVERYWHERE: Scope = Scope {
    models: Only::All,
    met: true,
};

impl Config {
    /// Parses a file's text; `read` gives the text of the files it includes.
    pub(crate) fn parse(text: &str, read: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut config = Self::default();
        let mut scope = EVERYWHERE;
        config.take_in("config.txt", text, read, &mut scope, 0);
        config
    }

    /// Returns whether a file, by its path in the boot half, is part of the configuration.
    pub(crate) fn is_read_from(&self, file: &str) -> bool {
        file == "config.txt" || self.includes.iter().any(|included| included == file)
    }

    /// Returns the value a model sees, without what surrounds it; the last one that counts.
    pub(crate) fn value(&self, model: Model, name: &str) -> Option<&str> {
        let mut counts = self.settings.iter().rev().filter(|s| s.scope.holds(model));
        counts.find(|s| s.name == name).map(|s| s.value.as_str())
    }

    /// Returns whether a switch is on for a model.
    pub(crate) fn is_on(&self, model: Model, name: &str) -> bool {
        self.value(model, name)
            .is_some_and(|v| !matches!(v, "" | "0"))
    }

    fn take_in(
        &mut self,
        file: &str,
        text: &str,
        read: &dyn Fn(&str) -> Option<String>,
        scope: &mut Scope,
        depth: usize,
    ) {
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line.chars().count() > LINE_LIMIT {
                self.long_lines.push((file.to_string(), number + 1));
            }
            let line: String = line.chars().take(LINE_LIMIT).collect();
            if let Some(condition) = line.strip_prefix('[').and_then(|l| l.split(']').next()) {
                scope.narrow(condition.trim());
            } else if let Some(included) = line.strip_prefix("include ") {
                let included = included.trim();
                if depth < INCLUDE_DEPTH
                    && self.includes.len() < INCLUDES
                    && scope.met
                    && self.included < INCLUDED_LIMIT
                {
                    // Also one that is not there: it would be, if anybody made it.
                    self.includes
                        .push(included.trim_start_matches('/').to_string());
                    if let Some(text) = read(included) {
                        self.included += text.len();
                        self.take_in(included, &text, read, scope, depth + 1);
                    }
                }
            } else {
                self.settings.extend(setting(&line, *scope));
            }
        }
    }
}

impl Scope {
    fn holds(&self, model: Model) -> bool {
        self.met
            && match self.models {
                Only::All => true,
                Only::Nobody => false,
                Only::Model(only) => only == model,
            }
    }

    fn narrow(&mut self, condition: &str) {
        let condition = condition.to_ascii_lowercase();
        match condition.as_str() {
            "all" => *self = EVERYWHERE,
            "none" => self.models = Only::Nobody,
            "pi3" => self.models = Only::Model(Model::Pi3),
            "pi4" => self.models = Only::Model(Model::Pi4),
            "pi5" => self.models = Only::Model(Model::Pi5),
            // A narrower or another model: not one the environment is judged for.
            c if c.starts_with("pi") || c.starts_with("cm") => self.models = Only::Nobody,
            // Says to which output what follows belongs, not whether it counts.
            c if c.starts_with("hdmi:") => {}
            _ => self.met = false,
        }
    }
}

/// Reads one setting; `initramfs FILE followkernel` is the only one without a `=`.
fn setting(line: &str, scope: Scope) -> Option<Setting> {
    let (name, value) = match line.strip_prefix("initramfs ") {
        Some(rest) => ("initramfs", rest.split_whitespace().next()?),
        None => line.split_once('=')?,
    };
    Some(Setting {
        scope,
        name: name.trim().to_string(),
        value: value.trim().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Config {
        Config::parse(text, &|name| {
            (name == "more.txt").then(|| "arm_64bit=0\n[pi5]\nkernel=five\n".to_string())
        })
    }

    #[test]
    fn the_last_that_counts_wins() {
        let config = read(
            "kernel=a\n[pi4]\nkernel = b \n[pi5]\n#kernel=no\nkernel=c\n[pi400]\nkernel=d\n[all]\n\
             arm_64bit=1\r\n[gpio4=1]\nkernel=e\n[pi4]\nkernel=f\n[all]\ninitramfs x,y followkernel\n",
        );
        assert_eq!(config.value(Model::Pi3, "kernel"), Some("a"));
        assert_eq!(config.value(Model::Pi4, "kernel"), Some("b"));
        assert_eq!(config.value(Model::Pi5, "kernel"), Some("c"));
        assert_eq!(config.value(Model::Pi3, "initramfs"), Some("x,y"));
        assert!(config.is_on(Model::Pi4, "arm_64bit"));
        assert!(!config.is_on(Model::Pi4, "nothing"));
    }

    #[test]
    fn included_files_count_where_they_stand() {
        let config = read("arm_64bit=1\ninclude more.txt\n[all]\ninclude nowhere.txt\n");
        assert!(!config.is_on(Model::Pi4, "arm_64bit"));
        assert_eq!(config.value(Model::Pi5, "kernel"), Some("five"));
        assert_eq!(config.value(Model::Pi4, "kernel"), None);
    }

    #[test]
    fn a_file_that_includes_itself_ends() {
        let config = Config::parse("include config.txt\na=1", &|_| {
            Some("include config.txt\nb=1".into())
        });
        assert_eq!(config.value(Model::Pi3, "a"), Some("1"));
    }

    #[test]
    fn a_file_that_includes_itself_often_ends_soon() {
        let text = "include config.txt\n".repeat(100);
        let reads = std::cell::Cell::new(0);
        Config::parse(&text, &|_| {
            reads.set(reads.get() + 1);
            Some(text.clone())
        });
        assert_eq!(reads.get(), INCLUDES);
    }

    #[test]
    fn long_lines_are_cut_and_told() {
        let config = read(&format!("# {0}\nb=1\nkernel={0}\n", "x".repeat(200)));
        assert_eq!(config.long_lines, [("config.txt".to_string(), 3)]);
        assert_eq!(
            config.value(Model::Pi4, "kernel").unwrap().len(),
            98 - "kernel=".len()
        );
    }
}
