//! Keys: the ring that signs and verifies, and those made at start when none are given.

use queue_token::{KeyError, KeyRing, SigningKey};

use super::{Algorithm, NamedKey, Tokens};

/// Shortest seal key: as long as the MAC's output, since a shorter one can be searched for.
pub const MIN_SEAL_BYTES: usize = 32;

/// Name of a key that was made at start.
const EPHEMERAL: &str = "ephemeral";

impl Tokens {
    /// Makes the keys that are not given. `random` fills a buffer from a cryptographic source. Returns one
    /// sentence for each key made, for the log.
    ///
    /// # Errors
    /// No randomness.
    pub fn fill_missing(&mut self, random: &mut dyn FnMut(&mut [u8])) -> Result<Vec<String>, KeyError> {
        let mut made = Vec::new();
        if !self.keys.is_empty() && !self.seal_keys.is_empty() {
            return Ok(made);
        }
        let mut secret = |kid: String| {
            let mut bytes = vec![0; MIN_SEAL_BYTES];
            random(&mut bytes);
            NamedKey::new(kid, bytes)
        };
        // Two proxies with keys of their own must not share a kid: a backend would mix them up.
        let name = {
            let bytes = secret(String::new());
            let hex: String = bytes.expose().iter().take(4).map(|b| format!("{b:02x}")).collect();
            format!("{EPHEMERAL}-{hex}")
        };
        if self.keys.is_empty() {
            self.keys.push(match self.algorithm {
                Algorithm::Hs256 => secret(name.clone()),
                Algorithm::EdDsa => {
                    let pem = SigningKey::generate_ed25519(&*name)?.to_pem().ok_or(KeyError::NoRandomness)?;
                    NamedKey::new(&*name, pem.into_bytes())
                }
            });
            made.push("no tokens.keys given: made a signing key that is lost when this process ends".to_owned());
        }
        if self.seal_keys.is_empty() {
            self.seal_keys.push(secret(name));
            made.push("no tokens.seal_keys given: made a seal key that is lost when this process ends".to_owned());
        }
        Ok(made)
    }

    /// The ring that signs with the first key and verifies with all.
    ///
    /// # Errors
    /// No keys ([`Tokens::fill_missing`] was not called); all else was found by the check.
    pub fn key_ring(&self) -> Result<KeyRing, KeyError> {
        let keys = self.keys.iter().map(|key| match self.algorithm {
            Algorithm::EdDsa => SigningKey::from_pem(&*key.kid, key.expose()),
            Algorithm::Hs256 => SigningKey::hs256(&*key.kid, key.expose()),
        });
        KeyRing::new(keys.collect::<Result<_, _>>()?)
    }
}
