//! The reader of `ClientHello`s, on bytes that come at once and on bytes that come little by little.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ravelin_fuzz::hello::{MAX_WIRE_BYTES, Unparsed, parse};
use ravelin_fuzz::{Allowance, within};

fuzz_target!(|bytes: &[u8]| {
    within(READING, bytes.len(), || {
        let whole = parse(bytes);
        let mut length = 0;
        let last = loop {
            match parse(&bytes[..length]) {
                Err(Unparsed::Incomplete(wanted)) => {
                    assert!(length < wanted && wanted <= MAX_WIRE_BYTES);
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
        if let Ok(hello) = whole {
            assert!(hello.alpn().all(|protocol| !protocol.is_empty()));
            let name = hello.server_name.unwrap_or("a".to_owned());
            assert!(!name.is_empty() && name.len() <= 253 && !name.contains(char::is_uppercase));
            assert!(name.parse::<std::net::IpAddr>().is_err());
        }
    });
});

const READING: Allowance = Allowance {
    fixed: 4 << 10,
    per_byte: 8,
};
