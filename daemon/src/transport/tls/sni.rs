//! What belongs to a server name: an exact name beats a wildcard, a wildcard beats "any".
//!
//! The order in which names were written does not matter, and looking one up does not take longer the more there are.

use std::collections::HashMap;

use ravelin_rules::policy::SniPattern;

/// Values by server name pattern; several may stand under one.
#[derive(Clone, Debug)]
pub(crate) struct NameMap<T> {
    exact: HashMap<String, Vec<T>>,
    wildcard: HashMap<String, Vec<T>>,
    any: Vec<T>,
}

impl<T> NameMap<T> {
    /// Sorts `entries` by the kind of their pattern.
    pub(crate) fn new(entries: impl IntoIterator<Item = (SniPattern, T)>) -> Self {
        let mut map = Self {
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            any: Vec::new(),
        };
        for (pattern, value) in entries {
            match pattern {
                SniPattern::Any => map.any.push(value),
                SniPattern::Exact(name) => map.exact.entry(name).or_default().push(value),
                SniPattern::Wildcard(parent) => map.wildcard.entry(parent).or_default().push(value),
            }
        }
        map
    }

    /// The values of the most exact pattern that fits `name` (lower case; `None`: the client sent none).
    pub(crate) fn find(&self, name: Option<&str>) -> &[T] {
        let exact = name.and_then(|name| self.exact.get(name));
        let wildcard = || {
            let (label, parent) = name?.split_once('.')?;
            self.wildcard.get(parent).filter(|_| !label.is_empty())
        };
        exact.or_else(wildcard).unwrap_or(&self.any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_exact_name_wins_whatever_the_order() {
        let map = NameMap::new([
            (SniPattern::Any, "any"),
            (SniPattern::Wildcard("example.com".to_owned()), "wildcard"),
            (SniPattern::Exact("api.example.com".to_owned()), "exact"),
        ]);
        assert_eq!(map.find(Some("api.example.com")), ["exact"]);
        assert_eq!(map.find(Some("web.example.com")), ["wildcard"]);
        assert_eq!(map.find(Some("a.web.example.com")), ["any"]);
        assert_eq!(map.find(Some("example.com")), ["any"]);
        assert_eq!(map.find(Some(".example.com")), ["any"]);
        assert_eq!(map.find(None), ["any"]);
    }
}
