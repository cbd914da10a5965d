//! Measures the way out of the outbox: so many events of a sale's mix in a private Postgres, one worker with its
//! consumers, and how long until the last one is marked. Prints one line of JSON; asserts nothing.
//!
//! `cargo run --release -p reservation-svc --example outbox -- [EVENTS]`

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use reservation_svc::config::{self, Needs, Overrides};
use reservation_svc::ledger::{Ledger, LedgerSettings};
use reservation_svc::metrics::Metrics;
use reservation_svc::worker::Worker;
use testbed::postgres::PrivatePostgres;

/// What a sale writes: ten holds, of which three are given back, three run out and four are paid for. Over six
/// schedules, one of which has half of all.
const FILL: &str = "
    INSERT INTO outbox (topic, schedule_id, payload)
    SELECT (ARRAY['hold.created', 'hold.created', 'hold.created', 'hold.created', 'hold.created', 'hold.released',
                  'reservation.expired', 'reservation.created', 'payment.completed'])[n % 9 + 1],
           CASE WHEN n % 2 = 0 THEN 1 ELSE n / 2 % 6 + 1 END,
           jsonb_build_object('hold_id', gen_random_uuid(), 'user_id', n % 1000 + 1, 'amount', 150000,
               'currency', 'KRW', 'expires_at', now(), 'lines', jsonb_build_array(
                   jsonb_build_object('seat', 'A-' || n % 40 + 1, 'section', 'A', 'price', 75000, 'version', n),
                   jsonb_build_object('seat', 'B-' || n % 40 + 1, 'section', 'B', 'price', 75000, 'version', n)))
    FROM generate_series(1, $1) AS n";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let events: i64 = std::env::args().nth(1).map_or(Ok(200_000), |text| text.parse()).context("EVENTS is a number")?;
    ensure!((1..=5_000_000).contains(&events), "EVENTS is from 1 to 5,000,000");
    let server = PrivatePostgres::start().await?;
    let url = server.url("postgres");
    let settings = LedgerSettings { url: url.clone().into(), max_connections: 2, replica_url: None };
    let ledger = Ledger::new(&settings, Metrics::new()?)?;
    ledger.migrate().await?;
    ledger.seed().await?;
    let pool = sqlx::PgPool::connect(&url).await?;
    sqlx::query(FILL).bind(events).execute(&pool).await?;
    sqlx::query("ANALYZE").execute(&pool).await?;

    let text = format!("[database]\nurl = {url:?}\n[events]\nadmin_listen = \"127.0.0.1:0\"\n");
    let config = config::parse(&text, Overrides::default(), Needs::Worker)?;
    let began = Instant::now();
    let worker = Worker::start(config).await?;
    loop {
        let pending = "SELECT EXISTS (SELECT 1 FROM outbox WHERE relayed_at IS NULL)";
        let (pending,): (bool,) = sqlx::query_as(pending).fetch_one(&pool).await?;
        if !pending {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took_s = began.elapsed().as_secs_f64();
    worker.stop().await;
    let (counted,): (i64,) = sqlx::query_as("SELECT sum(events)::bigint FROM concert_minutes").fetch_one(&pool).await?;
    ensure!(counted == events, "{counted} of {events} events were counted");
    let rate = events as f64 / took_s;
    writeln!(std::io::stdout(), r#"{{"events":{events},"took_s":{took_s:.3},"events_per_s":{rate:.0}}}"#)?;
    Ok(())
}
