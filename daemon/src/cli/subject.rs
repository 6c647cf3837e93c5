//! The policy that a question is about.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use ravelin_rules::{Loaded, Report};
use thiserror::Error;

use super::output::print_error;

/// Why there is no policy to ask about.
#[derive(Debug, Error)]
pub(super) enum SubjectError {
    #[error("cannot open `{}`", file.display())]
    Open { file: PathBuf, source: io::Error },
    #[error("the policy is refused; `ravelin check {}` says the same", file.display())]
    Refused { file: PathBuf },
}

/// Opens a file that a command names.
pub(super) fn open(file: &Path) -> Result<File, SubjectError> {
    File::open(file).map_err(|source| SubjectError::Open {
        file: file.to_owned(),
        source,
    })
}

/// Loads the policy; prints what is wrong with one that is refused.
pub(super) fn load(file: &Path) -> Result<Loaded, SubjectError> {
    // A file that is not there is not a policy that is refused.
    drop(open(file)?);
    ravelin_rules::load(file).map_err(|report| refused(file, &report))
}

/// Prints what is wrong with the policy.
pub(super) fn refused(file: &Path, report: &Report) -> SubjectError {
    print_error(&report.render());
    SubjectError::Refused {
        file: file.to_owned(),
    }
}
