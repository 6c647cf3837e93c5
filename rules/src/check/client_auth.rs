//! `[listener.tls] client_auth`, and what routes say of it.

use std::collections::HashMap;
use std::path::PathBuf;

use super::tls;
use crate::diagnostic::{Code, Reporter, quote};
use crate::document::client_auth::ClientAuth as WrittenClientAuth;
use crate::document::listener::Listener;
use crate::policy::identity::parse_fingerprint;
use crate::policy::{ClientAuth, ClientAuthMode, CrlPolicy, Identities, NamePattern, Route, UriPattern};
use crate::source::{Span, Written};

/// The word by which clients are asked for a certificate.
#[derive(Clone, Copy)]
pub(super) struct Asker {
    span: Span,
    key: &'static str,
    word: &'static str,
}

/// The mode of connections whose route says nothing of its own.
pub(super) fn mode(listener: &Listener) -> ClientAuthMode {
    let table = listener.tls.as_ref().and_then(|tls| tls.client_auth.as_ref());
    table
        .and_then(|table| table.mode)
        .map_or(ClientAuthMode::None, |word| parse(word.value))
}

/// The first word of the listener that asks, if there is one.
pub(super) fn asker(listener: &Listener) -> Option<Asker> {
    let table = listener.tls.as_ref().and_then(|tls| tls.client_auth.as_ref());
    let mode = table.and_then(|table| table.mode).map(|word| ("mode", word));
    let routes = listener.routes.iter().flat_map(|list| &list.value);
    let routes = routes.filter_map(|route| Some(("client_auth", route.client_auth?)));
    mode.into_iter()
        .chain(routes)
        .find(|(_, word)| parse(word.value) != ClientAuthMode::None)
        .map(|(key, word)| Asker {
            span: word.span,
            key,
            word: word.value,
        })
}

/// A word that the schema let through.
pub(super) fn parse(word: &str) -> ClientAuthMode {
    match word {
        "optional" => ClientAuthMode::Optional,
        "required" => ClientAuthMode::Required,
        _ => ClientAuthMode::None,
    }
}

/// Checks the table. `None` when nobody is asked, or nothing can be trusted.
pub(super) fn check(
    written: Option<&WrittenClientAuth>,
    asker: Option<Asker>,
    reporter: &mut Reporter,
) -> Option<ClientAuth> {
    let Some(written) = written else {
        if let Some(asker) = asker {
            let help = "add `client_auth = { mode = \"none\", ca = \"clients.pem\" }` to `[listener.tls]`";
            report_no_ca(asker, help, reporter);
        }
        return None;
    };
    let ca = written.ca.as_ref().and_then(|path| tls::pem(path, reporter));
    let crl = lists(written, reporter);
    let allow = allow(written, reporter);
    let Some(asker) = asker else {
        report_unused(written, reporter);
        return None;
    };
    if !written.names_a_ca {
        let help = "add `ca = \"clients.pem\"` to `client_auth`: the PEM file of the authorities that vouch for clients";
        report_no_ca(asker, help, reporter);
    }
    Some(ClientAuth {
        mode: written
            .mode
            .map_or(ClientAuthMode::None, |word| parse(word.value)),
        ca: ca?,
        crl,
        crl_policy: match written.crl_policy.map(|word| word.value) {
            Some("soft") => CrlPolicy::Soft,
            _ => CrlPolicy::Strict,
        },
        allow,
    })
}

/// Who gets past one route without a certificate can ask the same servers for what another guards: what a request inside is
/// about, its routes do not see.
pub(super) fn each_upstream_is_guarded_alike(routes: &[Route], spans: &[Span], reporter: &mut Reporter) {
    let requires = |route: &Route| route.client_auth == ClientAuthMode::Required;
    let guarded: HashMap<&str, Span> = routes
        .iter()
        .zip(spans)
        .filter(|(route, _)| requires(route))
        .map(|(route, span)| (route.upstream.as_str(), *span))
        .collect();
    for (route, span) in routes.iter().zip(spans).filter(|(route, _)| !requires(route)) {
        let Some(guard) = guarded.get(route.upstream.as_str()) else {
            continue;
        };
        let upstream = quote(&route.upstream);
        let message =
            format!("upstream {upstream} is reached without a client certificate through this route");
        let related = [(*guard, "and only with one through this route")];
        let help = "require one on both, or give the guarded servers an upstream of their own: a request can name another host than the \
                    connection did";
        reporter.report_with(Code::ClientAuthBeside, *span, message, &related, help);
    }
}

fn report_no_ca(asker: Asker, help: &str, reporter: &mut Reporter) {
    let Asker { span, key, word } = asker;
    let message = format!("`{key} = \"{word}\"` without a `ca` to trust");
    reporter.report(Code::ClientCaMissing, span, message, help);
}

