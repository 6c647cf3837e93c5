//! Rule names: the metrics label, the counter's key, the word in every explanation.

use std::fmt;

/// A rule's name: 1 to 63 characters of `a-z A-Z 0-9 . _ -`, the first a letter or a digit.
///
/// The bound keeps the name a fixed-size key of the kernel's counter directory, and a metrics label that needs no escapes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleName(String);

impl RuleName {
    /// The longest name, in bytes.
    pub const MAX_LENGTH: usize = 63;

    /// Reads a name; `None` when it breaks the form above.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let letters = |c: char| c.is_ascii_alphanumeric();
        let valid = text.len() <= Self::MAX_LENGTH
            && text.chars().next().is_some_and(letters)
            && text.chars().all(|c| letters(c) || matches!(c, '.' | '_' | '-'));
        valid.then(|| Self(text.to_owned()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
