//! Addresses with a port, and that each is listened on once.

use std::net::SocketAddr;

use crate::diagnostic::{Code, Reporter, quote};
use crate::source::{Span, Written};

/// The address; reports a text that is none.
pub(super) fn parse(text: &Written<String>, reporter: &mut Reporter) -> Option<SocketAddr> {
    let address = text.value.parse().ok();
    if address.is_none() {
        let message = format!("{} is not an address with a port", quote(&text.value));
        reporter.report(Code::BadSocketAddress, text.span, message, help(&text.value));
    }
    address
}

/// Every address listened on.
#[derive(Debug, Default)]
pub(super) struct Bound(Vec<(SocketAddr, Span)>);

impl Bound {
    /// Adds one; reports it when it is there already. Port 0 is a new port each time.
    pub(super) fn add(&mut self, address: SocketAddr, span: Span, reporter: &mut Reporter) {
        let first = self.0.iter().find(|(other, _)| *other == address);
        if let Some((_, first)) = first.filter(|_| address.port() != 0) {
            let message = format!("`{address}` is listened on twice");
            let related = [(*first, "first here")];
            let help =
                "give each listener an address or a port of its own; one listener can have many routes";
            reporter.report_with(Code::DuplicateBind, span, message, &related, help);
        } else {
            self.0.push((address, span));
        }
    }

    /// Whether no more addresses may be added.
    pub(super) fn full(&self) -> bool {
        self.0.len() >= MAX_BOUND
    }
}

fn help(text: &str) -> String {
    if let Ok(address) = text.parse() {
        // An address without a port: IPv6 needs brackets.
        return format!(
            "write the port too, for example `{}`",
            SocketAddr::new(address, 443)
        );
    }
    "write an address and a port, like `0.0.0.0:443`, `[::]:443` or `192.0.2.10:8443`".to_owned()
}

/// Every address is compared with every other, and each is a descriptor to open.
const MAX_BOUND: usize = 1_024;