fn report_unused(written: &WrittenClientAuth, reporter: &mut Reporter) {
    let lists = [
        &written.crl,
        &written.allow_dns,
        &written.allow_uri,
        &written.allow_cn,
        &written.allow_spki,
    ];
    let said = written.mode.is_some();
    if said && (written.names_a_ca || lists.into_iter().any(Option::is_some)) {
        let message = "`client_auth` names whom to let in, and no client is asked for a certificate";
        let help = "write `mode = \"required\"`, or `client_auth = \"required\"` in a route; to ask nobody, leave `client_auth` out";
        reporter.report(Code::ClientAuthUnused, written.span, message, help);
    }
}

fn lists(written: &WrittenClientAuth, reporter: &mut Reporter) -> Vec<PathBuf> {
    let Some(list) = &written.crl else {
        if let Some(policy) = &written.crl_policy {
            let message = format!("`crl_policy = \"{}\"` without `crl`", policy.value);
            let help =
                "add `crl = [\"clients.crl\"]`, or take `crl_policy` out: without a list nothing is revoked";
            reporter.report(Code::CrlPolicyWithoutCrl, policy.span, message, help);
        }
        return Vec::new();
    };
    if list.value.is_empty() {
        let help = "name the revocation lists, or take `crl` out: without one nothing is revoked";
        reporter.report(Code::Empty, list.span, "`crl` is an empty list", help);
    }
    if list.value.len() > MAX_LISTS {
        let message = format!("more than {MAX_LISTS} revocation lists");
        let help = "put several lists into one PEM file";
        reporter.report(Code::TooLarge, list.span, message, help);
        return Vec::new();
    }
    list.value
        .iter()
        .filter_map(|path| tls::pem(path, reporter))
        .collect()
}

fn allow(written: &WrittenClientAuth, reporter: &mut Reporter) -> Identities {
    let lists = [
        ("allow_dns", &written.allow_dns),
        ("allow_uri", &written.allow_uri),
        ("allow_cn", &written.allow_cn),
        ("allow_spki", &written.allow_spki),
    ];
    let there = || lists.iter().filter_map(|(key, list)| Some((key, list.as_ref()?)));
    if there().all(|(_, list)| list.value.is_empty())
        && let Some((key, list)) = there().next()
    {
        // Whoever writes an empty list may well mean that nobody is let in; without a list everybody is.
        let message = format!("`{key}` is an empty list, and no other list names anybody");
        let help = "name whom to let in, or take it out to let in whoever `ca` vouches for";
        reporter.report(Code::Empty, list.span, message, help);
    }
    let [dns, uri, cn, spki] = lists;
    Identities {
        dns: each(dns, dns_pattern, DNS_HELP, reporter),
        uri: each(uri, UriPattern::parse, URI_HELP, reporter),
        cn: each(cn, NamePattern::parse, CN_HELP, reporter),
        spki: each(spki, parse_fingerprint, SPKI_HELP, reporter),
    }
}

fn each<T>(
    (key, list): (&str, &Option<Written<Vec<Written<String>>>>),
    parse: impl Fn(&str) -> Option<T>,
    help: &str,
    reporter: &mut Reporter,
) -> Vec<T> {
    let Some(list) = list else {
        return Vec::new();
    };
    if list.value.len() > MAX_ALLOWED {
        let message = format!("more than {MAX_ALLOWED} entries in `{key}`");
        let help = "use wildcards, or an authority of its own for these clients";
        reporter.report(Code::TooLarge, list.span, message, help);
        return Vec::new();
    }
    let mut parsed = Vec::new();
    for text in &list.value {
        match parse(&text.value) {
            Some(value) => parsed.push(value),
            None => {
                let message = format!("{} cannot stand in `{key}`", quote(&text.value));
                reporter.report(Code::BadIdentity, text.span, message, help);
            }
        }
    }
    parsed
}

/// Names are compared in lower case.
fn dns_pattern(text: &str) -> Option<NamePattern> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.*".contains(&byte);
    let whole = text.split('.').all(|label| !label.is_empty()) && text.bytes().all(fits);
    NamePattern::parse(&text.to_ascii_lowercase()).filter(|_| whole)
}

const DNS_HELP: &str =
    "write a DNS name; `*` stands for a label or a part of one, once in each: `*.clients.example.com`";

const URI_HELP: &str = "write a URI; `*` stands for a whole segment of the path, `/**` at the end for the rest: `spiffe://acme/billing/*`";

const CN_HELP: &str =
    "write the common name; `*` stands for a run without a dot, once between two dots: `billing-*`";

const SPKI_HELP: &str = "write `sha256/` and 44 characters of base64, or `sha256:` and 64 hexadecimal digits: the SHA-256 of the public key";

/// Every certificate is compared with every entry.
const MAX_ALLOWED: usize = 1_000;

/// Each is a file that is opened, watched and read.
const MAX_LISTS: usize = 100;
