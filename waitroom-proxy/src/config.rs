//! The proxy's config.
