//! The configs and secrets of one demo, in a temporary folder; the proxy's config is meant to be edited while it runs.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use testbed::scratch::Scratch;

/// Bytes of the secret that signs users' tokens: the least that HS256 needs.
const USERS_SECRET_BYTES: usize = 32;

/// How many sessions the demo allows besides one for everybody in the crowd: the rate decides, not the cap.
const SPARE_SESSIONS: u32 = 2000;

/// The addresses of one demo.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    /// Where visitors come in.
    pub(crate) visitors: SocketAddr,
    /// The proxy's admin listener.
    pub(crate) admin: SocketAddr,
    /// The service.
    pub(crate) service: SocketAddr,
    /// The service's admin listener.
    pub(crate) service_admin: SocketAddr,
    /// The worker's admin listener.
    pub(crate) worker_admin: SocketAddr,
}

/// The files of one demo, removed with this.
#[derive(Debug)]
pub(crate) struct Files {
    folder: Scratch,
}

impl Files {
    /// Makes the folder, the secrets and both configs.
    pub(crate) fn write(addresses: &Addresses, rate: f64, crowd: u32) -> Result<Self> {
        let files = Self { folder: Scratch::new("demo").context("making a folder for the demo")? };
        let secret: [u8; USERS_SECRET_BYTES] = rand::random();
        write(&files.users_key(), &secret)?;
        write(&files.proxy_config(), proxy_config(addresses, rate, crowd + SPARE_SESSIONS).as_bytes())?;
        write(&files.service_config(), service_config(addresses, &files.users_key(), &files.ticket_key()).as_bytes())?;
        Ok(files)
    }

    /// Where the proxy's keys go.
    pub(crate) fn secrets(&self) -> PathBuf {
        self.path().join("secrets")
    }

    /// Where the key that signs tickets goes: a folder of its own, since the proxy's keys are nobody else's.
    pub(crate) fn ticket_secrets(&self) -> PathBuf {
        self.path().join("ticket-secrets")
    }

    /// The key that signs tickets, under the name that `waitroom-proxy keygen` gives it.
    fn ticket_key(&self) -> PathBuf {
        self.ticket_secrets().join("k1.pem")
    }

    /// The config to edit.
    pub(crate) fn proxy_config(&self) -> PathBuf {
        self.path().join("waitroom.toml")
    }

    /// The config of the service.
    pub(crate) fn service_config(&self) -> PathBuf {
        self.path().join("reservation.toml")
    }

    /// The secret of users' tokens.
    pub(crate) fn users_key(&self) -> PathBuf {
        self.path().join("users.key")
    }

    /// Where the crowd's report goes.
    pub(crate) fn crowd_report(&self) -> PathBuf {
        self.path().join("crowd.json")
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Writes a file that only its owner can read.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(bytes)).with_context(|| format!("writing {}", path.display()))
}

fn proxy_config(addresses: &Addresses, rate: f64, max_active: u32) -> String {
    let Addresses { visitors, admin, service, .. } = addresses;
    format!(
        r#"# The waiting room of this demo. Change rate_per_s, save, and watch the admissions follow.
# The store's URL has a password in it and comes in the environment (WAITROOM_STORE_URL).

[server]
listen = ["{visitors}"]
admin_listen = "{admin}"

[tokens]
issuer = "waitroom"
algorithm = "EdDSA"
keys = [{{ kid = "k1", file = "secrets/k1.pem" }}]
seal_keys = [{{ kid = "s1", file = "secrets/s1.key" }}]

[[rooms]]
name = "concert"
paths = ["/"]
bypass_paths = ["/assets/"]
upstreams = ["{service}"]
rate_per_s = {rate:?}
max_active = {max_active}
"#
    )
}

fn service_config(addresses: &Addresses, users_key: &Path, ticket_key: &Path) -> String {
    let Addresses { visitors, service, service_admin, worker_admin, .. } = addresses;
    format!(
        r#"# The reservation service of this demo and its worker. The URLs of Postgres and Redis have passwords in them and come in
# the environment (RESERVATION_DATABASE_URL, RESERVATION_REDIS_URL, RESERVATION_EVENTS_QUEUE_REDIS_URL).

[server]
listen = "{service}"
admin_listen = "{service_admin}"

[queue_token]
required = true
issuer = "waitroom"
audiences = ["concert"]
jwks_url = "http://{visitors}/.well-known/jwks.json"

[limits]
# Several of the crowd may act for one user at the same time.
user_requests_per_s = 0

[users]
hs256_secret_file = {users_key:?}
# Whoever opens the page becomes one of the users 901 to 1000; the crowd are the others.
demo_login = true

[events]
admin_listen = "{worker_admin}"

[tickets]
key_file = {ticket_key:?}
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_the_owners_alone_and_no_password_is_in_a_config() {
        use std::os::unix::fs::PermissionsExt;
        let addr = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let addresses = Addresses {
            visitors: addr(1),
            admin: addr(2),
            service: addr(3),
            service_admin: addr(4),
            worker_admin: addr(5),
        };
        let files = Files::write(&addresses, 50.0, 10).unwrap();
        assert_eq!(std::fs::metadata(files.users_key()).unwrap().permissions().mode() & 0o777, 0o600);
        let config = std::fs::read_to_string(files.proxy_config()).unwrap();
        assert!(config.contains("rate_per_s = 50.0") && !config.contains("redis://"), "{config}");
    }
}
