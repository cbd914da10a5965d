//! The configuration: flag over environment over file, checked as a whole before anything is opened.
//! Named by `main`, `serve` and tests; the parts take their own small settings.

pub mod events;
pub mod gateway;
pub mod reader;
pub mod secrets;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use crate::auth::queue::QueueGateSettings;
use crate::auth::users::Expected;
use crate::booking::HoldRules;
use crate::ledger::LedgerSettings;
use crate::server::is_server;
use events::{EventsSettings, TicketKeys, WebhookConfig};
use gateway::GatewaySettings;
use reader::{Mistake, Reader};

/// Everything that a file, the environment and flags said, checked.
pub struct Config {
    /// Where the service listens.
    pub listen: SocketAddr,
    /// Where health and metrics are.
    pub admin_listen: SocketAddr,
    /// The database.
    pub database: LedgerSettings,
    /// Where the seat locks and the seat maps are; `None`: neither.
    pub redis_url: Option<SecretString>,
    /// Whether seats are locked there.
    pub lock_seats: bool,
    /// Whether seat maps are kept there.
    pub keep_seat_maps: bool,
    /// How queue tokens are checked; `None`: they are not asked for.
    pub queue: Option<QueueGateSettings>,
    /// How users' tokens are checked.
    pub users: UserKeys,
    /// What users' tokens must say besides.
    pub user_tokens: Expected,
    /// Whoever asks becomes one of the demo's users. Only on loopback.
    pub demo_login: bool,
    /// What one hold may be.
    pub holds: HoldRules,
    /// Requests a second that a user may send; `None`: any number.
    pub requests_per_s: Option<NonZeroU32>,
    /// What the worker is to do.
    pub events: EventsSettings,
    /// Who is told of events, outside; `None`: nobody.
    pub webhook: Option<WebhookConfig>,
    /// The keys of tickets.
    pub tickets: TicketKeys,
    /// Where payments by card go; `None`: only wallets.
    pub gateway: Option<GatewaySettings>,
}

/// Where the keys of users' tokens are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserKeys {
    /// A file with the shared secret of HS256.
    SecretFile(PathBuf),
    /// A URL with public keys.
    JwksUrl(String),
}

/// What a command needs of the configuration; the rest may be missing, but not wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// All of it.
    Everything,
    /// The database only.
    Database,
    /// The users' keys only.
    Users,
    /// What the worker uses: all but queue tokens and users' keys.
    Worker,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file can not be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{}: {message}", path.display())]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where and what.
        message: String,
    },
    /// It can be read, and these are wrong.
    #[error("{}", mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Mistakes {
        /// All of them.
        mistakes: Vec<Mistake>,
    },
}

/// Sources that are not the file.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// From flags: (`section.key`, value).
    pub flags: Vec<(String, String)>,
    /// The process's environment.
    pub environment: Vec<(String, String)>,
}

/// Reads and checks the file at `path` under what flags and environment say.
pub fn load(path: &std::path::Path, overrides: Overrides, needs: Needs) -> Result<Config, ConfigError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    parse(&text, overrides, needs).map_err(|error| match error {
        ConfigError::Syntax { message, .. } => ConfigError::Syntax { path: path.to_owned(), message },
        other => other,
    })
}

/// Checks the text of a file.
pub fn parse(text: &str, overrides: Overrides, needs: Needs) -> Result<Config, ConfigError> {
    let table: toml::Table = toml::from_str(text).map_err(|error: toml::de::Error| ConfigError::Syntax {
        path: PathBuf::new(),
        message: error.to_string().trim_end().to_owned(),
    })?;
    let mut reader = Reader::new(table, overrides);
    let config = check(&mut reader, needs);
    let mistakes = reader.finish();
    if mistakes.is_empty() { Ok(config) } else { Err(ConfigError::Mistakes { mistakes }) }
}

