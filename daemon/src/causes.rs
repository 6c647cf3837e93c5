//! An error and its causes as one line, the form of every message: `what failed: because of: because of`.

use std::error::Error;

/// `error` and everything it says it was caused by.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::chain;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read `policy.toml`")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn every_cause_is_named_once_the_outermost_first() {
        let error = Outer(std::io::Error::other("no such luck"));
        assert_eq!(chain(&error), "cannot read `policy.toml`: no such luck");
    }
}
