//! Positions from a bitmap.
