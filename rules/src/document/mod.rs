//! The TOML model: exactly what was written, with the place of every value.
//!
//! text → **`Document`** → Policy. Reports keys, types and closed words; what the texts mean (addresses, ports, rates,
//! names of other things) is not known here.

pub(crate) mod client_auth;
pub(crate) mod cursor;
pub(crate) mod edge;
pub(crate) mod firewall;
pub(crate) mod host;
pub(crate) mod limit;
pub(crate) mod limits;
pub(crate) mod listener;
mod moment;
pub(crate) mod route;
pub(crate) mod rule;
pub(crate) mod schema;
pub(crate) mod set;
pub(crate) mod tickets;
pub(crate) mod tls;
pub(crate) mod upstream;
pub(crate) mod upstream_terms;
pub(crate) mod upstream_tls;
pub(crate) mod vpc;

use toml::de::DeTable;

use cursor::Cursor;
pub(crate) use cursor::Scalar;
use edge::Edge;
use firewall::Firewall;
use host::{Host, Log, Metrics};
use limit::Flood;
use listener::Listener;
use rule::{Policy, Rule};
use schema::{Key, Kind, Table};
use set::{NeverBan, Set};
use upstream::Upstream;
use vpc::Vpc;

use crate::diagnostic::{Code, Reporter};
use crate::source::{FileId, Written};

/// Everything written in the main file and the included ones, in the order read.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(crate) include: Vec<Written<String>>,
    pub(crate) host: Option<Host>,
    pub(crate) firewall: Option<Firewall>,
    pub(crate) flood: Option<Flood>,
    pub(crate) vpcs: Vec<Vpc>,
    pub(crate) sets: Vec<Set>,
    pub(crate) policies: Vec<Policy>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) upstreams: Vec<Upstream>,
    pub(crate) edge: Option<Edge>,
    pub(crate) metrics: Option<Metrics>,
    pub(crate) log: Option<Log>,
    pub(crate) never_ban: Option<NeverBan>,
}

/// Which tables a file may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Included,
    Main,
}

impl Document {
    /// Adds what `file` holds.
    pub(crate) fn read(&mut self, file: FileId, role: Role, reporter: &mut Reporter) {
        let text = reporter.sources.text(file);
        let Some(table) = parse(&text, file, reporter) else {
            return;
        };
        let root = Cursor::open(&ROOT, &table, file.span(0..0), reporter);
        if role == Role::Main {
            self.read_main(root, reporter);
        } else {
            report_main_only(root, reporter);
        }
        let each =
            |key, reporter: &mut Reporter| root.tables(key, reporter).into_iter().flat_map(|list| list.value);
        self.vpcs
            .extend(each("vpc", reporter).map(|table| Vpc::read(table, reporter)));
        self.sets
            .extend(each("set", reporter).map(|table| Set::read(table, reporter)));
        self.policies
            .extend(each("policy", reporter).map(|table| Policy::read(table, reporter)));
        self.rules.extend(Rule::read_all("rule", root, reporter));
        self.listeners
            .extend(each("listener", reporter).map(|table| Listener::read(table, reporter)));
        self.upstreams
            .extend(each("upstream", reporter).map(|table| Upstream::read(table, reporter)));
    }

    fn read_main(&mut self, root: Cursor<'_>, reporter: &mut Reporter) {
        self.include = root
            .texts("include", reporter)
            .map_or_else(Vec::new, |include| include.value);
        let table = |key, reporter: &mut Reporter| root.table(key, reporter);
        self.host = table("host", reporter).map(|table| Host::read(table, reporter));
        self.firewall = table("firewall", reporter).map(|table| Firewall::read(table, reporter));
        self.flood = table("flood", reporter).map(|table| Flood::read(table, reporter));
        self.edge = table("edge", reporter).map(|table| Edge::read(table, reporter));
        self.metrics = table("metrics", reporter).map(|table| Metrics::read(table, reporter));
        self.never_ban = table("never_ban", reporter).map(|table| NeverBan::read(table, reporter));
        self.log = table("log", reporter).map(|table| Log::read(table, reporter));
    }
}

/// The text as a TOML tree; reports every mistake the parser finds.
fn parse<'t>(text: &'t str, file: FileId, reporter: &mut Reporter) -> Option<DeTable<'t>> {
    let (table, errors) = if text.len() <= RECOVERABLE {
        let (table, errors) = DeTable::parse_recoverable(text);
        (Some(table), errors)
    } else {
        match DeTable::parse(text) {
            Ok(table) => (Some(table), Vec::new()),
            Err(error) => (None, vec![error]),
        }
    };
    for error in &errors {
        let message = error.message();
        let help = match message {
            _ if message.contains("duplicate key") => {
                "write each key and each table once; a list of tables has double brackets, like `[[rule]]`"
            }
            _ if message.contains("must be quoted") => {
                "write a value behind the `=`, a text in double quotes: `name = \"edge-1\"`"
            }
            _ => "write `key = value` lines below a `[table]` or `[[list]]` heading, texts in double quotes",
        };
        let span = file.span(error.span().unwrap_or(0..0));
        reporter.report(Code::Syntax, span, format!("not valid TOML: {message}"), help);
    }
    table.filter(|_| errors.is_empty()).map(toml::Spanned::into_inner)
}

