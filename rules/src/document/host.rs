//! `[host]`, `[metrics]` and `[log]`.

use super::cursor::Cursor;
use super::schema::{Key, Kind, Table, Word};
use crate::diagnostic::Reporter;
use crate::source::Written;

/// `[host]` as written.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) name: Option<Written<String>>,
    pub(crate) region: Option<Written<String>>,
    pub(crate) vpc: Option<Written<String>>,
    pub(crate) environment: Option<Written<String>>,
}

impl Host {
    pub(crate) fn read(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
        Self {
            name: table.text("name", reporter),
            region: table.text("region", reporter),
            vpc: table.text("vpc", reporter),
            environment: table.text("environment", reporter),
        }
    }
}

/// `[metrics]` as written.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) bind: Option<Written<String>>,
}

impl Metrics {
    pub(crate) fn read(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
        Self {
            bind: table.text("bind", reporter),
        }
    }
}

/// `[log]` as written.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) format: Option<Written<&'static str>>,
    pub(crate) access: Option<Written<&'static str>>,
}

impl Log {
    pub(crate) fn read(table: Cursor<'_>, reporter: &mut Reporter) -> Self {
        Self {
            format: table.word("format", reporter),
            access: table.word("access", reporter),
        }
    }
}

pub(crate) static HOST: Table = Table {
    heading: "[host]",
    about: "What this host is. Main file only.",
    example: "[host]\nname = \"edge-1\"\nregion = \"eu-west-1\"\nvpc = \"prod\"\nenvironment = \"production\"\n\n\
              [[vpc]]\nname = \"prod\"\ncidrs = [\"10.20.0.0/16\"]\nenvironments = [\"production\"]\n",
    keys: &[
        Key::optional(
            "name",
            Kind::Text,
            "the host's own name",
            "The name in logs and metrics: at most 253 characters, none of them blank.",
            "name = \"edge-1\"",
        ),
        Key::optional(
            "region",
            Kind::Text,
            "none",
            "Where the host is: the rules of the scope `{ region = … }` with this word are judged here.",
            "region = \"eu-west-1\"",
        ),
        Key::optional(
            "vpc",
            Kind::Text,
            "none",
            "The VPC that the host is in: what `local-vpc` stands for. Names a `[[vpc]]`.",
            "vpc = \"prod\"",
        ),
        Key::optional(
            "environment",
            Kind::Text,
            "none",
            "The environment that the host is in, one of those of its VPC.",
            "environment = \"production\"",
        ),
    ],
};

pub(crate) static METRICS: Table = Table {
    heading: "[metrics]",
    about: "Where Prometheus metrics and health are served: `/metrics`, `/healthz`, `/readyz`. Without the table nothing \
            is served. Main file only.",
    example: "[metrics]\nbind = \"127.0.0.1:9465\"\n",
    keys: &[Key::required(
        "bind",
        Kind::Text,
        "The address and port to serve on. What is served is not secret, yet not for the internet either: bind it to \
         loopback or to a management address.",
        "bind = \"127.0.0.1:9465\"",
    )],
};

pub(crate) static LOG: Table = Table {
    heading: "[log]",
    about: "How the daemon logs. Main file only.",
    example: "[log]\nformat = \"json\"\naccess = \"failures\"\n",
    keys: &[
        Key::optional(
            "format",
            Kind::Word(&[
                Word::new("text", "for people"),
                Word::new("json", "one object a line"),
            ]),
            "text",
            "The form of a log line. A reload does not change it.",
            "format = \"json\"",
        ),
        Key::optional(
            "access",
            Kind::Word(&[
                Word::new("off", "no such line"),
                Word::new(
                    "failures",
                    "connections that did not end in order; a few lines every ten seconds for each listener, which say how many are left out",
                ),
                Word::new(
                    "all",
                    "every connection that a listener lets in, however many there are",
                ),
            ]),
            "off",
            "Which connections get a line at their end. [Access log](access-log.md) says what stands in it.",
            "access = \"all\"",
        ),
    ],
};
