//! The shapes shared with the kernel program have a number; who changes the shapes changes the number.
//!
//! Pinned maps outlive the daemon. A new daemon that read old maps by new shapes would judge by garbage.

use std::fs;
use std::path::PathBuf;

use ravelin_datapath::wire::ABI;

use crate::workspace;

#[test]
fn the_shapes_on_the_wire_change_only_with_their_number() {
    let record = fs::read_to_string(workspace().join(RECORD)).unwrap_or_default();
    let now = format!("ABI {ABI} {:016x}\n", fingerprint(&shapes()));
    assert!(
        record == now,
        "the code in {SHAPES} is not what {RECORD} records.\n\
         If a pinned map of the release before would be read wrongly, raise `wire::ABI`; then record:\n{now}"
    );
}

#[test]
fn comments_and_layout_do_not_count_but_code_does() {
    let shape = "pub const A: u32 = 1; // one\n";
    assert_eq!(
        fingerprint(&[shape.to_owned()]),
        fingerprint(&["/// A.\npub const A: u32\n    = 1;".to_owned()])
    );
    assert_ne!(
        fingerprint(&[shape.to_owned()]),
        fingerprint(&["pub const A: u32 = 2;".to_owned()])
    );
}

fn shapes() -> Vec<String> {
    let mut paths: Vec<PathBuf> = fs::read_dir(workspace().join(SHAPES))
        .expect(SHAPES)
        .flatten()
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| fs::read_to_string(path).expect("a source file"))
        .collect()
}

/// FNV-1a over the code without comments and white space: the same on every machine and compiler.
fn fingerprint(files: &[String]) -> u64 {
    files
        .iter()
        .flat_map(|file| file.lines())
        .filter(|line| !line.trim_start().starts_with("//"))
        .filter_map(|line| line.split(" //").next())
        .flat_map(str::bytes)
        .filter(|byte| !byte.is_ascii_whitespace())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
}

const SHAPES: &str = "ebpf/datapath/src/wire";
const RECORD: &str = "tests/architecture/wire.abi";
