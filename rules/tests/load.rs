//! What an accepted policy means: every written value arrives in the policy, and every absent one as its default.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use ravelin_datapath::{ClassVerdict, ParseClass, Verdict};
use ravelin_rules::policy::{
    Action, Balance, DelayQueue, IcmpMatch, LogFormat, Mode, OutboundHook, OverLimit, PortRange, Protocols,
    ProxyHeader, Scope, SniPattern, SniPolicy, SourceBan, TcpFlags, TlsVersion, XdpMode,
};
use ravelin_rules::{Code, Loaded, Policy, load};
use tempfile::TempDir;

#[test]
fn rules_stand_in_the_order_of_scope_then_priority_then_file() {
    let rule = |name: &str, more: &str| format!("[[rule]]\nname = \"{name}\"\naction = \"deny\"\n{more}\n");
    let nested = |text: String| text.replace("[[rule]]", "[[policy.rule]]");
    let policy = policy(&[
        &rule("written-first", ""),
        &rule("host-20", "priority = 20"),
        &rule("host-10", "priority = 10"),
        &rule("left-out", "priority = 1\nenabled = false"),
        "[[policy]]\nname = \"team\"\nscope = \"host\"\n",
        &nested(rule("team-15", "priority = 15")),
        &nested(rule("team-file-order", "")),
        "[[policy]]\nname = \"company\"\nscope = \"global\"\n",
        &nested(rule("global-file-order", "")),
        &nested(rule("global-4294967295", "priority = 4294967295")),
    ]);
    let names: Vec<&str> = policy.rules.iter().map(|rule| rule.name.as_str()).collect();
    let expected = [
        "global-4294967295",
        "global-file-order",
        "host-10",
        "team-15",
        "host-20",
        "written-first",
        "team-file-order",
    ];
    assert_eq!(names, expected);
    assert_eq!(policy.rules[0].scope, Scope::Global);
    assert_eq!(policy.rules[2].scope, Scope::Host);
}

