//! A store with a room of its own for one test, and short words for what tests do with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use waitroom_proxy::store::memory::MemoryStore;
use waitroom_proxy::store::redis::RedisStore;
use waitroom_proxy::store::{
    BitSpan, ClaimItem, Detail, Epoch, JoinItem, Limits, QueueStore, RoomName, RoomPicture, Seen, Standing, StoreError,
    Ticked, TouchItem, Verdict, Vid,
};

/// Longer than any test.
pub(crate) const LONG: Duration = Duration::from_secs(3_600);
/// Runs out within [`Bed::let_it_run_out`].
pub(crate) const SHORT: Duration = Duration::from_millis(1);
/// A bucket that is always full: what a tick gives depends on the burst alone.
pub(crate) const FULL: f64 = 1e9;
pub(crate) const BURST: f64 = 20.0;
pub(crate) const LIFE: u32 = 77;
/// How much the memory store's clock moves by each look at it, so that a bucket fills as it does in reality.
const TICK_US: u64 = 20;
const DEADLINE: Duration = Duration::from_secs(20);

/// A store, a room that has just begun, and its epoch.
pub(crate) struct Bed {
    pub(crate) store: Arc<dyn QueueStore>,
    pub(crate) room: RoomName,
    pub(crate) epoch: Epoch,
    /// The memory store's clock, µs; Redis has its own.
    pub(crate) clock: Option<Arc<AtomicU64>>,
}

/// Runs each of the named functions on memory and on Redis, as two tests.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => { $(
        mod $name {
            #[tokio::test]
            async fn memory() {
                super::$name(crate::bed::Bed::memory().await).await;
            }
            #[tokio::test]
            async fn redis() {
                super::$name(crate::bed::Bed::redis().await).await;
            }
        }
    )* };
}
pub(crate) use on_both;

pub(crate) fn vid(number: u64) -> Vid {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    Vid(bytes)
}

pub(crate) fn client(url: &str) -> redis::Client {
    redis::Client::open(url).expect("a url of the test bed")
}

/// A store that waits for a busy machine.
pub(crate) fn patient_store(url: &str) -> RedisStore {
    RedisStore::new(client(url)).with_limit(DEADLINE)
}

/// What the proxy's user may do, word for word as in `docs/REDIS.md`.
pub(crate) fn rules() -> Vec<&'static str> {
    let line = include_str!("../../../docs/REDIS.md").lines().find(|line| line.starts_with("user waitroom "));
    line.expect("the rules are documented").split(' ').skip(2).collect()
}

/// The URL of the shared server for that user.
pub(crate) async fn restricted() -> String {
    static MADE: tokio::sync::OnceCell<String> = tokio::sync::OnceCell::const_new();
    let make = async || {
        let server = testbed::redis::shared().await;
        let mut raw = client(&server.url()).get_multiplexed_async_connection().await.expect("a connection");
        redis::cmd("ACL").arg("SETUSER").arg("waitroom").arg(rules()).exec_async(&mut raw).await.expect("a user");
        format!("redis://waitroom:change-me@{}/", server.addr())
    };
    MADE.get_or_init(make).await.clone()
}

/// A room name that no other test of this process uses.
pub(crate) fn room_name() -> RoomName {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    RoomName::new(&format!("room-{}", NEXT.fetch_add(1, Ordering::Relaxed))).expect("a good name")
}

pub(crate) fn limits(rate_per_s: f64, burst: f64, max_active: u64) -> Limits {
    Limits { rate_per_s, burst, max_active }
}

/// The numbers whose bits are set.
pub(crate) fn seqs_in(span: &BitSpan) -> Vec<u64> {
    let bits = span.bytes.iter().enumerate().flat_map(|(at, byte)| {
        (0..8).filter(move |bit| byte & (0x80_u8 >> bit) != 0).map(move |bit| at as u64 * 8 + bit)
    });
    bits.map(|bit| span.first + bit).collect()
}

impl Bed {
    pub(crate) async fn memory() -> Self {
        let clock = Arc::new(AtomicU64::new(1_700_000_000_000_000));
        let read = Arc::clone(&clock);
        let store = MemoryStore::with_clock(move || read.fetch_add(TICK_US, Ordering::SeqCst));
        Self::begin(Arc::new(store), Some(clock)).await
    }

    /// By the user that `docs/REDIS.md` gives the proxy: the whole suite runs with no other right.
    pub(crate) async fn redis() -> Self {
        Self::begin(Arc::new(patient_store(&restricted().await)), None).await
    }

    async fn begin(store: Arc<dyn QueueStore>, clock: Option<Arc<AtomicU64>>) -> Self {
        let nothing = Epoch { generation: 1, life: 0 };
        let room = room_name();
        let begun = store.recover(&room, nothing, Seen::default(), SHORT, BURST, LIFE).await.expect("a fresh room");
        Self { store, room, epoch: begun.epoch, clock }
    }

