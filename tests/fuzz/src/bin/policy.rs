//! The reader and the checks of policies, and the compiler on what they accept.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ravelin_fuzz::{Allowance, within};
use ravelin_rules::{Direction, HostFacts, load_text};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    let mut accepted = None;
    within(READING, bytes.len(), || match load_text(text) {
        Ok(loaded) => accepted = Some(loaded),
        Err(report) => {
            // Every message has a place to show, whatever was written there.
            assert!(report.has_errors() && !report.render().is_empty());
        }
    });
    if let Some(loaded) = accepted {
        let host = HostFacts::assumed(&loaded.policy, &[]);
        for direction in Direction::ALL {
            // Refusing what does not fit is an answer.
            let _ = loaded.compile(&host, direction);
        }
    }
});

const READING: Allowance = Allowance {
    fixed: 1 << 20,
    per_byte: 4096,
};
