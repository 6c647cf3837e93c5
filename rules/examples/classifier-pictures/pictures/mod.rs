//! The pictures of `docs/classifier.md`, drawn from small tables that are computed here.
//!
//! rules and prefixes → classes and cells → **SVG text**. The example writes it, `rules/tests/pictures.rs` compares it with what is
//! on disk. Nothing in a picture that follows from the rules is typed in.

mod change;
mod combination;
mod lookup;
mod svg;
mod trie;

/// Each picture, after the name of its file.
///
/// # Errors
///
/// The policy of the picture is not one any more; the text says why.
pub(crate) fn all() -> Result<[(&'static str, String); 3], String> {
    Ok([
        ("change.svg", change::draw()),
        ("combination.svg", combination::draw()?),
        ("lookup.svg", lookup::draw()),
    ])
}
