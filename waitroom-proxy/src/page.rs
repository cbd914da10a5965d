//! The waiting page.
