//! Which Raspberry Pis can boot over the network, and what `config.txt` calls them.
//!
//! A family loads the same files; a model within one only where `config.txt` says so. Not for models
//! without a network card: they read none of it from a server.

use std::fmt;

/// A family of models, by its first one, or a model within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Model {
    Pi3,
    Pi3Plus,
    Cm3,
    Cm3Plus,
    Pi4,
    Pi400,
    Cm4,
    Cm4s,
    Pi5,
    Pi500,
    Cm5,
}

/// The families, the one most often netbooted first.
pub(super) const FAMILIES: [Model; 3] = [Model::Pi4, Model::Pi5, Model::Pi3];

impl Model {
    /// Returns the family a model is of; a family is its own.
    pub(crate) fn family(self) -> Self {
        match self {
            Self::Pi3 | Self::Pi3Plus | Self::Cm3 | Self::Cm3Plus => Self::Pi3,
            Self::Pi4 | Self::Pi400 | Self::Cm4 | Self::Cm4s => Self::Pi4,
            Self::Pi5 | Self::Pi500 | Self::Cm5 => Self::Pi5,
        }
    }

    /// Returns the models a condition of `config.txt` asks for, in small letters.
    pub(super) fn of_filter(condition: &str) -> Option<Self> {
        Some(match condition {
            "pi3" => Self::Pi3,
            "pi3+" => Self::Pi3Plus,
            "cm3" => Self::Cm3,
            "cm3+" => Self::Cm3Plus,
            "pi4" => Self::Pi4,
            "pi400" => Self::Pi400,
            "cm4" => Self::Cm4,
            "cm4s" => Self::Cm4s,
            "pi5" => Self::Pi5,
            "pi500" => Self::Pi500,
            "cm5" => Self::Cm5,
            _ => return None,
        })
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pi3 => "Raspberry Pi 3",
            Self::Pi3Plus => "Raspberry Pi 3+",
            Self::Cm3 => "Compute Module 3",
            Self::Cm3Plus => "Compute Module 3+",
            Self::Pi4 => "Raspberry Pi 4",
            Self::Pi400 => "Raspberry Pi 400",
            Self::Cm4 => "Compute Module 4",
            Self::Cm4s => "Compute Module 4S",
            Self::Pi5 => "Raspberry Pi 5",
            Self::Pi500 => "Raspberry Pi 500",
            Self::Cm5 => "Compute Module 5",
        })
    }
}