    /// Returns when whatever lived for [`SHORT`] is over.
    pub(crate) async fn let_it_run_out(&self) {
        if let Some(clock) = &self.clock {
            clock.fetch_add(5_000, Ordering::SeqCst);
            return;
        }
        let until = self.counters().await.now_ms + 5;
        tokio::time::timeout(DEADLINE, async { while self.counters().await.now_ms < until {} })
            .await
            .expect("time passes");
    }

    pub(crate) async fn counters(&self) -> RoomPicture {
        self.store.snapshot(&self.room, None, Detail::Counters).await.expect("a picture")
    }

    pub(crate) async fn picture(&self) -> RoomPicture {
        self.store.snapshot(&self.room, Some(self.epoch), Detail::Everything).await.expect("a picture")
    }

    pub(crate) async fn waiting(&self) -> Vec<u64> {
        seqs_in(&self.picture().await.waiting_bits)
    }

    pub(crate) async fn try_join(&self, items: &[(u64, u64)]) -> Result<Vec<Standing>, StoreError> {
        let batch: Vec<JoinItem> = items.iter().map(|(who, seq)| JoinItem { vid: vid(*who), seq: *seq }).collect();
        self.store.join(&self.room, self.epoch, Seen::default(), &batch).await
    }

    /// Joins (who, ticket's number) pairs.
    pub(crate) async fn join(&self, items: &[(u64, u64)]) -> Vec<Standing> {
        self.try_join(items).await.expect("joined")
    }

    /// Joins visitors 1 to `count` as new ones; they get the numbers 1 to `count` in a fresh room.
    pub(crate) async fn line_up(&self, count: u64) {
        let items: Vec<(u64, u64)> = (1..=count).map(|who| (who, 0)).collect();
        for batch in items.chunks(1_000) {
            self.join(batch).await;
        }
    }

    pub(crate) async fn tick_with(&self, limits: Limits, claim_ttl: Duration) -> Ticked {
        self.store.tick(&self.room, self.epoch, Seen::default(), limits, claim_ttl).await.expect("ticked")
    }

    /// Gives turns to the first `count`, for long.
    pub(crate) async fn grant(&self, count: u64) -> Ticked {
        let ticked = self.tick_with(limits(FULL, count as f64, 0), LONG).await;
        assert_eq!(ticked.granted_now, count);
        ticked
    }

    pub(crate) async fn enter(&self, limits: Limits, ttl: Duration, who: &[u64]) -> Vec<Verdict> {
        let batch: Vec<Vid> = who.iter().map(|who| vid(*who)).collect();
        self.store.enter(&self.room, self.epoch, Seen::default(), limits, ttl, &batch).await.expect("entered or not")
    }

    pub(crate) async fn try_claim(
        &self,
        ttl: Duration,
        renew: bool,
        items: &[(u64, u64, bool)],
    ) -> Result<Vec<Verdict>, StoreError> {
        let batch: Vec<ClaimItem> =
            items.iter().map(|(who, seq, proof)| ClaimItem { vid: vid(*who), seq: *seq, proof: *proof }).collect();
        self.store.claim(&self.room, self.epoch, ttl, renew, &batch).await
    }

    /// Claims (who, ticket's number, with proof) triples for long.
    pub(crate) async fn claim(&self, items: &[(u64, u64, bool)]) -> Vec<Verdict> {
        self.try_claim(LONG, false, items).await.expect("claimed or not")
    }

    /// Lines up `count` visitors, and gives all of them sessions.
    pub(crate) async fn seat(&self, count: u64) {
        self.line_up(count).await;
        self.grant(count).await;
        let items: Vec<_> = (1..=count).map(|who| (who, who, false)).collect();
        assert!(self.claim(&items).await.iter().all(is_session));
    }

    pub(crate) async fn touch(&self, who: u64, seq: u64, ttl: Duration, proof: bool) -> Verdict {
        let batch = [TouchItem { vid: vid(who), seq, ttl, proof, began_ms: 0 }];
        self.store.touch(&self.room, self.epoch, &batch).await.expect("touched or not")[0]
    }

    pub(crate) async fn end(&self, items: &[(u64, u64)]) -> u64 {
        let batch: Vec<JoinItem> = items.iter().map(|(who, seq)| JoinItem { vid: vid(*who), seq: *seq }).collect();
        self.store.end(&self.room, self.epoch, &batch).await.expect("ended")
    }
}

pub(crate) fn is_session(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Session { .. })
}

/// When the session began.
pub(crate) fn beginning(verdict: Verdict) -> u64 {
    match verdict {
        Verdict::Session { began_ms, .. } => began_ms,
        other => panic!("no session: {other:?}"),
    }
}

/// When the session ends.
pub(crate) fn expiry(verdict: Verdict) -> u64 {
    match verdict {
        Verdict::Session { expires_at_ms, .. } => expires_at_ms,
        other => panic!("no session: {other:?}"),
    }
}
