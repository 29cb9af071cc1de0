//! The serial console of a machine: its output, and input to it.
//!
//! Every line goes to a log with the seconds since the machine was switched on; a test waits for words in it.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Whether a person wants to watch.
pub(crate) fn is_shown() -> bool {
    std::env::var_os("NETBE_E2E_SHOW").is_some()
}

/// Tells a person what comes next, as [`is_shown`].
pub(crate) fn announce(what: &str) {
    if is_shown() {
        println!("\n\x1b[1m{what}\x1b[0m");
    }
}

/// Shows a person a command, as it is typed at a prompt.
pub(crate) fn show_command(whose: &str, line: &str) {
    if is_shown() {
        println!("\n\x1b[1m{whose}#\x1b[0m {line}");
    }
}

/// Returns a line for a person: without what the test types to find its way, and what moves cursors.
fn for_people(line: &str) -> Option<String> {
    let plain = without_sequences(line);
    let is_own = [
        "begin-",
        "end-",
        "ready",
        "exec env PS1=",
        "stty -echo",
        "root@",
    ];
    let is_noise = plain.trim().is_empty() || is_own.iter().any(|own| plain.starts_with(own));
    (!is_noise).then_some(plain)
}

/// Returns a text without escape sequences (ECMA-48) and other control characters.
fn without_sequences(text: &str) -> String {
    let mut plain = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1b}' if letters.next_if_eq(&'[').is_some() => {
                letters.by_ref().find(|c| ('@'..='~').contains(c));
            }
            '\u{1b}' => drop(letters.next()),
            c if c.is_control() => {}
            c => plain.push(c),
        }
    }
    plain
}

/// A console that is being listened to.
#[derive(Debug)]
pub(crate) struct Console {
    name: String,
    log: PathBuf,
    heard: Arc<Heard>,
    /// Up to where it has been waited for.
    read: usize,
    keyboard: Option<Box<dyn Keys>>,
    pub(crate) since: Instant,
}

/// What can be typed on.
pub(crate) trait Keys: Write + Send + std::fmt::Debug {}
impl<T: Write + Send + std::fmt::Debug> Keys for T {}

#[derive(Debug, Default)]
struct Heard {
    said: Mutex<Said>,
    news: Condvar,
}

#[derive(Debug, Default)]
struct Said {
    bytes: Vec<u8>,
    ended: bool,
}

impl Console {
    /// Listens to a machine's output, logging it to a file, which is gone on with where it exists.
    pub(crate) fn listen(
        name: &str,
        log: &Path,
        output: impl Read + Send + 'static,
        keyboard: Option<Box<dyn Keys>>,
    ) -> Self {
        let file = File::options().create(true).append(true).open(log);
        let since = Instant::now();
        let mut record = Record {
            name: name.to_string(),
            file: file.expect("the test's directory is writable"),
            since,
            line: Vec::new(),
        };
        let heard = Arc::new(Heard::default());
        let ear = Arc::clone(&heard);
        std::thread::spawn(move || {
            let mut output = output;
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                record.take(&buffer[..count]);
                let mut said = ear.said.lock().unwrap();
                said.bytes.extend_from_slice(&buffer[..count]);
                ear.news.notify_all();
            }
            record.end();
            ear.said.lock().unwrap().ended = true;
            ear.news.notify_all();
        });
        Self {
            name: name.to_string(),
            log: log.to_path_buf(),
            heard,
            read: 0,
            keyboard,
            since,
        }
    }

    /// Returns whose it is.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the file everything is logged to.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Waits for words, and returns what came before them since what was last waited for.
    ///
    /// # Panics
    ///
    /// When they do not come in this time, or the machine ends.
    pub(crate) fn wait_for(&mut self, words: &str, time: Duration) -> String {
        self.try_for(words, time).unwrap_or_else(|why| {
            panic!("{}: no {words:?} on the console: {why}", self.name);
        })
    }

    /// As [`Self::wait_for`], with a reason where they do not come.
    pub(crate) fn try_for(&mut self, words: &str, time: Duration) -> Result<String, String> {
        let until = Instant::now() + time;
        let mut output = self.heard.said.lock().unwrap();
        loop {
            let news = &output.bytes[self.read..];
            if let Some(at) = find(news, words.as_bytes()) {
                let before = String::from_utf8_lossy(&news[..at]).into_owned();
                self.read += at + words.len();
                return Ok(before);
            }
            if output.ended {
                return Err("the machine has ended".to_string());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("waited {} seconds", time.as_secs()));
            }
            output = self.heard.news.wait_timeout(output, left).unwrap().0;
        }
    }

    /// Types a text.
    pub(crate) fn send(&mut self, text: &str) {
        let keyboard = self.keyboard.as_mut().expect("this console has a keyboard");
        keyboard
            .write_all(text.as_bytes())
            .and_then(|()| keyboard.flush())
            .expect("the machine runs");
    }
}

fn find(text: &[u8], words: &[u8]) -> Option<usize> {
    text.windows(words.len()).position(|part| part == words)
}

/// Where lines are written to as they come.
struct Record {
    name: String,
    file: File,
    since: Instant,
    line: Vec<u8>,
}

impl Record {
    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => self.end(),
                b'\r' => {}
                _ => self.line.push(*byte),
            }
        }
    }

    fn end(&mut self) {
        if self.line.is_empty() {
            return;
        }
        let time = self.since.elapsed().as_secs_f32();
        let output = String::from_utf8_lossy(&self.line).into_owned();
        self.line.clear();
        let _ = self
            .file
            .write_all(format!("[{time:8.3}] {output}\n").as_bytes());
        // The server's own says only how it starts.
        if is_shown()
            && self.name != "server"
            && let Some(line) = for_people(&output)
        {
            println!("{} | {line}", self.name);
        }
    }
}
