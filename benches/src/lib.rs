//! What Ravelin measures of itself.
