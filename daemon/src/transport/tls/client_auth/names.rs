//! Whom a certificate is for: what `allow` lists are compared with, and what servers are told.

use aws_lc_rs::digest::{SHA256, digest};
use ravelin_rules::policy::Identities;
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::printable::{is_hidden, printable};

/// The names in a leaf. One that holds a character nobody sees counts as no name: what reads it next may end it there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names {
    /// `None` also where there are several: whoever is told of one must not take it for another.
    pub(crate) common_name: Option<String>,
    /// Lower case.
    dns: Vec<String>,
    uri: Vec<String>,
    /// SHA-256 of the SubjectPublicKeyInfo.
    spki: [u8; 32],
    subject: String,
}

impl Names {
    /// `None` when the bytes are no certificate.
    pub(super) fn read(leaf: &CertificateDer<'_>) -> Option<Self> {
        let (_, leaf) = X509Certificate::from_der(leaf).ok()?;
        let mut names = Self {
            common_name: common_name(&leaf),
            subject: leaf.subject().to_string(),
            ..Self::default()
        };
        names
            .spki
            .copy_from_slice(digest(&SHA256, leaf.public_key().raw).as_ref());
        // Two of these extensions are an error, and then nobody is named.
        if let Ok(Some(alternatives)) = leaf.subject_alternative_name() {
            for name in &alternatives.value.general_names {
                match name {
                    GeneralName::DNSName(name) if is_clean(name) => names.dns.push(name.to_ascii_lowercase()),
                    GeneralName::URI(uri) if is_clean(uri) => names.uri.push((*uri).to_owned()),
                    _ => {}
                }
            }
        }
        Some(names)
    }

    /// Whether one of the lists names one of these; no list names everybody.
    pub(super) fn are_among(&self, allow: &Identities) -> bool {
        allow.is_empty()
            || allow
                .dns
                .iter()
                .any(|pattern| self.dns.iter().any(|name| pattern.matches(name)))
            || allow
                .uri
                .iter()
                .any(|pattern| self.uri.iter().any(|uri| pattern.matches(uri)))
            || allow.cn.iter().any(|pattern| {
                self.common_name
                    .as_ref()
                    .is_some_and(|name| pattern.matches(name))
            })
            || allow.spki.contains(&self.spki)
    }

    /// For a log line.
    pub(super) fn describe(&self) -> String {
        let alternatives = self
            .dns
            .iter()
            .map(|name| format!("dns:{name}"))
            .chain(self.uri.iter().map(|uri| format!("uri:{uri}")));
        let all: Vec<String> = std::iter::once(self.subject.clone())
            .chain(alternatives)
            .collect();
        printable(&all.join(", "))
    }
}

fn common_name(leaf: &X509Certificate<'_>) -> Option<String> {
    let mut names = leaf.subject().iter_common_name();
    let only = names.next().filter(|_| names.next().is_none())?;
    let name = only.as_str().ok()?;
    let seen = !name.is_empty() && name.len() <= MAX_COMMON_NAME && !name.chars().any(is_hidden);
    seen.then(|| name.to_owned())
}

/// DNS names and URIs are ASCII (RFC 5280 section 4.2.1.6).
fn is_clean(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())
}

/// X.520 allows 64 characters; it travels in a PROXY header, whose readers have bounds of their own.
const MAX_COMMON_NAME: usize = 256;
