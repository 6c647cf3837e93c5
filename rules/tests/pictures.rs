//! The pictures of `docs/classifier.md` are those that the code draws.

#[path = "../examples/classifier-pictures/pictures/mod.rs"]
mod pictures;

use std::fs;
use std::path::Path;

#[test]
fn the_pictures_in_docs_are_those_the_code_draws() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/pictures");
    let drawn = pictures::all().unwrap();
    for (name, text) in &drawn {
        let found = fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(
            found == *text,
            "docs/pictures/{name} is stale: run `cargo xtask gen-docs`"
        );
    }
    assert_eq!(
        fs::read_dir(folder).unwrap().count(),
        drawn.len(),
        "docs/pictures holds a picture that nothing draws"
    );
}
