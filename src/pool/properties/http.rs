//! The property `http`: whether boot files are served by HTTP, too.

use std::fmt;
use std::str::FromStr;

/// Whether boot files are served by HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Http {
    /// They are not.
    Off,
    /// At this port.
    Port(u16),
}

impl fmt::Display for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Port(port) => write!(f, "{port}"),
        }
    }
}

impl FromStr for Http {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            _ => match text.parse() {
                Ok(port) if port > 0 => Ok(Self::Port(port)),
                _ => Err("it is neither off nor a port".to_string()),
            },
        }
    }
}
