//! The importers, each on the same bytes, and the check of what they draft.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ravelin_fuzz::{Allowance, within};
use ravelin_rules::import::{Source, import};
use ravelin_rules::load_text;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = str::from_utf8(bytes) else {
        return;
    };
    for source in Source::ALL {
        let mut drafted = None;
        within(READING, bytes.len(), || {
            drafted = import(source, text, None).ok().map(|draft| draft.to_string());
        });
        // What is drafted loads: people go on with it.
        if let Some(Err(report)) = drafted.as_deref().map(load_text) {
            panic!("{}\n{}", drafted.unwrap_or_default(), report.render());
        }
    }
});

const READING: Allowance = Allowance {
    // Chains that jump to each other make up to 16,384 rules of a few hundred lines.
    fixed: 64 << 20,
    per_byte: 4096,
};
