//! Which room a request belongs to. Pure.
