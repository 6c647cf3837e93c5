//! The reader of set files, in every format it tells apart.

#![no_main]

use std::cell::LazyCell;
use std::fs;

use libfuzzer_sys::fuzz_target;
use ravelin_fuzz::{Allowance, within};
use ravelin_rules::load;
use tempfile::TempDir;

thread_local! {
    static FOLDER: LazyCell<TempDir> = LazyCell::new(|| {
        let folder = TempDir::new_in("/dev/shm").expect("a folder in memory");
        fs::write(folder.path().join("policy.toml"), POLICY).expect("a policy");
        folder
    });
}

fuzz_target!(|bytes: &[u8]| {
    FOLDER.with(|folder| {
        fs::write(folder.path().join("feed"), bytes).expect("a set file");
        within(READING, bytes.len(), || {
            match load(&folder.path().join("policy.toml")) {
                Ok(loaded) => assert!(!loaded.policy.rules.is_empty()),
                Err(report) => assert!(report.has_errors() && !report.render().is_empty()),
            }
        });
    });
});

const POLICY: &str = r#"
[firewall]
stateful = false
[[set]]
name = "feed"
files = ["feed"]
[[rule]]
name = "feed"
action = "deny"
source = "@feed"
"#;

const READING: Allowance = Allowance {
    fixed: 1 << 20,
    per_byte: 4096,
};