/// Reads every key once; mistakes gather in the reader, and a stand-in value goes on in their place.
fn check(reader: &mut Reader, needs: Needs) -> Config {
    let listen = reader.address("server.listen", "127.0.0.1:9000");
    let admin_listen = reader.address("server.admin_listen", "127.0.0.1:9091");
    let url = reader.text("database.url", "");
    if url.is_empty() && needs != Needs::Users {
        reader.mistake("database.url", "is missing; set it here or in RESERVATION_DATABASE_URL");
    } else if !url.is_empty() && !is_postgres(&url) {
        reader.mistake("database.url", "must begin with postgres://");
    }
    let replica_url = reader.text("database.replica_url", "");
    if !replica_url.is_empty() && !is_postgres(&replica_url) {
        reader.mistake("database.replica_url", "must begin with postgres:// (leave it empty for no replica)");
    }
    let max_connections = reader.whole("database.max_connections", 20, 1..=1_000);
    let redis_url = reader.text("redis.url", "");
    if !redis_url.is_empty() && !is_server(&redis_url) {
        reader.mistake("redis.url", &format!("{A_SERVER} (leave it empty for no seat lock and no seat maps there)"));
    }
    let (queue, rooms) = queue(reader, needs);
    let (users, user_tokens) = users(reader, needs);
    let demo_login = demo_login(reader, listen, &users);
    let gateway = gateway::read(reader);
    let keep_seat_maps = reader.flag("redis.keep_seat_maps", true);
    let lock_seats = reader.flag("holds.lock_seats_in_redis", true);
    let holds = HoldRules {
        ttl: Duration::from_secs(u64::from(reader.whole("holds.ttl_s", 300, 1..=86_400))),
        max_seats: reader.whole("holds.max_seats", 4, 1..=100) as usize,
        max_per_user: reader.whole("holds.max_per_user", 8, 1..=10_000),
    };
    let requests_per_s = NonZeroU32::new(reader.whole("limits.user_requests_per_s", 10, 0..=100_000));
    let events = events::events(reader, &rooms);
    let webhook = events::webhook(reader);
    let tickets = events::tickets(reader);
    Config {
        listen,
        admin_listen,
        database: LedgerSettings {
            url: url.into(),
            replica_url: (!replica_url.is_empty()).then(|| replica_url.into()),
            max_connections,
        },
        redis_url: (!redis_url.is_empty()).then(|| redis_url.into()),
        lock_seats,
        keep_seat_maps,
        queue,
        users,
        user_tokens,
        demo_login,
        holds,
        requests_per_s,
        events,
        webhook,
        tickets,
        gateway,
    }
}

/// What a Redis URL must be.
const A_SERVER: &str = "must be redis://HOST:PORT/ or redis+sentinel://HOST:PORT,HOST:PORT/NAME";

fn is_postgres(url: &str) -> bool {
    ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme))
}

fn queue(reader: &mut Reader, needs: Needs) -> (Option<QueueGateSettings>, Vec<String>) {
    let required = reader.flag("queue_token.required", true);
    let settings = QueueGateSettings {
        issuer: reader.text("queue_token.issuer", "waitroom"),
        audiences: reader.list("queue_token.audiences"),
        jwks_url: reader.text("queue_token.jwks_url", ""),
        max_purchases: reader.whole("queue_token.max_purchases", 0, 0..=1_000_000),
    };
    if !required || needs != Needs::Everything {
        return (None, settings.audiences);
    }
    if settings.issuer.is_empty() {
        reader.mistake("queue_token.issuer", "is empty");
    }
    if settings.audiences.is_empty() {
        reader.mistake("queue_token.audiences", "names no room; a token must be for one of them");
    }
    url(reader, "queue_token.jwks_url", &settings.jwks_url);
    let rooms = settings.audiences.clone();
    (Some(settings), rooms)
}

