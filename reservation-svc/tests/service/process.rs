//! The binary: what it says when it can not start, its small commands, and how it stops.

use std::time::Duration;

use tempfile::TempDir;
use testbed::ports::Reserved;
use testbed::process::{Output, Program, Signal};
use testbed::{postgres, wait};

use crate::bed::{self, DEADLINE};
use crate::client::Client;

struct Folder(TempDir);

impl Folder {
    fn new(config: &str) -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("r.toml"), config).unwrap();
        std::fs::write(folder.path().join("users.key"), [7; 32]).unwrap();
        std::fs::write(folder.path().join("short.key"), [7; 8]).unwrap();
        Self(folder)
    }

    fn program(&self, args: &[&str]) -> Program {
        Program::new(env!("CARGO_BIN_EXE_reservation-svc"))
            .args(args)
            .args(["--config", "r.toml"])
            .folder(self.0.path())
            .without_env("RESERVATION_DATABASE_URL")
    }

    async fn run(&self, args: &[&str]) -> Output {
        self.program(args).output(DEADLINE).await.unwrap()
    }
}

fn config(database: &str, secret: &str) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n[database]\nurl = \"{database}\"\n\
         [queue_token]\nrequired = false\n[users]\nhs256_secret_file = \"{secret}\"\n"
    )
}

fn with_gateway(database: &str, secret: &str) -> String {
    let rest = config(database, "users.key");
    format!("{rest}[gateway]\nurl = \"https://pay.example\"\nsecret_file = \"{secret}\"\n")
}

#[tokio::test]
async fn refused_starts_say_what_is_wrong_in_one_sentence() {
    let server = postgres::shared().await;
    let empty = server.database_from("template0").await.unwrap();
    let good = bed::seeded(server).await;
    let closed = Reserved::new().unwrap();
    let down = format!("postgres://u:hidden-word@127.0.0.1:{}/d", closed.addr().port());
    let wrong_database = server.url("nowhere");
    let cases = [
        (config(&down, "users.key"), 1, "database.url: the database is unavailable"),
        (config(&wrong_database, "users.key"), 1, "database \"nowhere\" does not exist"),
        (config(&empty.url(), "users.key"), 1, "run `reservation-svc migrate`"),
        (config(&good.url(), "missing.key"), 1, "users.hs256_secret_file missing.key: "),
        (config(&good.url(), "short.key"), 1, "has 8 bytes, at least 32 are needed"),
        (with_gateway(&good.url(), "missing.key"), 1, "gateway.secret_file missing.key: "),
        (with_gateway(&good.url(), "short.key"), 1, "gateway.secret_file short.key: has 8 bytes"),
        (with_gateway(&good.url(), "users.key"), 1, "must be one line of printable ASCII"),
        (config("mysql://x", "users.key"), 64, "database.url must begin with postgres://"),
        (format!("{}[holds]\nttl_s = 0\nwhat = 1\n", config("", "users.key")), 64, "holds.what is not a key"),
        ("[server".to_owned(), 64, "r.toml: TOML parse error at line 1"),
    ];
    for (text, code, sentence) in cases {
        let output = Folder::new(&text).run(&["serve"]).await;
        let said = output.stderr.clone();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(sentence), "{sentence:?} is not in {said:?}");
        assert!(code == 64 || said.lines().count() == 1, "one sentence: {said}");
        assert_eq!(said.matches(sentence).count(), 1, "said once: {said}");
        for never in ["panicked", "backtrace", "hidden-word"] {
            assert!(!said.contains(never), "{said}");
        }
    }
    let usage = Folder::new("").run(&["serve", "--colour"]).await;
    assert_eq!(usage.status.code(), Some(64));
}

#[tokio::test]
async fn migrate_seed_and_user_token_are_all_a_demo_needs() {
    let server = postgres::shared().await;
    let database = server.database_from("template0").await.unwrap();
    let folder = Folder::new(&config(&database.url(), "users.key"));
    for command in ["migrate", "migrate", "seed", "seed"] {
        let output = folder.run(&[command]).await;
        assert!(output.status.success(), "{command}: {}", output.stderr);
    }
    assert_eq!(database.sql("SELECT count(*) FROM concert_seats").await.unwrap().trim(), "6000");
    let token = folder.run(&["user-token", "--user", "7"]).await;
    assert_eq!(token.stdout.trim().split('.').count(), 3, "{}", token.stdout);
    let nobody = folder.run(&["user-token", "--user", "0"]).await;
    assert_eq!(nobody.status.code(), Some(64));
}

#[tokio::test]
async fn sigterm_lets_requests_in_flight_finish_and_ends_at_once() {
    let server = postgres::shared().await;
    let database = bed::seeded(server).await;
    let folder = Folder::new(&config(&database.url(), "users.key"));
    let (public, admin) = (Reserved::new().unwrap(), Reserved::new().unwrap());
    let (listen, admin_listen) = (public.addr().to_string(), admin.addr().to_string());
    let child = folder.program(&["serve", "--listen", &listen, "--admin-listen", &admin_listen]).start().unwrap();
    child.wait_for_port(public.addr(), DEADLINE).await.unwrap();
    let client = Client::to(public.addr());
    assert_eq!(client.request("GET", "/concerts").send().await.status, 200);

    // A request that waits for a row while the order to stop comes; the connection above idles.
    let pool = sqlx::PgPool::connect(&database.url()).await.unwrap();
    let mut other = pool.begin().await.unwrap();
    sqlx::query("UPDATE wallets SET currency = currency WHERE id = 1").execute(&mut *other).await.unwrap();
    let request = client.request("POST", "/wallet/charges").header("authorization", &bed::bearer(1));
    let charge = tokio::spawn(request.json(&serde_json::json!({ "amount": 5 })).send());
    let waiting =
        "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    // Asked on an open connection: the charge waits for 200 ms only.
    wait::until("the charge to wait", DEADLINE, || async {
        sqlx::query_scalar(waiting).fetch_one(&pool).await.unwrap()
    })
    .await
    .unwrap();
    child.signal(Signal::Terminate).unwrap();
    child.wait_for_line("draining", DEADLINE).await.unwrap();
    other.commit().await.unwrap();
    let answer = charge.await.unwrap();
    assert!(matches!(answer.status, 201 | 503), "an answer, not a broken connection: {}", answer.status);
    let status = child.wait(Duration::from_secs(5)).await.unwrap();
    assert!(status.success(), "{}", child.log());
}

#[tokio::test]
async fn readyz_tells_of_pool_and_schema() {
    let bed = crate::bed::Bed::start().await;
    let admin = crate::client::Client::to(bed.service.admin_addr());
    bed.held(1, &["A-1"]).await;
    let well = admin.request("GET", "/readyz").send().await;
    assert_eq!((well.status, &well.json["schema"], &well.json["replica"]), (200, &"ok".into(), &"none".into()));
    assert_eq!(well.json["pool"]["max"], 20);
    bed.sql("DELETE FROM _sqlx_migrations WHERE version = 18").await;
    let behind = admin.request("GET", "/readyz").send().await;
    assert_eq!((behind.status, &behind.json["database"]), (503, &"ok".into()));
    assert!(behind.json["schema"].as_str().unwrap().contains("reservation-svc migrate"), "{}", behind.text());
}
