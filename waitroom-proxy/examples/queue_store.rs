//! Puts work on the real store code and the real index, for `cargo xtask bench queue`; it starts no server and judges nothing.
//! Usage: `queue_store join URL ROOM COUNT BATCH` · `plain URL COUNT BATCH` · `zrank URL ROOM MEMBERS` · `index`.
//! One line of JSON on standard output.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};
use waitroom_proxy::rank::RankIndex;
use waitroom_proxy::store::redis::RedisStore;
use waitroom_proxy::store::{
    BitSpan, Detail, Epoch, JoinItem, MAX_BATCH, QueueStore, RoomName, Seen, Standing, StoreError, Vid,
};

/// A proxy waits 200 ms; a benchmark on a busy machine has more time.
const PATIENCE: Duration = Duration::from_secs(10);

/// A million people in line, as bits.
const MILLION: u64 = 1_000_000;

/// How often an index is built: enough for a median.
const BUILDS: usize = 301;

/// Lookups in one measurement, and how many measurements.
const LOOKUPS: usize = 4_000_000;
const MEASUREMENTS: usize = 5;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["join", url, room, count, batch] => join(url, room, count.parse()?, batch.parse()?).await?,
        ["plain", url, count, batch] => plain(url, count.parse()?, batch.parse()?).await?,
        ["zrank", url, room, members] => zrank(url, room, members.parse()?).await?,
        ["index"] => index()?,
        _ => bail!(
            "usage: queue_store join URL ROOM COUNT BATCH | plain URL COUNT BATCH | zrank URL ROOM MEMBERS | index"
        ),
    };
    println!("{result}");
    Ok(())
}

/// Puts `count` new visitors in line, as a proxy's join server does: one call at a time.
async fn join(url: &str, room: &str, count: usize, batch: usize) -> Result<Value> {
    anyhow::ensure!((1..=MAX_BATCH).contains(&batch), "a batch has 1 to {MAX_BATCH} visitors");
    let room = RoomName::new(room).context("this is not a room's name")?;
    let store = RedisStore::new(redis::Client::open(url)?).with_limit(PATIENCE);
    let (epoch, mut seen) = enter_room(&store, &room).await?;
    let began = Instant::now();
    let mut left = count;
    let mut slowest = Duration::ZERO;
    while left > 0 {
        let items: Vec<JoinItem> =
            (0..batch.min(left)).map(|_| JoinItem { vid: Vid(rand::random()), seq: 0 }).collect();
        left -= items.len();
        let call = Instant::now();
        let standings = store.join(&room, epoch, seen, &items).await?;
        slowest = slowest.max(call.elapsed());
        for standing in standings {
            let Standing::Waiting(seq) = standing else { bail!("a new visitor got {standing:?}") };
            seen.seq = seen.seq.max(seq);
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    Ok(json!({ "joined": count, "seconds": seconds, "slowest_call_ms": slowest.as_secs_f64() * 1000.0 }))
}

/// Gets to know a room as every node does on a new connection, starting it where nobody has.
async fn enter_room(store: &dyn QueueStore, room: &RoomName) -> Result<(Epoch, Seen)> {
    let (epoch, seen) = match store.snapshot(room, None, Detail::Counters).await {
        Ok(picture) => (picture.epoch, picture.seen()),
        Err(StoreError::Lost) => (Epoch { generation: 1, life: 0 }, Seen::default()),
        Err(error) => return Err(error.into()),
    };
    let recovered = store.recover(room, epoch, seen, Duration::ZERO, 0.0, rand::random_range(1..u32::MAX)).await?;
    Ok((recovered.epoch, recovered.seen))
}

/// The queue that people build by hand: `INCR` for a number, `ZADD NX` for the place. `batch` visitors in a pipeline.
async fn plain(url: &str, count: usize, batch: usize) -> Result<Value> {
    let mut connection = connect(url).await?;
    let began = Instant::now();
    let mut left = count;
    while left > 0 {
        let now = batch.min(left);
        left -= now;
        let mut numbers = redis::pipe();
        for _ in 0..now {
            numbers.cmd("INCR").arg("plain:seq");
        }
        let numbers: Vec<u64> = numbers.query_async(&mut connection).await?;
        let mut places = redis::pipe();
        for number in numbers {
            let vid = Vid(rand::random()).to_string();
            places.cmd("ZADD").arg("plain:line").arg("NX").arg(number).arg(vid).ignore();
        }
        let () = places.query_async(&mut connection).await?;
    }
    Ok(json!({ "joined": count, "seconds": began.elapsed().as_secs_f64() }))
}

/// Positions asked of Redis, one after another over one connection.
async fn zrank(url: &str, room: &str, members: usize) -> Result<Value> {
    let mut connection = connect(url).await?;
    let line = format!("queue:{{{room}}}:waiting");
    let some: Vec<String> = redis::cmd("ZRANDMEMBER").arg(&line).arg(members).query_async(&mut connection).await?;
    anyhow::ensure!(!some.is_empty(), "nobody waits in {line}");
    let began = Instant::now();
    for member in &some {
        let rank: Option<u64> = redis::cmd("ZRANK").arg(&line).arg(member).query_async(&mut connection).await?;
        black_box(rank.context("a member without a rank")?);
    }
    let seconds = began.elapsed().as_secs_f64();
    Ok(json!({ "lookups": some.len(), "per_s": some.len() as f64 / seconds }))
}

async fn connect(url: &str) -> Result<MultiplexedConnection> {
    Ok(redis::Client::open(url)?.get_multiplexed_async_connection().await?)
}

/// Builds the index of a million bits, a third of them gone, and looks up random numbers.
fn index() -> Result<Value> {
    // Everybody whose number has these bits set has left: a third or so, spread evenly.
    let bytes = (0..MILLION / 8).map(|_| rand::random::<u8>() | rand::random::<u8>()).collect();
    let span = BitSpan { first: 8_000_000, bytes };
    let mut builds: Vec<Duration> = (0..BUILDS)
        .map(|_| {
            let began = Instant::now();
            black_box(RankIndex::build(black_box(&span)));
            began.elapsed()
        })
        .collect();
    builds.sort_unstable();
    let index = RankIndex::build(&span);
    let asked: Vec<u64> = (0..LOOKUPS).map(|_| span.first + rand::random_range(0..MILLION)).collect();
    let mut rates: Vec<f64> = (0..MEASUREMENTS)
        .map(|_| {
            let began = Instant::now();
            let sum: u64 = asked.iter().filter(|seq| index.contains(**seq)).map(|seq| index.rank(*seq)).sum();
            black_box(sum);
            asked.len() as f64 / began.elapsed().as_secs_f64()
        })
        .collect();
    rates.sort_by(f64::total_cmp);
    let build_us = builds[BUILDS / 2].as_secs_f64() * 1e6;
    Ok(
        json!({ "bits": MILLION, "waiting": index.count(), "build_us": build_us, "lookups_per_s": rates[MEASUREMENTS / 2] }),
    )
}