fn users(reader: &mut Reader, needs: Needs) -> (UserKeys, Expected) {
    let file = reader.text("users.hs256_secret_file", "");
    let jwks = reader.text("users.jwks_url", "");
    match (file.is_empty(), jwks.is_empty()) {
        (true, true) if matches!(needs, Needs::Everything | Needs::Users) => {
            reader.mistake("users.hs256_secret_file", "is missing; name a file of at least 32 random bytes");
        }
        (false, false) => reader.mistake("users.jwks_url", "can not be used together with users.hs256_secret_file"),
        (true, false) => url(reader, "users.jwks_url", &jwks),
        _ => {}
    }
    let mut expected = |key: &str| {
        let value = reader.text(key, "");
        if value.is_empty() && !jwks.is_empty() {
            reader.mistake(key, "is missing: with users.jwks_url, tokens for other applications have the same keys");
        }
        (!value.is_empty()).then_some(value)
    };
    let expected = Expected { issuer: expected("users.issuer"), audience: expected("users.audience") };
    let keys = if jwks.is_empty() { UserKeys::SecretFile(file.into()) } else { UserKeys::JwksUrl(jwks) };
    (keys, expected)
}

/// Gives users away for nothing: never where others than this machine could ask.
fn demo_login(reader: &mut Reader, listen: SocketAddr, users: &UserKeys) -> bool {
    const KEY: &str = "users.demo_login";
    let on = reader.flag(KEY, false);
    if on && !listen.ip().is_loopback() {
        reader.mistake(KEY, "lets anybody act as a user, so it needs a loopback server.listen such as 127.0.0.1:9000");
    }
    if on && matches!(users, UserKeys::JwksUrl(_)) {
        reader.mistake(KEY, "signs tokens, so it needs users.hs256_secret_file");
    }
    on
}

