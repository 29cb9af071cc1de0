//! Files on a card besides the environment's own. Not for the kinds of cards.

/// The prefix of the directories on a card.
pub(crate) const ON_CARD: &str = "netbe/";
/// The files that are written to a card besides the environment's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardFiles {
    /// The text of the switch.
    pub switch: String,
    /// Files that the firmware looks for in the directory and the boot half lacks.
    pub readmes: Vec<String>,
}
