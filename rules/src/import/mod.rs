//! Policies from what people have: the firewalls of clouds and of Linux.
//!
//! Their JSON or text → **`Draft`** → TOML. Whatever has no counterpart is listed with its place; nothing is dropped in silence.
//! Judges nothing: the text goes through `check` like any other.

mod anypoint;
mod aws_network_acl;
mod aws_security_group;
mod chains;
mod draft;
mod iptables;
mod matches;
mod nftables;
mod states;
mod value;
mod write;

use thiserror::Error;

pub use draft::{Draft, Unmapped};

/// What can be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The JSON of `aws ec2 describe-security-groups`.
    AwsSecurityGroup,
    /// The JSON of `aws ec2 describe-network-acls`.
    AwsNetworkAcl,
    /// The JSON of an Anypoint VPC or of its firewall rules.
    AnypointVpc,
    /// The JSON of `nft -j list ruleset`.
    Nftables,
    /// The text of `iptables-save` or `ip6tables-save`.
    Iptables,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::AwsSecurityGroup,
        Self::AwsNetworkAcl,
        Self::AnypointVpc,
        Self::Nftables,
        Self::Iptables,
    ];

    /// The word on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::AwsSecurityGroup => "aws-security-group",
            Self::AwsNetworkAcl => "aws-network-acl",
            Self::AnypointVpc => "anypoint-vpc",
            Self::Nftables => "nftables",
            Self::Iptables => "iptables",
        }
    }

    /// What prints the input.
    #[must_use]
    pub const fn printed_by(self) -> &'static str {
        match self {
            Self::AwsSecurityGroup => "`aws ec2 describe-security-groups`",
            Self::AwsNetworkAcl => "`aws ec2 describe-network-acls`",
            Self::AnypointVpc => "the Anypoint Platform API for a VPC",
            Self::Nftables => "`nft -j list ruleset`",
            Self::Iptables => "`iptables-save` or `ip6tables-save`",
        }
    }
}

/// Why there is nothing to import.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ImportError {
    /// Not JSON at all.
    #[error("this is not JSON ({why}); give what {by} prints", by = source_kind.printed_by())]
    NotJson {
        /// What was expected.
        source_kind: Source,
        /// What the reader says.
        why: String,
    },
    /// Text of another kind.
    #[error("this has no {missing}; give what {by} prints", by = source_kind.printed_by())]
    Shape {
        /// What was expected.
        source_kind: Source,
        /// What was looked for.
        missing: &'static str,
    },
    /// Several, and one has to be chosen.
    #[error("there are several: {}; choose one with `--id`", ids.join(", "))]
    Several {
        /// Their names.
        ids: Vec<String>,
    },
    /// The chosen one is not there.
    #[error("there is no `{id}`; there are {}", ids.join(", "))]
    Unknown {
        /// What was asked for.
        id: String,
        /// What there is.
        ids: Vec<String>,
    },
}

/// Reads `text` and drafts a policy; only the part named `id`, when it is given.
///
/// # Errors
///
/// [`ImportError`] when the text is not what it is said to be, or a part has to be chosen.
pub fn import(source: Source, text: &str, id: Option<&str>) -> Result<Draft, ImportError> {
    let json = || {
        serde_json::from_str::<serde_json::Value>(text).map_err(|error| ImportError::NotJson {
            source_kind: source,
            why: error.to_string(),
        })
    };
    match source {
        Source::AwsSecurityGroup => aws_security_group::import(&json()?, id),
        Source::AwsNetworkAcl => aws_network_acl::import(&json()?, id),
        Source::AnypointVpc => anypoint::import(&json()?, id),
        Source::Nftables => nftables::import(&json()?),
        Source::Iptables => iptables::import(text),
    }
}

/// The parts of `all` that `id` asks for: all of them when it asks for none.
fn chosen<'a>(
    all: &'a [serde_json::Value],
    key: &str,
    id: Option<&str>,
) -> Result<Vec<&'a serde_json::Value>, ImportError> {
    let Some(id) = id else {
        return Ok(all.iter().collect());
    };
    let of = |part: &serde_json::Value| part.get(key).and_then(serde_json::Value::as_str) == Some(id);
    let found: Vec<_> = all.iter().filter(|part| of(part)).collect();
    if found.is_empty() {
        return Err(ImportError::Unknown {
            id: id.to_owned(),
            ids: ids(all, key),
        });
    }
    Ok(found)
}

fn ids(all: &[serde_json::Value], key: &str) -> Vec<String> {
    let id = |part: &serde_json::Value| part.get(key).map(value::shown);
    all.iter().take(MAX_IDS).filter_map(id).collect()
}

/// A message stays readable.
const MAX_IDS: usize = 20;
