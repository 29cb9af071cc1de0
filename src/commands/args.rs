//! Arguments that several commands take, and the format of durations on the command line. Nothing is looked up.

use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::{SignedDuration, Span, SpanRelativeTo};

use crate::lifecycle::Mode;
use crate::lifecycle::trial::How;

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The arguments of every command that changes something.
#[derive(Debug, Clone, Copy, Args)]
pub struct Changing {
    /// Print what would be done, with the same refusals; change nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// How long to wait for a lock that another netbe holds
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub wait: Duration,
}

impl From<Changing> for Mode {
    fn from(c: Changing) -> Self {
        Self {
            dry_run: c.dry_run,
            wait: c.wait,
        }
    }
}

/// The arguments of every command that makes an environment.
#[derive(Debug, Clone, Args)]
pub struct Making {
    /// Description of the new environment
    #[arg(
        short,
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub description: String,
}

/// How a new environment is booted.
#[derive(Debug, Clone, Copy, Args)]
pub struct Next {
    /// Activate the new environment
    #[arg(short, long, group = "how")]
    pub activate: bool,
    /// Boot it once: the boot after it is the active environment again
    #[arg(long, group = "how")]
    pub once: bool,
    /// Boot it next; permanently if the node reports within DURATION (10m) that the boot completed
    #[arg(long = "try", value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "10m", value_parser = duration, group = "how")]
    pub trial: Option<SignedDuration>,
}

impl Next {
    /// Returns whether it is booted once, or on trial.
    pub fn how(self) -> Option<How> {
        How::asked(self.once, self.trial)
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .map(Duration::from_secs)
        .map_err(|_| "a number of seconds".to_string())
}

/// Reads a duration such as `10m`, `90s`, `1h 30m`. A number alone is seconds, and refused if no machine boots in that time.
pub(super) fn duration(text: &str) -> Result<SignedDuration, String> {
    let seconds = text.parse().ok().map(SignedDuration::from_secs);
    if seconds.is_some_and(|s| (1..60).contains(&s.as_secs())) {
        return Err(format!("a number alone is seconds: {text}m, or {text}s?"));
    }
    match seconds.or_else(|| span(text)) {
        Some(duration) if duration >= SignedDuration::from_secs(1) => Ok(duration),
        _ => Err("a duration such as 90s, 10m or 1h".to_string()),
    }
}

/// Reads an age such as `30d`, `2w`, `36h`; a number without a unit is refused, since 30 could mean days or seconds.
pub(super) fn age(text: &str) -> Result<SignedDuration, String> {
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    match span(text).filter(|_| !is_number) {
        Some(age) if !age.is_negative() => Ok(age),
        _ if is_number && !text.is_empty() => Err(format!(
            "a number alone has no unit: {text}d, {text}w or {text}h?"
        )),
        _ => Err("a duration such as 30d, 2w or 36h".to_string()),
    }
}

/// Reads a duration; a day has 24 hours, and months and years, which have no fixed length, are refused.
fn span(text: &str) -> Option<SignedDuration> {
    let span: Span = text.parse().ok()?;
    if span.get_years() != 0 || span.get_months() != 0 {
        return None;
    }
    span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_a_unit() {
        assert_eq!(age("36h"), Ok(SignedDuration::from_hours(36)));
        let why = "a number alone has no unit: 30d, 30w or 30h?";
        assert_eq!(age("30"), Err(why.to_string()));
        for bad in ["", "30x", "-1d", "1y"] {
            assert!(age(bad).unwrap_err().contains("such as 30d"), "{bad}");
        }
    }

    #[test]
    fn a_number_alone_is_seconds_where_that_can_be_meant() {
        for (text, seconds) in [("10m", 600), ("30s", 30), ("600", 600), ("1h 30m", 5400)] {
            assert_eq!(duration(text), Ok(SignedDuration::from_secs(seconds)));
        }
        let why = "a number alone is seconds: 30m, or 30s?";
        assert_eq!(duration("30"), Err(why.to_string()));
        for bad in ["0", "-5", "soon", ""] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
