//! TCP flag conditions: `"syn,!ack"`.

use super::protocol::{Selected, TCP};
use crate::diagnostic::{Code, Reporter, closest, list, quote};
use crate::policy::TcpFlags;
use crate::source::Written;

/// The flags, if there are any. Reports what is no flag, and a rule whose protocol has none.
pub(super) fn check(
    written: Option<&Written<String>>,
    protocol: &Selected,
    reporter: &mut Reporter,
) -> Option<TcpFlags> {
    let written = written?;
    if !protocol.is(TCP) && !protocol.faulty {
        let message = "`tcp_flags` needs `protocol` to be exactly `tcp`";
        let help = "write `protocol = \"tcp\"`, or take `tcp_flags` out";
        reporter.report(Code::FlagsWithoutTcp, written.span, message, help);
    }
    if written.value.trim().is_empty() {
        let help = "leave `tcp_flags` out, or write flags like `syn,!ack`";
        reporter.report(Code::Empty, written.span, "`tcp_flags` is empty", help);
        return None;
    }
    match parse(&written.value) {
        Ok(flags) => Some(flags),
        Err(error) => {
            let (code, message, help) = error.explain();
            reporter.report(code, written.span, message, help);
            None
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum FlagError<'t> {
    Contradiction(&'t str),
    Twice(&'t str),
    Unknown(&'t str),
}

fn parse(text: &str) -> Result<TcpFlags, FlagError<'_>> {
    let mut flags = TcpFlags { set: 0, clear: 0 };
    for word in text.split(',').map(str::trim) {
        let (name, negated) = word.strip_prefix('!').map_or((word, false), |name| (name, true));
        let known = FLAGS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let (_, bit) = known.ok_or(FlagError::Unknown(name))?;
        let (same, other) = if negated {
            (&mut flags.clear, flags.set)
        } else {
            (&mut flags.set, flags.clear)
        };
        if other & bit != 0 {
            return Err(FlagError::Contradiction(name));
        }
        if *same & bit != 0 {
            return Err(FlagError::Twice(name));
        }
        *same |= bit;
    }
    Ok(flags)
}

impl FlagError<'_> {
    fn explain(&self) -> (Code, String, String) {
        let names = || FLAGS.iter().map(|(name, _)| *name);
        match self {
            Self::Contradiction(name) => (
                Code::TcpFlagTwice,
                format!("flag {} cannot be set and clear", quote(name)),
                format!(
                    "write {} to want it set, or {} to want it clear",
                    quote(name),
                    quote(&format!("!{name}"))
                ),
            ),
            Self::Twice(name) => (
                Code::TcpFlagTwice,
                format!("flag {} is named twice", quote(name)),
                "name each flag once".to_owned(),
            ),
            Self::Unknown(name) => (
                Code::BadTcpFlag,
                format!("{} is not a TCP flag", quote(name)),
                match closest(name, names()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!(
                        "write flags with commas between them, like `syn,!ack`; the flags are {}",
                        list(names())
                    ),
                },
            ),
        }
    }
}

/// Names and bits of RFC 9293.
pub(crate) const FLAGS: [(&str, u8); 8] = [
    ("fin", 1),
    ("syn", 2),
    ("rst", 4),
    ("psh", 8),
    ("ack", 16),
    ("urg", 32),
    ("ece", 64),
    ("cwr", 128),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_with_and_without_a_negation() {
        assert_eq!(parse("syn,!ack"), Ok(TcpFlags { set: 2, clear: 16 }));
        assert_eq!(parse(" SYN , !ack, !rst "), Ok(TcpFlags { set: 2, clear: 20 }));
        assert_eq!(parse("!cwr"), Ok(TcpFlags { set: 0, clear: 128 }));
    }

    #[test]
    fn unknown_repeated_and_contradictory_flags_are_refused() {
        assert_eq!(parse("syn,"), Err(FlagError::Unknown("")));
        assert_eq!(parse("syn ack"), Err(FlagError::Unknown("syn ack")));
        assert_eq!(parse("!!ack"), Err(FlagError::Unknown("!ack")));
        assert_eq!(parse("syn,syn"), Err(FlagError::Twice("syn")));
        assert_eq!(parse("syn,!syn"), Err(FlagError::Contradiction("syn")));
    }
}
