//! Text from a certificate, as it may stand in a log line.

/// `text` with whatever could forge or reorder a line escaped, and cut where it is too long.
pub(super) fn printable(text: &str) -> String {
    let mut written = String::new();
    for character in text.chars() {
        if written.len() >= MAX_BYTES {
            written.push_str("...");
            break;
        }
        if character == '\\' || is_hidden(character) {
            written.extend(character.escape_default());
        } else {
            written.push(character);
        }
    }
    written
}

/// Control characters, and what changes lines or the direction of text (Unicode UAX 9 and 14) or is not seen at all.
pub(super) fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A client chooses what its certificate says when its authority lets it; lines stay lines.
const MAX_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_forges_a_line_or_turns_one_around() {
        assert_eq!(
            printable("CN=Zo\u{eb} & Co, O=caf\u{e9}"),
            "CN=Zo\u{eb} & Co, O=caf\u{e9}"
        );
        assert_eq!(printable("a\nb\r\0\u{1b}[2J"), "a\\nb\\r\\u{0}\\u{1b}[2J");
        assert_eq!(
            printable("\u{202e}nimda\u{2028}x\u{85}"),
            "\\u{202e}nimda\\u{2028}x\\u{85}"
        );
        assert_eq!(printable("a\\nb"), "a\\\\nb");
        assert!(printable(&"x".repeat(10_000)).len() < 300);
    }
}
