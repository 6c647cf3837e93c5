//! `[listener.tls]`.

use std::fs::File;
use std::path::PathBuf;

use super::client_auth::{self, Asker};
use super::tickets;
use crate::diagnostic::{Code, Reporter, quote};
use crate::document::tls::{Certificate, Tls as WrittenTls};
use crate::policy::{CertificateFiles, Tls, TlsVersion};
use crate::source::Written;

/// The table with its defaults. Certificates are opened, not read: what is in them is the edge's business.
pub(super) fn check(written: &WrittenTls, asker: Option<Asker>, reporter: &mut Reporter) -> Tls {
    let mut certificates = Vec::new();
    if let Some(list) = &written.certificates {
        if list.value.is_empty() {
            let help = "add one: `certificates = [{ cert = \"api.pem\", key = \"api.key\" }]`";
            reporter.report(Code::Empty, list.span, "`certificates` is an empty list", help);
        }
        certificates.extend(list.value.iter().filter_map(|files| certificate(files, reporter)));
    }
    Tls {
        certificates,
        min_version: match written.min_version.map(|word| word.value) {
            Some("1.3") => TlsVersion::V1_3,
            _ => TlsVersion::V1_2,
        },
        alpn: alpn(&written.alpn, reporter),
        client_auth: client_auth::check(written.client_auth.as_ref(), asker, reporter),
        tickets: tickets::check(written.tickets.as_ref(), reporter),
        strict_permissions: written.strict_permissions.is_none_or(|strict| strict.value),
    }
}

fn certificate(written: &Certificate, reporter: &mut Reporter) -> Option<CertificateFiles> {
    const WITHOUT: &str = "the edge will serve the certificate without it until it is there";
    let mut file = |path: Option<&Written<String>>, form: &str, help: &str| {
        path.and_then(|path| file(path, form, help, reporter))
    };
    let cert = file(written.cert.as_ref(), "PEM", REFUSES);
    let key = file(written.key.as_ref(), "PEM", REFUSES);
    let ocsp = file(written.ocsp.as_ref(), "DER", WITHOUT);
    Some(CertificateFiles {
        cert: cert?,
        key: key?,
        ocsp,
        place: reporter.sources.place(written.span),
    })
}

/// The path of a PEM file that the edge cannot do without.
pub(super) fn pem(written: &Written<String>, reporter: &mut Reporter) -> Option<PathBuf> {
    file(written, "PEM", REFUSES, reporter)
}

/// The path of a file of that form, opened to see whether it is there; `absent` says what becomes of an edge without it.
fn file(written: &Written<String>, form: &str, absent: &str, reporter: &mut Reporter) -> Option<PathBuf> {
    if written.value.is_empty() {
        let help = format!("write the path of a {form} file, relative to this file");
        reporter.report(Code::Empty, written.span, "an empty path", help);
        return None;
    }
    let path = reporter.sources.resolve(written.span.file, &written.value);
    let opened = File::open(&path).and_then(|file| file.metadata());
    let found = match opened {
        Ok(metadata) if metadata.is_dir() => "it is a folder".to_owned(),
        Ok(_) => return Some(path),
        Err(error) => error.to_string(),
    };
    let message = format!("cannot open {}: {found}", quote(&path.display().to_string()));
    reporter.report(Code::CertificateMissing, written.span, message, absent);
    Some(path)
}

/// The names; reports those that are none.
pub(super) fn alpn(written: &[Written<String>], reporter: &mut Reporter) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in written {
        let (message, help) = if !(1..=255).contains(&name.value.len()) {
            // RFC 7301, section 3.1: a length of one byte, not zero.
            let message = format!("{} is not an ALPN protocol name", quote(&name.value));
            (message, "write a name of 1 to 255 bytes, like `h2` or `http/1.1`")
        } else if names.len() >= MAX_ALPN {
            let message = format!("more than {MAX_ALPN} ALPN protocol names");
            (message, "name the protocols that the upstreams speak")
        } else if names.contains(&name.value) {
            let message = format!("`alpn` names {} twice", quote(&name.value));
            (message, "name each protocol once, the most wanted first")
        } else {
            names.push(name.value.clone());
            continue;
        };
        reporter.report(Code::BadAlpn, name.span, message, help);
    }
    names
}

/// What becomes of an edge without a file that it must have.
const REFUSES: &str = "the edge will refuse to start without this file: put it there before, readable for the user that runs the edge";

/// The list is compared with every ClientHello.
const MAX_ALPN: usize = 32;
