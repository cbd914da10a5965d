//! Queue tokens: the contract between the waiting room and a backend. Pure: no clock, no socket, no runtime.
#![doc = include_str!("../README.md")]

mod claims;
mod compact;
mod jwks;
mod key;
mod key_ring;
mod pem;
mod verify;

pub use claims::Claims;
pub use compact::{MAX_TOKEN_BYTES, peek_kid, peek_unverified_claims};
pub use jwks::{Jwk, Jwks};
pub use key::{Algorithm, KeyError, MIN_HS256_SECRET_BYTES, SigningKey};
pub use key_ring::{KeyRing, MAX_KEYS, SignError};
pub use pem::PemError;
pub use verify::{QueueToken, REFUSED, Verifier, VerifyError};
