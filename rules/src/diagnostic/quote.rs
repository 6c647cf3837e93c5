//! Outside text inside a message: bounded, and unable to move the terminal's cursor.

/// `text` in backticks, control and direction characters escaped, the middle of a long text left out.
pub(crate) fn quote(text: &str) -> String {
    let mut characters = text.chars();
    let mut shown: String = characters.by_ref().take(MAX_CHARACTERS).map(visible).collect();
    if characters.next().is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// The character, or `�` where it would change how the text around it is shown. One for one, so that columns stay right.
pub(super) fn visible(character: char) -> char {
    match character {
        '\t' => ' ',
        // Direction marks can show one address and mean another ("trojan source", CVE-2021-42574).
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => {
            '\u{fffd}'
        }
        other if other.is_control() => '\u{fffd}',
        other => other,
    }
}

/// A message stays readable when the offender is a megabyte of text.
const MAX_CHARACTERS: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_direction_marks_are_made_harmless() {
        assert_eq!(quote("a\u{1b}[2J\u{202e}b"), "`a\u{fffd}[2J\u{fffd}b`");
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(quote(&"x".repeat(200)).chars().count(), MAX_CHARACTERS + 3);
        assert!(!quote(&"x".repeat(MAX_CHARACTERS)).contains('…'));
    }
}
