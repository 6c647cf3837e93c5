//! A PEM file, read whole or not at all.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rustls::pki_types::pem::{self, PemObject};

use super::error::ClientAuthError;

/// Every section of the kind `T` in the file.
pub(super) fn sections<T: PemObject>(path: &Path, most: u64) -> Result<Vec<T>, ClientAuthError> {
    let text = read(path, most)?;
    let malformed = |source| ClientAuthError::Pem {
        path: path.to_owned(),
        source,
    };
    if cut_in_a_marker(&text) {
        let end_marker = b"-----END".to_vec();
        return Err(malformed(pem::Error::MissingSectionEnd { end_marker }));
    }
    T::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(malformed)
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>, ClientAuthError> {
    let unreadable = |source| ClientAuthError::Read {
        path: path.to_owned(),
        source,
    };
    let mut text = Vec::new();
    File::open(path)
        .map_err(unreadable)?
        .take(most + 1)
        .read_to_end(&mut text)
        .map_err(unreadable)?;
    if text.len() as u64 > most {
        return Err(ClientAuthError::TooLarge {
            path: path.to_owned(),
            most,
        });
    }
    Ok(text)
}

/// Whether the file ends in a line that begins a section or is part of one's marker. To the parser that is a line between
/// sections: a second revocation list that is cut there would be lost without a word.
fn cut_in_a_marker(text: &[u8]) -> bool {
    let last = text.trim_ascii_end().rsplit(|byte| *byte == b'\n').next();
    last.is_some_and(|line| {
        line.starts_with(b"-") && !(line.starts_with(b"-----END ") && line.ends_with(b"-----"))
    })
}
