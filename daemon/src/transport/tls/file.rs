//! A file of the operator's, read whole or not at all, and the sections of PEM in it.
//!
//! policy → **file** → certificate, staple, authorities, client_auth.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::{self, PemObject};

/// A file that was read to its end.
#[derive(Debug)]
pub(super) struct Whole<'a> {
    path: &'a Path,
    pub(super) bytes: Vec<u8>,
    /// What was known of it when it was opened.
    pub(super) metadata: Metadata,
}

impl<'a> Whole<'a> {
    /// Reads a file of `most` bytes at most.
    pub(super) fn read(path: &'a Path, most: u64) -> Result<Self, FileError> {
        let unreadable = |source| FileError::Read {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        let mut bytes = Vec::new();
        file.take(most + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > most {
            return Err(FileError::TooLarge {
                path: path.to_owned(),
                most,
            });
        }
        Ok(Self {
            path,
            bytes,
            metadata,
        })
    }

    /// Every section of the kind `T`.
    pub(super) fn sections<T: PemObject>(&self) -> Result<Vec<T>, FileError> {
        sections(&self.bytes).map_err(|source| FileError::Pem {
            path: self.path.to_owned(),
            source,
        })
    }
}

fn sections<T: PemObject>(text: &[u8]) -> Result<Vec<T>, pem::Error> {
    if cut_in_a_marker(text) {
        let end_marker = b"-----END".to_vec();
        return Err(pem::Error::MissingSectionEnd { end_marker });
    }
    T::pem_slice_iter(text).collect()
}

/// Whether the file ends in a line that begins a section or is part of one's marker. To the parser that is a line between
/// sections: a second revocation list that is cut there would be lost without a word.
fn cut_in_a_marker(text: &[u8]) -> bool {
    let last = text.trim_ascii_end().rsplit(|byte| *byte == b'\n').next();
    last.is_some_and(|line| {
        line.starts_with(b"-") && !(line.starts_with(b"-----END ") && line.ends_with(b"-----"))
    })
}

/// Why there is nothing of a file. The operator's file is at fault.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Not PEM, or cut off.
    #[error("`{}` is not a whole PEM file", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// The file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No file of this kind is this long.
    #[error("`{}` is larger than {most} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The bound.
        most: u64,
    },
}

/// For certificates and keys: a chain is some kilobytes, the largest public bundles of authorities are a quarter of this. A path that
/// leads to a device or a log must not be read into memory.
pub(super) const MAX_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;

    use super::*;

    const FIRST: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    const SECOND: &str = "-----BEGIN CERTIFICATE-----\nMAEA\n-----END CERTIFICATE-----";

    #[test]
    fn wherever_the_last_section_is_cut_it_is_seen() {
        let whole = format!("{FIRST}{SECOND}");
        let count = |text: &str| sections::<CertificateDer<'_>>(text.as_bytes()).map(|found| found.len());
        assert_eq!(count(FIRST).ok(), Some(1));
        assert_eq!(count(&whole).ok(), Some(2));
        assert_eq!(count(&format!("{whole}\r\n\n")).ok(), Some(2));
        for end in FIRST.len() + 1..whole.len() {
            assert!(count(&whole[..end]).is_err(), "{:?}", &whole[..end]);
        }
    }

    #[test]
    fn a_file_is_read_up_to_its_bound() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, "12345").expect("write");
        assert_eq!(Whole::read(&path, 5).expect("it fits").bytes, b"12345");
        let larger = Whole::read(&path, 4);
        assert!(
            matches!(larger, Err(FileError::TooLarge { most: 4, .. })),
            "{larger:?}"
        );
        let endless = Whole::read(Path::new("/dev/zero"), MAX_BYTES);
        assert!(matches!(endless, Err(FileError::TooLarge { .. })));
    }
}