fn report_main_only(root: Cursor<'_>, reporter: &mut Reporter) {
    for key in MAIN_ONLY {
        if let Some(span) = root.key_span(key) {
            let message = format!("`{key}` in an included file");
            let help = "move it to the main file; included files hold VPCs, sets, policies, rules, listeners and upstreams";
            reporter.report(Code::MainFileOnly, span, message, help);
        }
    }
}

/// `table` and every table below it, each once, in the order of the reference page.
pub(crate) fn tables(table: &'static Table) -> Vec<&'static Table> {
    let mut found = vec![table];
    for below in table.keys.iter().filter_map(|key| key.kind.table()) {
        for table in tables(below) {
            if !found.iter().any(|known| std::ptr::eq(*known, table)) {
                found.push(table);
            }
        }
    }
    found
}

/// The keys that an included file must not have.
pub(crate) const MAIN_ONLY: [&str; 8] = [
    "include",
    "host",
    "firewall",
    "flood",
    "never_ban",
    "edge",
    "metrics",
    "log",
];

/// Going on after a mistake keeps every mistake in memory: a file of another kind, renamed to `.toml`, has millions.
const RECOVERABLE: usize = 1024 * 1024;

pub(crate) static ROOT: Table = Table {
    heading: "the policy",
    about: "What a policy file holds. An included file holds VPCs, sets, policies, rules, listeners and upstreams only.",
    example: "include = [\"rules.d/*.toml\"]\n\n[firewall]\ninterfaces = [\"eth0\"]\n",
    keys: &[
        Key::optional(
            "include",
            Kind::TextOrTexts,
            "none",
            "Files to read after this one, in the order of the list, those of one pattern in the order of their names. \
             Patterns (`*`, `?`, `[…]`) are relative to this file, and `*` leaves out names that start with a dot; one without such characters must name a file that \
             exists. Included files hold VPCs, sets, policies, rules, listeners and upstreams, which add up; they include \
             no files themselves. At most 1,000 files, of at most 16 MiB each.",
            "include = [\"rules.d/*.toml\"]",
        ),
        Key::optional(
            "host",
            Kind::Table(&host::HOST),
            "see there",
            "This host.",
            "[host]",
        ),
        Key::optional(
            "firewall",
            Kind::Table(&firewall::FIREWALL),
            "see there",
            "The packet filter.",
            "[firewall]",
        ),
        Key::optional(
            "flood",
            Kind::Table(&limit::FLOOD),
            "see there",
            "What limits per source cannot stop.",
            "[flood]",
        ),
        Key::optional(
            "vpc",
            Kind::Tables(&vpc::VPC),
            "none",
            "The networks of the company.",
            "[[vpc]]",
        ),
        Key::optional("set", Kind::Tables(&set::SET), "none", "Prefix lists.", "[[set]]"),
        Key::optional(
            "policy",
            Kind::Tables(&rule::POLICY),
            "none",
            "Lists of rules with a scope.",
            "[[policy]]",
        ),
        Key::optional(
            "rule",
            Kind::Tables(&rule::RULE),
            "none",
            "Rules of this host.",
            "[[rule]]",
        ),
        Key::optional(
            "listener",
            Kind::Tables(&listener::LISTENER),
            "none",
            "TLS endpoints.",
            "[[listener]]",
        ),
        Key::optional(
            "upstream",
            Kind::Tables(&upstream::UPSTREAM),
            "none",
            "Where listeners relay to.",
            "[[upstream]]",
        ),
        Key::optional(
            "edge",
            Kind::Table(&edge::EDGE),
            "see there",
            "The process that serves listeners.",
            "[edge]",
        ),
        Key::optional(
            "metrics",
            Kind::Table(&host::METRICS),
            "not served",
            "Prometheus metrics.",
            "[metrics]",
        ),
        Key::optional(
            "never_ban",
            Kind::Table(&set::NEVER_BAN),
            "nobody",
            "Addresses that no feed and no ban can cover.",
            "[never_ban]",
        ),
        Key::optional("log", Kind::Table(&host::LOG), "see there", "Logs.", "[log]"),
    ],
};
