//! Port conditions: `443`, `"8000-8100"`.

use crate::diagnostic::{Code, Reporter, quote};
use crate::document::Scalar;
use crate::policy::PortRange;
use crate::source::{Span, Written};

/// The ports of the list, in the order written. Reports what is no port.
pub(super) fn check(list: &Written<Vec<Written<Scalar>>>, reporter: &mut Reporter) -> Vec<PortRange> {
    if list.value.len() > MAX_RANGES {
        let message = format!("more than {MAX_RANGES} ports and ranges in one list");
        let help = "join neighbours to ranges like `8000-8100`";
        reporter.report(Code::TooLarge, list.span, message, help);
        return Vec::new();
    }
    list.value
        .iter()
        .filter_map(|port| range(port, reporter))
        .collect()
}

fn range(written: &Written<Scalar>, reporter: &mut Reporter) -> Option<PortRange> {
    let text = match &written.value {
        Scalar::Integer(number) => {
            let port = u16::try_from(*number).ok();
            if port.is_none() {
                report_bad(&number.to_string(), written.span, reporter);
            }
            return port.map(|port| PortRange {
                first: port,
                last: port,
            });
        }
        Scalar::Text(text) => text,
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (Some(first), Some(last)) = (port(first), port(last)) else {
        report_bad(text, written.span, reporter);
        return None;
    };
    if first > last {
        let message = format!("port range {} is empty", quote(text));
        let help = format!("write the smaller port first: `{last}-{first}`");
        reporter.report(Code::EmptyPortRange, written.span, message, help);
        return None;
    }
    Some(PortRange { first, last })
}

fn port(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn report_bad(text: &str, span: Span, reporter: &mut Reporter) {
    let message = format!("{} is not a port or a port range", quote(text));
    let help = match super::service::find(text) {
        Some(service) => format!("write `protocol = \"{}\"` without `ports`", service.name),
        None => "write a number from 0 to 65535, or a range like `\"8000-8100\"`".to_owned(),
    };
    reporter.report(Code::BadPort, span, message, help);
}

/// There are no more ports than this.
const MAX_RANGES: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digits_that_fit_are_a_port() {
        assert_eq!(port("0"), Some(0));
        assert_eq!(port("65535"), Some(65_535));
        for text in ["", "65536", "+1", "-1", " 1", "1 ", "0x50", "http", "99999999999"] {
            assert_eq!(port(text), None, "{text}");
        }
    }
}
