//! Chains, lists and names, judged without a connection.
