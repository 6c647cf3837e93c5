//! `[[vpc]]`.

use super::cursor::Cursor;
use super::schema::{Key, Kind, Table};
use crate::diagnostic::Reporter;
use crate::source::{Span, Written};

/// `[[vpc]]` as written.
#[derive(Debug)]
pub(crate) struct Vpc {
    pub(crate) span: Span,
    pub(crate) name: Option<Written<String>>,
    pub(crate) provider: Option<Written<String>>,
    pub(crate) region: Option<Written<String>>,
    pub(crate) cidrs: Option<Written<Vec<Written<String>>>>,
    pub(crate) environments: Vec<Written<String>>,
    pub(crate) peers: Vec<Written<String>>,
}

impl Vpc {
    pub(crate) fn read(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
        let mut list = |key| {
            table
                .texts(key, reporter)
                .map_or_else(Vec::new, |list| list.value)
        };
        let (environments, peers) = (list("environments"), list("peers"));
        Self {
            span: table.span,
            name: table.text("name", reporter),
            provider: table.text("provider", reporter),
            region: table.text("region", reporter),
            cidrs: table.texts("cidrs", reporter),
            environments,
            peers,
        }
    }
}

pub(crate) static VPC: Table = Table {
    heading: "[[vpc]]",
    about: "A virtual private cloud, or any network of the company: what `local-vpc` and `vpc:NAME` stand for, and what \
            may be behind an interface. Two VPCs never share an address, and an environment belongs to one VPC.",
    example: "[host]\nvpc = \"prod\"\n\n[[vpc]]\nname = \"prod\"\nprovider = \"aws\"\nregion = \"eu-west-1\"\n\
              cidrs = [\"10.20.0.0/16\", \"fd00:20::/48\"]\nenvironments = [\"production\"]\npeers = [\"shared-services\"]\n\n\
              [[vpc]]\nname = \"shared-services\"\ncidrs = [\"10.40.0.0/16\"]\n\n\
              [[rule]]\nname = \"metrics\"\naction = \"allow\"\nsource = \"vpc:shared-services\"\nprotocol = \"tcp\"\nports = 9100\n",
    keys: &[
        Key::required(
            "name",
            Kind::Text,
            "Unique among VPCs: 1 to 63 characters of `a-z A-Z 0-9 . _ -`, the first a letter or a digit.",
            "name = \"prod\"",
        ),
        Key::optional(
            "provider",
            Kind::Text,
            "none",
            "A label for people.",
            "provider = \"aws\"",
        ),
        Key::optional(
            "region",
            Kind::Text,
            "none",
            "A label for people.",
            "region = \"eu-west-1\"",
        ),
        Key::required(
            "cidrs",
            Kind::Texts,
            "Its prefixes, IPv4 and IPv6 together, at least one. No other VPC has any of their addresses.",
            "cidrs = [\"10.20.0.0/16\", \"fd00:20::/48\"]",
        ),
        Key::optional(
            "environments",
            Kind::Texts,
            "none",
            "The environments that live in it. An environment belongs to exactly one VPC.",
            "environments = [\"production\"]",
        ),
        Key::optional(
            "peers",
            Kind::Texts,
            "none",
            "VPCs whose addresses may come in where this one's do. Peering holds in both directions, whichever side names it. \
             `local-vpc` never includes peers.",
            "peers = [\"shared-services\"]",
        ),
    ],
};
