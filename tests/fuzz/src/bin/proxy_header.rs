//! The reader of PROXY headers, on bytes that come at once and on bytes that come little by little.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ravelin_fuzz::proxy::{MAX_V2_BYTES, Unparsed, parse};
use ravelin_fuzz::{Allowance, within};

fuzz_target!(|bytes: &[u8]| {
    within(READING, bytes.len(), || {
        let whole = parse(bytes);
        let mut length = 0;
        let last = loop {
            match parse(&bytes[..length]) {
                Err(Unparsed::Incomplete(wanted)) => {
                    assert!(length < wanted && wanted <= MAX_V2_BYTES);
                    if wanted > bytes.len() {
                        // What is there may be wrong already, and cannot be right.
                        assert!(whole.is_err(), "fewer bytes than were asked for were enough");
                        return;
                    }
                    length = wanted;
                }
                last => break last,
            }
        };
        assert_eq!(last, whole, "an answer that more bytes have changed");
        if let Ok(header) = whole {
            assert!(header.length <= bytes.len());
            // What follows is nobody's business.
            assert_eq!(parse(&bytes[..header.length]), Ok(header));
        }
    });
});

/// A header is numbers: it takes no memory at all.
const READING: Allowance = Allowance {
    fixed: 0,
    per_byte: 0,
};
