//! queue-token
