//! What is on a card that a machine boots from, besides the environment's own files. Not for the kinds of cards.

/// What the names of the directories begin with on a card.
pub(crate) const ON_CARD: &str = "netbe/";
/// What is written to a card besides the environment's own files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CardFiles {
    /// The text of the switch.
    pub switch: String,
    /// Files that the firmware looks for in the directory and the boot half lacks.
    pub readmes: Vec<String>,
}