#[test]
fn every_condition_of_a_rule_arrives() {
    let policy = policy(&[r#"
        [[rule]]
        name = "tcp"
        action = "allow"
        source = ["192.0.2.0/24", "2001:db8::1"]
        destination = "198.51.100.1"
        protocol = "tcp"
        ports = [443, "8000-8100", "22"]
        source_ports = "1024-65535"
        tcp_flags = "syn,!ack"
        comment = "all of it"

        [[rule]]
        name = "ping"
        action = "deny"
        protocol = 1
        icmp = [8, "3/4", "time-exceeded"]

        [[rule]]
        name = "many"
        action = "deny"
        protocol = ["udp", 6, "tcp", 255]
    "#]);
    let [tcp, ping, many] = policy.rules.as_slice() else {
        panic!("three rules")
    };
    let port = |first, last| PortRange { first, last };
    assert_eq!(tcp.action, Action::Allow);
    assert_eq!(tcp.protocols, Protocols::Only(vec![6]));
    assert_eq!(tcp.ports, [port(443, 443), port(8000, 8100), port(22, 22)]);
    assert_eq!(tcp.source_ports, [port(1024, 65535)]);
    assert_eq!(tcp.tcp_flags, Some(TcpFlags { set: 2, clear: 16 }));
    assert_eq!(tcp.comment.as_deref(), Some("all of it"));
    assert_eq!((tcp.place.line, tcp.place.column), (3, 9));
    for (address, inside) in [
        ("192.0.2.255", true),
        ("192.0.3.0", false),
        ("2001:db8::1", true),
        ("2001:db8::2", false),
    ] {
        assert_eq!(
            tcp.source.contains(address.parse().unwrap(), &[], 0),
            inside,
            "{address}"
        );
    }
    assert!(ping.source.is_anywhere());
    let message = |kind, code| IcmpMatch { kind, code };
    assert_eq!(
        ping.icmp,
        [message(8, None), message(3, Some(4)), message(11, None)]
    );
    assert_eq!(many.protocols, Protocols::Only(vec![6, 17, 255]));
    assert!(many.ports.is_empty() && many.tcp_flags.is_none());
}

#[test]
fn a_service_brings_its_protocols_and_ports() {
    let policy = policy(&[r#"
        rule = [
            { name = "dns", action = "allow", protocol = "dns" },
            { name = "web", action = "allow", protocol = ["http", "https", "http"] },
            { name = "any", action = "allow", protocol = "any", ports = 53 },
        ]
    "#]);
    let [dns, web, any] = policy.rules.as_slice() else {
        panic!("three rules")
    };
    assert_eq!(dns.protocols, Protocols::Only(vec![6, 17]));
    assert_eq!(dns.ports, [PortRange { first: 53, last: 53 }]);
    assert_eq!(web.protocols, Protocols::Only(vec![6]));
    assert_eq!(
        web.ports,
        [
            PortRange { first: 80, last: 80 },
            PortRange {
                first: 443,
                last: 443
            }
        ]
    );
    assert_eq!(any.protocols, Protocols::Any);
}

#[test]
fn a_mapped_address_is_an_ipv6_address() {
    let policy = policy(&["[[rule]]\nname = \"m\"\naction = \"deny\"\nsource = \"::ffff:192.0.2.1\"\n"]);
    let source = &policy.rules[0].source;
    assert!(source.contains("::ffff:192.0.2.1".parse().unwrap(), &[], 0));
    assert!(!source.contains("192.0.2.1".parse().unwrap(), &[], 0));
}

#[test]
fn rules_that_use_the_same_sets_share_their_prefixes() {
    let policy = policy(&[r#"
        set = [{ name = "a", entries = ["192.0.2.0/24"] }, { name = "b", entries = ["2001:db8::/32"] }]
        rule = [
            { name = "1", action = "deny", source = "@a" },
            { name = "2", action = "deny", source = ["@a"] },
            { name = "3", action = "deny", source = ["@a", "@b", "@a"] },
            { name = "4", action = "deny", source = ["@a", "@b"] },
            { name = "5", action = "deny", source = ["@a", "198.51.100.1"] },
        ]
    "#]);
    let prefixes: Vec<_> = policy
        .rules
        .iter()
        .map(|rule| rule.source.include.as_ref().expect("a set is not anywhere"))
        .collect();
    let shared =
        |one: usize, other: usize| std::ptr::eq(prefixes[one].elements(), prefixes[other].elements());
    assert!(shared(0, 1) && shared(2, 3) && !shared(0, 2));
    assert_eq!(prefixes[2].elements().len(), 2);
    assert_eq!(prefixes[4].elements().len(), 2);
}

#[test]
fn set_files_are_read_in_every_form_and_remember_their_lines() {
    let folder = folder(&[
        (
            "ravelin.toml",
            "[firewall]\nstateful = false\n[[set]]\nname = \"s\"\nentries = [\"192.0.2.1\"]\nfiles = [\"lists/a.txt\"]\n[[rule]]\nname = \"r\"\naction = \"deny\"\nsource = \"@s\"\n",
        ),
        (
            "lists/a.txt",
            "\u{feff}; Spamhaus\r\n198.51.100.0/24 ; SBL1\r\n\r\n  2001:db8::/32\t# FireHOL\n203.0.113.9",
        ),
    ]);
    let loaded = load(&folder.path().join("ravelin.toml")).unwrap();
    let prefixes = loaded.policy.rules[0].source.include.as_ref().expect("a set");
    let found: Vec<(String, String)> = prefixes
        .elements()
        .iter()
        .map(|element| {
            let origin = element.origin.to_string();
            let origin = origin.rsplit('/').next().unwrap();
            (element.prefix.to_string(), origin.to_owned())
        })
        .collect();
    let expected = [
        ("192.0.2.1/32", "ravelin.toml:5 (@s)"),
        ("198.51.100.0/24", "a.txt:2 (@s)"),
        ("2001:db8::/32", "a.txt:4 (@s)"),
        ("203.0.113.9/32", "a.txt:5 (@s)"),
    ];
    assert_eq!(
        found,
        expected.map(|(prefix, origin)| (prefix.to_owned(), origin.to_owned()))
    );
    assert_eq!(names(&folder, &loaded), ["ravelin.toml", "lists/a.txt"]);
    assert_eq!(loaded.sets, 1);
}

#[test]
fn included_files_add_up_in_the_order_of_their_names() {
    let rule = |name: &str| format!("[[rule]]\nname = \"{name}\"\naction = \"deny\"\n");
    let main =
        "include = [\"b.toml\", \"*.toml\", \"rules.d/*.toml\"]\n[firewall]\nstateful = false\n".to_owned();
    let files = [
        ("main.toml", main + &rule("main")),
        ("a.toml", rule("a")),
        ("b.toml", rule("b")),
        (".hidden.toml", rule("hidden")),
        ("rules.d/2.toml", rule("two")),
        ("rules.d/10.toml", rule("ten")),
        ("rules.d/notes.txt", "not a policy".to_owned()),
    ];
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let folder = folder(&files);
    let loaded = load(&folder.path().join("main.toml")).unwrap();
    let rules: Vec<&str> = loaded
        .policy
        .rules
        .iter()
        .map(|rule| rule.name.as_str())
        .collect();
    assert_eq!(rules, ["main", "b", "a", "ten", "two"]);
    let expected = [
        "main.toml",
        "b.toml",
        "a.toml",
        "rules.d/10.toml",
        "rules.d/2.toml",
    ];
    assert_eq!(names(&folder, &loaded), expected);
}

#[test]
fn a_pattern_that_matches_nothing_includes_nothing() {
    let folder = folder(&[("main.toml", "include = \"rules.d/*.toml\"\n")]);
    assert!(load(&folder.path().join("main.toml")).is_ok());
}

#[test]
fn more_files_than_a_pattern_should_match_are_refused() {
    let folder = folder(&[("main.toml", "include = \"many/*\"\n")]);
    fs::create_dir(folder.path().join("many")).unwrap();
    for number in 0..1_001 {
        fs::write(folder.path().join(format!("many/{number}")), "").unwrap();
    }
    let report = load(&folder.path().join("main.toml")).unwrap_err();
    assert_eq!(report.diagnostics()[0].code, Code::TooLarge);
}

#[test]
fn an_empty_policy_has_the_defaults() {
    let folder = folder(&[("main.toml", "")]);
    let policy = load(&folder.path().join("main.toml")).unwrap().policy;
    assert!(policy.rules.is_empty() && policy.listeners.is_empty() && policy.upstreams.is_empty());
    assert!(policy.firewall.interfaces.is_empty() && policy.firewall.essentials);
    assert_eq!(policy.firewall.inbound, Verdict::Deny);
    assert_eq!(
        (policy.firewall.mode, policy.firewall.xdp_mode),
        (Mode::Enforce, XdpMode::Auto)
    );
    assert_eq!(policy.firewall.outbound_hook, OutboundHook::Auto);
    assert_eq!((policy.metrics, policy.log), (None, LogFormat::Text));
    assert!(!policy.host.name.is_empty());
    for class in ParseClass::ALL {
        assert_eq!(policy.firewall.classes.of(*class), class.default_verdict());
    }
}

#[test]
fn every_word_of_the_firewall_arrives() {
    let policy = loaded(
        r#"
        [host]
        name = "edge-7"
        [firewall]
        interfaces = ["eth0", { name = "lo" }]
        xdp_mode = "native"
        outbound_hook = "clsact"
        inbound = "allow"
        stateful = false
        essentials = false
        mode = "observe"
        classes = { land = "judge", truncated = "allow", vlan = "deny" }
        [metrics]
        bind = "[::1]:0"
        [log]
        format = "json"
        "#,
    )
    .policy;
    let firewall = &policy.firewall;
    assert_eq!(policy.host.name, "edge-7");
    let names: Vec<_> = firewall
        .interfaces
        .iter()
        .map(|interface| interface.name.as_str())
        .collect();
    assert_eq!(names, ["eth0", "lo"]);
    assert_eq!(
        (firewall.xdp_mode, firewall.mode),
        (XdpMode::Native, Mode::Observe)
    );
    assert_eq!(firewall.outbound_hook, OutboundHook::Clsact);
    assert_eq!((firewall.inbound, firewall.essentials), (Verdict::Allow, false));
    assert_eq!(firewall.classes.of(ParseClass::Land), ClassVerdict::Judge);
    assert_eq!(firewall.classes.of(ParseClass::Truncated), ClassVerdict::Allow);
    assert_eq!(firewall.classes.of(ParseClass::Vlan), ClassVerdict::Deny);
    assert_eq!(firewall.classes.of(ParseClass::Qinq), ClassVerdict::Judge);
    assert_eq!(policy.metrics, Some("[::1]:0".parse().unwrap()));
    assert_eq!(policy.log, LogFormat::Json);
}

#[test]
fn a_listener_without_limits_has_the_defaults() {
    let policy = loaded(&listener("")).policy;
    let [listener] = policy.listeners.as_slice() else {
        panic!("one listener")
    };
    let limits = &listener.limits;
    assert!(listener.allow.is_anywhere());
    assert!(!listener.deny.contains("192.0.2.1".parse().unwrap(), &[], 0));
    assert_eq!(listener.sni_policy, SniPolicy::Strict);
    assert_eq!(listener.tls.min_version, TlsVersion::V1_2);
    assert!(listener.tls.alpn.is_empty() && limits.connections.is_none());
    assert_eq!(limits.handshake_timeout, Duration::from_secs(10));
    assert_eq!(limits.idle_timeout, Duration::from_secs(3_600));
    assert_eq!(
        (limits.concurrent.per_source, limits.concurrent.total),
        (None, 20_000)
    );
    assert_eq!(limits.max_sources, 100_000);
    assert_eq!(limits.ban, None);
    let upstream = policy.upstream("app").unwrap();
    assert_eq!(upstream.connect_timeout, Duration::from_secs(3));
    assert_eq!(
        (upstream.balance, upstream.proxy_protocol),
        (Balance::RoundRobin, ProxyHeader::Off)
    );
}

#[test]
fn trusted_proxies_and_passthrough_arrive() {
    let text = include_str!("policies/good/behind-proxies.toml");
    let policy = loaded(&text.replace("files/", "")).policy;
    let [web, through] = policy.listeners.as_slice() else {
        panic!("two listeners")
    };
    let trusted = web.trusted_proxies.as_ref().unwrap();
    for (address, expected) in [
        ("10.20.0.7", true),
        ("2001:db8:20::1", true),
        ("192.0.2.10", true),
        ("192.0.2.11", false),
    ] {
        assert_eq!(
            trusted.contains(address.parse().unwrap(), &[], 0),
            expected,
            "{address}"
        );
    }
    assert_eq!(web.limits.proxy_timeout, Duration::from_secs(1));
    let passed = |routes: &[ravelin_rules::policy::Route]| -> Vec<bool> {
        routes.iter().map(|route| route.passthrough).collect()
    };
    assert_eq!(passed(&web.routes), [true, false]);
    assert_eq!(passed(&through.routes), [true]);
    assert!(through.trusted_proxies.is_none() && through.tls.certificates.is_empty());
    assert_eq!(through.limits.proxy_timeout, Duration::from_secs(3));
}

#[test]
fn every_limit_of_a_listener_arrives() {
    let policy = loaded(&listener(
        r#"
        deny = ["192.0.2.0/24"]
        sni_policy = "default"
        [listener.limits]
        handshake_timeout = "500ms"
        idle_timeout = "7d"
        connections = { rate = "3k/m", over = "delay" }
        delay = { max = "5s", queue = 7 }
        concurrent = { per_source = 9, total = 10 }
        max_sources = 11
        ban = { offences = 12, window = "13s", for = "7d" }
        "#,
    ))
    .policy;
    let listener = &policy.listeners[0];
    let connections = listener.limits.connections.as_ref().unwrap();
    assert!(listener.deny.contains("192.0.2.1".parse().unwrap(), &[], 0));
    assert_eq!(listener.sni_policy, SniPolicy::Default);
    assert_eq!(listener.limits.handshake_timeout, Duration::from_millis(500));
    assert_eq!(listener.limits.idle_timeout, Duration::from_secs(7 * 86_400));
    assert_eq!(
        (connections.per_source.rate.count, connections.per_source.rate.per),
        (3_000, Duration::from_secs(60))
    );
    assert_eq!(connections.per_source.burst, 3_000, "the number of the rate");
    let delay = DelayQueue {
        max: Duration::from_secs(5),
        queue: 7,
    };
    assert_eq!(connections.over, OverLimit::Delay(delay));
    assert_eq!(
        (
            listener.limits.concurrent.per_source,
            listener.limits.concurrent.total
        ),
        (Some(9), 10)
    );
    assert_eq!(listener.limits.max_sources, 11);
    let ban = SourceBan {
        offences: 12,
        window: Duration::from_secs(13),
        lasts: SourceBan::LONGEST,
    };
    assert_eq!(listener.limits.ban, Some(ban));
}

#[test]
fn certificates_and_routes_are_resolved() {
    let loaded = loaded(&listener(""));
    let listener = &loaded.policy.listeners[0];
    let patterns: Vec<&SniPattern> = listener.routes.iter().map(|route| &route.sni).collect();
    let expected = [
        &SniPattern::Exact("api.example.com".to_owned()),
        &SniPattern::Wildcard("example.com".to_owned()),
        &SniPattern::Any,
    ];
    assert_eq!(patterns, expected);
    let cert = &listener.tls.certificates[0].cert;
    assert!(
        cert.is_absolute() && cert.ends_with("tls/api.pem"),
        "{}",
        cert.display()
    );
    let missing: Vec<Code> = loaded
        .warnings
        .diagnostics()
        .iter()
        .map(|warning| warning.code)
        .collect();
    assert_eq!(missing, [Code::CertificateMissing, Code::CertificateMissing]);
}

/// A policy of one listener and its upstream; `more` goes on in the listener's table.
fn listener(more: &str) -> String {
    format!(
        r#"
        [[listener]]
        name = "api"
        bind = ["127.0.0.1:0", "127.0.0.1:0"]
        routes = [
            {{ sni = "API.example.com", upstream = "app" }},
            {{ sni = "*.example.com", upstream = "app" }},
            {{ upstream = "app" }},
        ]
        tls = {{ certificates = [{{ cert = "tls/api.pem", key = "tls/api.key" }}] }}
        {more}
        [[upstream]]
        name = "app"
        servers = ["127.0.0.1:8080", "[::1]:8080"]
        "#
    )
}

#[track_caller]
fn policy(parts: &[&str]) -> Policy {
    // Keys of the root table come before the first heading.
    loaded(&format!(
        "firewall = {{ stateful = false }}\n{}",
        parts.join("\n")
    ))
    .policy
}

#[track_caller]
fn loaded(text: &str) -> Loaded {
    let folder = folder(&[("ravelin.toml", text)]);
    match load(&folder.path().join("ravelin.toml")) {
        Ok(loaded) => loaded,
        Err(report) => panic!("{}", report.render()),
    }
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// The files of the policy, below the folder.
fn names(folder: &TempDir, loaded: &Loaded) -> Vec<String> {
    let below = |path: &Path| path.strip_prefix(folder.path()).unwrap().display().to_string();
    loaded.policy.files.iter().map(|path| below(path)).collect()
}
