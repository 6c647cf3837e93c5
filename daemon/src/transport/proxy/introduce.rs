//! The wait for the header of a trusted proxy.
//!
//! gate → **introduce** → gate. Without a sound header in time there is no client: nobody is served in the proxy's name.

use std::time::Instant;

use tokio::time::timeout_at;

use super::parse::{Ends, Origin, Unparsed, parse};
use crate::metrics::labels::ProxyResult;
use crate::transport::ahead::Ahead;

/// Whom the proxy speaks for, and how it said so; `None`: for itself. Takes the bytes of the header, no more.
///
/// # Errors
///
/// What is wrong; `None`: the proxy hung up without a byte, as checks of health do.
pub(in crate::transport) async fn introduce(
    ahead: &mut Ahead,
    deadline: Instant,
) -> Result<(Option<Ends>, ProxyResult), Option<ProxyResult>> {
    let read = timeout_at(deadline.into(), read(ahead)).await;
    read.unwrap_or(Err(Some(ProxyResult::Timeout)))
}

async fn read(ahead: &mut Ahead) -> Result<(Option<Ends>, ProxyResult), Option<ProxyResult>> {
    loop {
        let header = match parse(ahead.bytes()) {
            Ok(header) => header,
            Err(Unparsed::Incomplete(_)) => {
                if matches!(ahead.read().await, Ok(true)) {
                    continue;
                }
                let began = !ahead.bytes().is_empty();
                return Err(began.then_some(ProxyResult::Malformed));
            }
            Err(Unparsed::Missing) => return Err(Some(ProxyResult::Missing)),
            Err(Unparsed::Malformed) => return Err(Some(ProxyResult::Malformed)),
            Err(Unparsed::TooLong) => return Err(Some(ProxyResult::TooLong)),
            Err(Unparsed::BadChecksum) => return Err(Some(ProxyResult::BadChecksum)),
        };
        ahead.skip(header.length);
        return Ok(match header.origin {
            Origin::V1(ends) => (Some(ends), ProxyResult::V1),
            Origin::V2(ends) => (Some(ends), ProxyResult::V2),
            Origin::Local => (None, ProxyResult::Local),
        });
    }
}