fn url(reader: &mut Reader, key: &str, value: &str) {
    let parsed = value.parse::<http::Uri>().ok();
    if !parsed.is_some_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()) {
        reader.mistake(key, &format!("must be an http or https URL, not {value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [database]
        url = "postgres://u:p@localhost/d"
        [queue_token]
        audiences = ["concert"]
        jwks_url = "http://127.0.0.1:8080/.well-known/jwks.json"
        [users]
        hs256_secret_file = "users.key"
    "#;

    fn mistakes(text: &str) -> Vec<String> {
        match parse(text, Overrides::default(), Needs::Everything) {
            Err(ConfigError::Mistakes { mistakes }) => mistakes.iter().map(|m| m.key.clone()).collect(),
            Err(other) => panic!("{other}"),
            Ok(_) => Vec::new(),
        }
    }

    #[test]
    fn defaults_are_those_of_the_contract() {
        let config = parse(GOOD, Overrides::default(), Needs::Everything).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:9000");
        assert_eq!(config.admin_listen.to_string(), "127.0.0.1:9091");
        assert_eq!((config.holds.ttl.as_secs(), config.holds.max_seats, config.holds.max_per_user), (300, 4, 8));
        assert_eq!(config.database.max_connections, 20);
        assert!(config.redis_url.is_none());
        assert_eq!(config.requests_per_s.map(NonZeroU32::get), Some(10));
    }

    #[test]
    fn every_mistake_at_once_with_its_key() {
        let text = r#"
            [server]
            listen = "nowhere"
            colour = "blue"
            [database]
            url = "mysql://x"
            max_connections = 0
            [redis]
            url = 7
            [queue_token]
            required = "yes"
            audiences = []
            jwks_url = "ftp://x"
            [holds]
            ttl_s = -1
            [extra]
            x = 1
        "#;
        assert_eq!(
            mistakes(text),
            [
                "server.listen",
                "database.url",
                "database.max_connections",
                "redis.url",
                "queue_token.required",
                "queue_token.audiences",
                "queue_token.jwks_url",
                "users.hs256_secret_file",
                "holds.ttl_s",
                "extra",
                "server.colour",
            ]
        );
    }

    #[test]
    fn flags_go_before_environment_before_file() {
        let overrides = |flag: Option<&str>| Overrides {
            flags: flag.map(|value| ("server.listen".to_owned(), value.to_owned())).into_iter().collect(),
            environment: vec![
                ("RESERVATION_SERVER_LISTEN".to_owned(), "127.0.0.1:2".to_owned()),
                ("RESERVATION_HOLDS_MAX_SEATS".to_owned(), "2".to_owned()),
                ("RESERVATION_QUEUE_TOKEN_AUDIENCES".to_owned(), "a, b".to_owned()),
            ],
        };
        let text = format!("{GOOD}\n[server]\nlisten = \"127.0.0.1:3\"");
        let config = parse(&text, overrides(Some("127.0.0.1:1")), Needs::Everything).unwrap();
        assert_eq!(config.listen.port(), 1);
        let config = parse(&text, overrides(None), Needs::Everything).unwrap();
        assert_eq!((config.listen.port(), config.holds.max_seats), (2, 2));
        assert_eq!(config.queue.unwrap().audiences, ["a", "b"]);
    }

    #[test]
    fn refused_demo_login_that_others_could_reach() {
        let with = |more: &str| mistakes(&format!("{GOOD}\ndemo_login = true\n{more}"));
        assert_eq!(with(""), [""; 0]);
        assert_eq!(with("[server]\nlisten = \"[::1]:9000\""), [""; 0]);
        for listen in ["0.0.0.0:9000", "[::]:9000", "192.168.0.2:9000"] {
            assert_eq!(with(&format!("[server]\nlisten = {listen:?}")), ["users.demo_login"], "{listen}");
        }
        let keys = format!("{}\nissuer = \"i\"\naudience = \"a\"", with_jwks());
        assert_eq!(mistakes(&format!("{keys}\ndemo_login = true")), ["users.demo_login"]);
    }

    fn with_jwks() -> String {
        GOOD.replace("hs256_secret_file = \"users.key\"", "jwks_url = \"https://id.example/keys\"")
    }

    #[test]
    fn keys_of_an_identity_provider_need_its_name_and_ours() {
        assert_eq!(mistakes(&with_jwks()), ["users.issuer", "users.audience"]);
        let good = format!("{}\nissuer = \"https://id.example\"\naudience = \"tickets\"", with_jwks());
        let config = parse(&good, Overrides::default(), Needs::Everything).map_err(|e| e.to_string()).unwrap();
        assert_eq!(config.user_tokens.audience.as_deref(), Some("tickets"));
        assert_eq!(parse(GOOD, Overrides::default(), Needs::Everything).unwrap().user_tokens, Expected::default());
    }

    #[test]
    fn refused_gateways() {
        let with = |text: &str| mistakes(&format!("{GOOD}\n[gateway]\n{text}"));
        let secret = "secret_file = \"g.key\"";
        for url in ["https://pay.example/v1", "http://127.0.0.1:9", "http://localhost:9", "http://[::1]:9/x"] {
            assert_eq!(with(&format!("url = {url:?}\n{secret}")), [""; 0], "{url}");
        }
        for url in ["http://pay.example", "http://10.0.0.1", "ftp://x", "pay", "https://x/?a=b"] {
            assert_eq!(with(&format!("url = {url:?}\n{secret}")), ["gateway.url"], "{url}");
        }
        assert_eq!(with("url = \"https://pay.example\""), ["gateway.secret_file"]);
        assert_eq!(with(secret), ["gateway.url"]);
        assert_eq!(
            with("timeout_ms = 0\nrecover_after_s = 1\nretries = 2"),
            ["gateway.timeout_ms", "gateway.recover_after_s", "gateway.retries"]
        );
    }

    #[test]
    fn a_command_needs_only_its_part() {
        assert!(parse("[database]\nurl = \"postgres://h/d\"", Overrides::default(), Needs::Database).is_ok());
        assert!(parse("[users]\nhs256_secret_file = \"k\"", Overrides::default(), Needs::Users).is_ok());
        assert!(parse("", Overrides::default(), Needs::Database).is_err());
    }

    #[test]
    fn the_example_file_is_good() {
        let text = include_str!("../../config/reservation.toml");
        assert!(parse(text, Overrides::default(), Needs::Everything).map_err(|error| error.to_string()).is_ok());
    }
}
