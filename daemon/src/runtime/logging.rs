//! Structured logs on standard error, as text or JSON.

use std::io::{self, IsTerminal as _};

use ravelin_rules::policy::LogFormat;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use crate::transport::ACCESS_LOG;

/// Starts logging. The format is the policy's at start; it does not change with a reload.
///
/// # Errors
///
/// When `level` is not a level or a filter.
pub(super) fn start(level: &str, format: LogFormat) -> Result<(), LoggingError> {
    let filter = EnvFilter::try_new(level).map_err(|source| LoggingError {
        level: level.to_owned(),
        source,
    })?;
    // Whether there are such lines, the policy alone says.
    let filter = match format!("{ACCESS_LOG}=info").parse() {
        Ok(directive) => filter.add_directive(directive),
        Err(_) => filter,
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    // A second start in one process keeps the first.
    let _already_started = match format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.try_init(),
    };
    Ok(())
}

/// A log level that is none.
#[derive(Debug, thiserror::Error)]
#[error("`{level}` is not a log level: use off, error, warn, info, debug or trace")]
pub struct LoggingError {
    level: String,
    source: ParseError,
}
