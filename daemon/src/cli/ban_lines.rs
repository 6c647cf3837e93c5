//! The lines that `ravelin ban --from-stdin` reads: `PREFIX [DURATION] [REASON]`.

use ravelin_rules::read_duration;

use crate::control::bans::NewBan;

/// What a line need not say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Defaults<'a> {
    /// `--for`.
    pub(super) lasts: Option<&'a str>,
    /// `--reason`.
    pub(super) reason: &'a str,
}

/// The ban of a line; `None` when there is none on it. Whether its prefix is one, the filter says.
pub(super) fn parse(line: &str, defaults: &Defaults<'_>) -> Result<Option<NewBan>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with(['#', ';']) {
        return Ok(None);
    }
    let (prefix, rest) = first_word(line);
    let (second, behind) = first_word(rest);
    let (lasts, reason) = match duration(second) {
        Some(lasts) => (Some(lasts), behind),
        None => (defaults.lasts.map(ToOwned::to_owned), rest),
    };
    let Some(lasts) = lasts else {
        return Err(if second.is_empty() {
            "no duration: write `PREFIX 10m`, or give one for all lines with `--for`".to_owned()
        } else {
            format!(
                "`{second}` is not a duration: write seconds, or `10m`, `6h`, or give one for all lines with `--for`"
            )
        });
    };
    let reason = if reason.is_empty() {
        defaults.reason
    } else {
        reason
    };
    Ok(Some(NewBan {
        prefix: prefix.to_owned(),
        lasts,
        reason: reason.to_owned(),
    }))
}

fn first_word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim_start())
}

/// A duration as the policy language has them, or whole seconds.
fn duration(word: &str) -> Option<String> {
    let seconds = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    let text = if seconds {
        format!("{word}s")
    } else {
        word.to_owned()
    };
    read_duration(&text).map(|_| text)
}

#[cfg(test)]
mod tests {
    use super::{Defaults, NewBan, parse};

    fn read(line: &str, lasts: Option<&str>) -> Result<Option<NewBan>, String> {
        parse(
            line,
            &Defaults {
                lasts,
                reason: "feed",
            },
        )
    }

    fn ban(prefix: &str, lasts: &str, reason: &str) -> Result<Option<NewBan>, String> {
        Ok(Some(NewBan {
            prefix: prefix.to_owned(),
            lasts: lasts.to_owned(),
            reason: reason.to_owned(),
        }))
    }

    #[test]
    fn what_a_line_does_not_say_is_taken_from_the_options() {
        assert_eq!(read("192.0.2.7", Some("1h")), ban("192.0.2.7", "1h", "feed"));
        assert_eq!(
            read("192.0.2.7 60\n", Some("1h")),
            ban("192.0.2.7", "60s", "feed")
        );
        assert_eq!(
            read("2001:db8::/64\t10m  ssh  scan\n", None),
            ban("2001:db8::/64", "10m", "ssh  scan")
        );
        assert_eq!(
            read("192.0.2.7 ssh scan", Some("1h")),
            ban("192.0.2.7", "1h", "ssh scan")
        );
    }

    #[test]
    fn comments_and_empty_lines_are_no_bans_and_a_missing_duration_is_told() {
        for line in ["", "  \n", "# a feed", "; SBL1"] {
            assert_eq!(read(line, None), Ok(None));
        }
        assert!(read("192.0.2.7", None).unwrap_err().contains("--for"));
        assert!(
            read("192.0.2.7 0", None)
                .unwrap_err()
                .contains("`0` is not a duration")
        );
    }
}
