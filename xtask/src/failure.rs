//! How a command ends when it does not end well.

use std::fmt;
use std::process::ExitCode;

/// Why a command stopped.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was asked for was done, and the answer is "no": exit code 1.
    No(String),
    /// It could not be done here; the text says what is missing and how to get it: exit code 2.
    Cannot(String),
}

impl Failure {
    pub(crate) fn no(text: impl Into<String>) -> Self {
        Self::No(text.into())
    }

    pub(crate) fn cannot(text: impl Into<String>) -> Self {
        Self::Cannot(text.into())
    }

    /// The same end, with nothing left to say.
    pub(crate) fn told(self) -> Self {
        match self {
            Self::No(_) => Self::No(String::new()),
            Self::Cannot(_) => Self::Cannot(String::new()),
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::No(_) => ExitCode::from(1),
            Self::Cannot(_) => ExitCode::from(2),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::No(text) | Self::Cannot(text) => f.write_str(text),
        }
    }
}
