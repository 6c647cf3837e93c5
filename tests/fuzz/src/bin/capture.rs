//! The reader of captures, and the judgement of what it reads.

#![no_main]

use std::cell::LazyCell;

use libfuzzer_sys::fuzz_target;
use ravelin_fuzz::{Allowance, within};
use ravelin_rules::explain::Way;
use ravelin_rules::replay::{Judge, replay};
use ravelin_rules::{Direction, HostFacts, Policy, TableImage, load_text};

thread_local! {
    static SUBJECT: LazyCell<(Policy, HostFacts, TableImage)> = LazyCell::new(|| {
        let policy = load_text(POLICY).expect("a good policy").policy;
        let host = HostFacts::assumed(&policy, &[]);
        let image = TableImage::compile(&policy, &host, Direction::Inbound).expect("it fits");
        (policy, host, image)
    });
}

fuzz_target!(|bytes: &[u8]| {
    SUBJECT.with(|subject| {
        let (policy, host, image) = &**subject;
        let judge = Judge {
            policy,
            host,
            image,
            way: Way::default(),
        };
        within(READING, bytes.len(), || {
            let (summary, _end) = replay(bytes, judge, None);
            assert_eq!(summary.disagreements, 0, "tables and oracle disagree");
        });
    });
});

const POLICY: &str = r#"
[firewall]
stateful = false
[firewall.classes]
fragment_first = "judge"
[[rule]]
name = "dns"
action = "allow"
protocol = "udp"
ports = [53]
[[rule]]
name = "partners"
action = "allow"
source = ["192.0.2.0/24", "2001:db8::/32"]
"#;

const READING: Allowance = Allowance {
    fixed: 1 << 20,
    per_byte: 256,
};
