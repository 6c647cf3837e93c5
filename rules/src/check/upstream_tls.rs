//! `tls` of `[[upstream]]`.

use std::net::IpAddr;

use super::{server_name, tls};
use crate::diagnostic::{Code, Reporter, quote};
use crate::document::upstream_tls::UpstreamTls as WrittenTls;
use crate::policy::{CertificateFiles, SniPattern, UpstreamTls};
use crate::source::Written;

/// The table; `None` when it cannot be used, which is reported. Files are opened, not read: what is in them is the edge's business.
pub(super) fn check(written: &WrittenTls, reporter: &mut Reporter) -> Option<UpstreamTls> {
    let server_name = written
        .server_name
        .as_ref()
        .and_then(|name| peer_name(name, reporter));
    let ca = written.ca.as_ref().and_then(|path| {
        if path.value == "system" {
            let message = "`ca = \"system\"` is not supported yet";
            let help = "name a PEM file with the certificate of the authority that vouches for your servers";
            reporter.report(Code::NotSupported, path.span, message, help);
            return None;
        }
        tls::pem(path, reporter)
    });
    let certificate = certificate(written, reporter);
    let alpn = written.alpn.as_ref().map(|names| tls::alpn(names, reporter));
    Some(UpstreamTls {
        server_name: server_name?,
        ca: ca?,
        certificate,
        alpn,
    })
}

/// A whole name or an address: certificates are compared with it.
fn peer_name(written: &Written<String>, reporter: &mut Reporter) -> Option<String> {
    if let Ok(address) = written.value.parse::<IpAddr>() {
        return Some(address.to_string());
    }
    if let Some(SniPattern::Exact(name)) = server_name::parse(&written.value) {
        return Some(name);
    }
    let message = format!("{} is not the name of a server", quote(&written.value));
    let help = "write the name that the servers' certificates hold, like `app.internal`, or the address that they hold";
    reporter.report(Code::BadServerName, written.span, message, help);
    None
}

fn certificate(written: &WrittenTls, reporter: &mut Reporter) -> Option<CertificateFiles> {
    let (cert, key) = match (&written.cert, &written.key) {
        (None, None) => return None,
        (Some(cert), Some(key)) => (cert, key),
        (Some(one), None) | (None, Some(one)) => {
            let (there, absent) = if written.cert.is_some() {
                ("cert", "key")
            } else {
                ("key", "cert")
            };
            let message = format!("`{there}` without `{absent}`");
            let help = format!("add `{absent}`: a certificate is shown with its key, or not at all");
            reporter.report(Code::MissingKey, one.span, message, help);
            return None;
        }
    };
    let (cert, key) = (tls::pem(cert, reporter), tls::pem(key, reporter));
    Some(CertificateFiles {
        ocsp: None,
        cert: cert?,
        key: key?,
        place: reporter.sources.place(written.span),
    })
}
