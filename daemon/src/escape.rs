//! Text from the network on its way into a log line: whatever it holds, it stays one word of one line.
//!
//! Line separators would start a line of the peer's making, blanks and quotes a field, bidi controls would show a reader another
//! order than there is, escape sequences would speak to the terminal.

use std::fmt::{self, Display, Formatter, Write as _};

/// Bytes of a peer, shown as UTF-8 where they are.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(pub &'a [u8]);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let shown = self.0.get(..LONGEST).unwrap_or(self.0);
        for chunk in shown.utf8_chunks() {
            for c in chunk.valid().chars() {
                if is_plain(c) {
                    f.write_char(c)?;
                } else {
                    write!(f, "{}", c.escape_unicode())?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        if shown.len() < self.0.len() {
            f.write_str("...")?;
        }
        Ok(())
    }
}

/// Letters and digits of any script, and what ASCII has besides, but for what quotes, separates or escapes.
fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '=' | '\\')
}

/// Longer than any server name (253) and any protocol name (255). A line is not to be filled by one field.
const LONGEST: usize = 256;

#[cfg(test)]
mod tests {
    use super::{Escaped, LONGEST};

    #[track_caller]
    fn is(text: impl AsRef<[u8]>, shown: &str) {
        assert_eq!(Escaped(text.as_ref()).to_string(), shown);
    }

    #[test]
    fn names_stay_as_they_are() {
        is("api.example.com", "api.example.com");
        is("spiffe://acme/web@1", "spiffe://acme/web@1");
        is("bücher.example", "bücher.example");
        is("", "");
    }

    #[test]
    fn what_breaks_lines_or_fields_is_escaped() {
        is("a\nresult=completed", r"a\u{a}result\u{3d}completed");
        is("a b\t\r\0", r"a\u{20}b\u{9}\u{d}\u{0}");
        is("\u{2028}\u{2029}\u{85}", r"\u{2028}\u{2029}\u{85}");
        is("\"'\\", r"\u{22}\u{27}\u{5c}");
    }

    #[test]
    fn what_deceives_the_eye_or_the_terminal_is_escaped() {
        is("\u{202e}moc", r"\u{202e}moc");
        is("\u{2066}\u{200b}\u{feff}", r"\u{2066}\u{200b}\u{feff}");
        is("\x1b[31m", r"\u{1b}[31m");
        is("e\u{301}", r"e\u{301}");
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_bytes() {
        is([b'a', 0xff, 0xc3], r"a\xff\xc3");
    }

    #[test]
    fn nothing_is_longer_than_the_bound_allows() {
        let shown = Escaped(&[0; 100_000]).to_string();
        assert_eq!(shown, format!("{}...", r"\u{0}".repeat(LONGEST)));
    }

    #[test]
    fn no_character_whatever_comes_through_that_is_not_plain() {
        for c in '\0'..=char::MAX {
            let shown = Escaped(c.to_string().as_bytes()).to_string();
            assert!(
                shown.chars().all(|c| c.is_alphanumeric() || c.is_ascii_graphic()),
                "{c:?} is shown as {shown:?}"
            );
        }
    }
}
