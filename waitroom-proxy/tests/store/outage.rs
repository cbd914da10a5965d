//! What the Redis store says and does when its server fails, and how it comes back.

use std::time::Duration;

use testbed::redis::PrivateRedis;
use testbed::wire::Wire;
use waitroom_proxy::store::redis::RedisStore;
use waitroom_proxy::store::{
    CheckError, ClaimItem, Detail, Epoch, JoinItem, QueueStore, Recovery, RoomName, SEQ_MARGIN, Seen, Standing,
    StoreError, Verdict,
};

use crate::bed::{BURST, LIFE, LONG, SHORT, client, limits, room_name, vid};

/// Nothing here takes this long, unless it hangs.
const DEADLINE: Duration = Duration::from_secs(20);

/// Longer than by default: a busy machine must not look like a broken server.
const LIMIT: Duration = Duration::from_secs(1);

/// A room on a store that reaches its server at `url`.
struct Outage {
    store: RedisStore,
    room: RoomName,
    epoch: Epoch,
}

impl Outage {
    async fn begin(url: &str) -> Self {
        let (store, room) = (RedisStore::new(client(url)).with_limit(LIMIT), room_name());
        let nothing = Epoch { generation: 1, life: 0 };
        let begun = store.recover(&room, nothing, Seen::default(), SHORT, BURST, LIFE).await.expect("a fresh room");
        Self { store, room, epoch: begun.epoch }
    }

    async fn join(&self, who: u64, seq: u64) -> Result<Vec<Standing>, StoreError> {
        let batch = [JoinItem { vid: vid(who), seq }];
        self.bounded(self.store.join(&self.room, self.epoch, Seen::default(), &batch)).await
    }

    async fn claim(&self, who: u64, seq: u64) -> Result<Vec<Verdict>, StoreError> {
        let batch = [ClaimItem { vid: vid(who), seq, proof: false }];
        self.bounded(self.store.claim(&self.room, self.epoch, LONG, false, &batch)).await
    }

    async fn tick(&self, rate: f64) -> Result<u64, StoreError> {
        let tick = self.store.tick(&self.room, self.epoch, Seen::default(), limits(rate, BURST, 0), LONG);
        self.bounded(tick).await.map(|ticked| ticked.granted_now)
    }

    async fn recover(&self, seen: Seen) -> waitroom_proxy::store::Recovered {
        let recover = self.store.recover(&self.room, self.epoch, seen, LONG, BURST, LIFE + 1);
        self.bounded(recover).await.expect("recovered")
    }

    async fn seen(&self) -> Seen {
        self.store.snapshot(&self.room, None, Detail::Counters).await.expect("a picture").seen()
    }

    /// No call hangs.
    async fn bounded<T>(&self, call: impl Future<Output = T>) -> T {
        tokio::time::timeout(DEADLINE, call).await.expect("every call is answered")
    }

    /// The sentence of a store that gives no answer.
    async fn sentence(&self) -> String {
        match self.join(99, 0).await {
            Err(StoreError::Unavailable(sentence)) => sentence,
            other => panic!("available: {other:?}"),
        }
    }

    /// Waits until the store has a connection again.
    async fn until_it_answers(&self) {
        let answers = async {
            while matches!(self.store.ping().await, Err(StoreError::Unavailable(_))) {
                tokio::task::yield_now().await;
            }
        };
        self.bounded(answers).await;
    }
}

#[tokio::test]
async fn f11_scripts_that_the_server_forgot_are_sent_again() {
    let redis = PrivateRedis::start().await.expect("redis");
    let bed = Outage::begin(&redis.url()).await;
    bed.join(1, 0).await.expect("joined");
    let mut raw = client(&redis.url()).get_multiplexed_async_connection().await.expect("a connection");
    redis::cmd("SCRIPT").arg("FLUSH").exec_async(&mut raw).await.expect("flushed");
    assert_eq!(bed.join(2, 0).await.expect("joined"), [Standing::Waiting(2)]);
}

#[tokio::test]
async fn f3_a_server_that_comes_back_empty_is_restored_with_the_old_places() {
    let redis = PrivateRedis::start().await.expect("redis");
    let bed = Outage::begin(&redis.url()).await;
    for who in 1..=3 {
        bed.join(who, 0).await.expect("joined");
    }
    let seen = bed.seen().await;
    redis.kill().await.expect("killed");
    let sentence = bed.sentence().await;
    assert!(sentence.contains(&redis.addr().to_string()), "{sentence}");
    for _ in 0..5 {
        bed.sentence().await;
    }
    redis.restart().await.expect("back");
    bed.until_it_answers().await;
    assert!(matches!(bed.join(2, 2).await, Err(StoreError::Lost)));
    let restored = bed.recover(seen).await;
    assert_eq!((restored.how, restored.epoch), (Recovery::Restored, bed.epoch));
    assert_eq!(bed.join(2, 2).await.expect("joined"), [Standing::Waiting(2)]);
    assert_eq!(bed.join(4, 0).await.expect("joined"), [Standing::Waiting(4 + SEQ_MARGIN)]);
}

#[tokio::test]
async fn f1_a_server_that_kept_its_data_is_noticed_and_its_numbers_jump() {
    let redis = PrivateRedis::options().durable().start().await.expect("redis");
    let bed = Outage::begin(&redis.url()).await;
    bed.join(1, 0).await.expect("joined");
    redis.restart().await.expect("back");
    bed.until_it_answers().await;
    assert!(matches!(bed.join(2, 0).await, Err(StoreError::Lost)), "recover first, on every new connection");
    assert_eq!(bed.recover(Seen::default()).await.how, Recovery::Merged);
    assert_eq!(bed.join(1, 1).await.expect("joined"), [Standing::Waiting(1)]);
    assert_eq!(bed.join(2, 0).await.expect("joined"), [Standing::Waiting(2 + SEQ_MARGIN)], "writes may be lost");
    assert_eq!(bed.tick(0.0).await.expect("ticked"), 0, "and turns, too");
}

#[tokio::test]
async fn f1_a_server_killed_in_the_middle_of_ticks_has_each_of_them_whole_or_not_at_all() {
    const CROWD: u64 = 900;
    let redis = PrivateRedis::options().durable().start().await.expect("redis");
    let bed = Outage::begin(&redis.url()).await;
    let everybody: Vec<JoinItem> = (1..=CROWD).map(|who| JoinItem { vid: vid(who), seq: 0 }).collect();
    bed.bounded(bed.store.join(&bed.room, bed.epoch, Seen::default(), &everybody)).await.expect("joined");
    for round in 1..=4 {
        let before = bed.seen().await.admitted;
        // Three a tick, as fast as they are answered.
        let limits = limits(1e9, 3.0, 0);
        let ticking =
            async { while bed.store.tick(&bed.room, bed.epoch, Seen::default(), limits, LONG).await.is_ok() {} };
        let killing = async {
            while bed.seen().await.admitted < before + 60 {}
            redis.kill().await.expect("killed");
        };
        bed.bounded(async { tokio::join!(ticking, killing) }).await;
        redis.restart().await.expect("back");
        bed.until_it_answers().await;
        bed.recover(bed.seen().await).await;
        let picture = bed.store.snapshot(&bed.room, None, Detail::Everything).await.expect("a picture");
        let bits: u64 = picture.waiting_bits.bytes.iter().map(|byte| u64::from(byte.count_ones())).sum();
        assert_eq!(bits, picture.waiting, "I6 in round {round}");
        assert_eq!(picture.waiting + picture.granted, CROWD, "I7 in round {round}");
        assert_eq!(picture.admitted, picture.granted, "each turn counted once, in round {round}");
    }
}

#[tokio::test]
async fn f4_a_server_that_stands_still_holds_nobody_up() {
    let redis = PrivateRedis::start().await.expect("redis");
    let bed = Outage::begin(&redis.url()).await;
    bed.join(1, 0).await.expect("joined");
    redis.pause_process().await.expect("stopped");
    for _ in 0..20 {
        let sentence = bed.sentence().await;
        assert!(sentence.contains("did not answer"), "{sentence}");
    }
    redis.resume_process().await.expect("going on");
    bed.until_it_answers().await;
    let seen = bed.seen().await;
    assert_eq!(bed.recover(seen).await.how, Recovery::Merged);
    assert_eq!(bed.join(1, 0).await.expect("joined"), [Standing::Waiting(1)], "nothing was lost");
}

#[tokio::test]
async fn f5_lost_replies_of_join_tick_and_claim_are_made_good_by_a_repeat() {
    let redis = PrivateRedis::start().await.expect("redis");
    let wire = Wire::to(redis.addr()).await.expect("a wire");
    let bed = Outage::begin(&redis.url_via(wire.addr())).await;
    let direct = RedisStore::new(client(&redis.url())).with_limit(DEADLINE);
    // The server must know the scripts: otherwise the reply that is lost is the one that asks for them.
    let other = Outage::begin(&redis.url()).await;
    other.join(1, 0).await.expect("joined");
    other.tick(0.0).await.expect("ticked");
    other.claim(1, 1).await.expect("claimed");
    let counters = || direct.snapshot(&bed.room, None, Detail::Counters);

    for step in ["join", "tick", "claim"] {
        wire.lose_replies().await.expect("replies are lost");
        let lost = match step {
            "join" => bed.join(1, 0).await.map(drop),
            "tick" => bed.tick(0.0).await.map(drop),
            _ => bed.claim(1, 1).await.map(drop),
        };
        assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{step}: {lost:?}");
        let picture = counters().await.expect("a picture");
        assert_eq!(
            (picture.waiting, picture.granted, picture.active),
            match step {
                "join" => (1, 0, 0),
                "tick" => (0, 1, 0),
                _ => (0, 0, 1),
            },
            "{step} had its effect"
        );
        wire.mend().await.expect("mended");
        bed.until_it_answers().await;
        bed.recover(picture.seen()).await;
        match step {
            "join" => assert_eq!(bed.join(1, 0).await.expect("again"), [Standing::Waiting(1)]),
            "tick" => assert_eq!(bed.tick(0.0).await.expect("again"), 0),
            _ => assert!(matches!(bed.claim(1, 1).await.expect("again")[..], [Verdict::Session { seq: 1, .. }])),
        }
        let after = counters().await.expect("a picture");
        assert_eq!((after.seq, after.admitted), (picture.seq, picture.admitted), "{step}: nothing happened twice");
    }
}

#[tokio::test]
async fn a_cut_wire_is_mended_without_a_restart_and_nothing_is_lost() {
    let redis = PrivateRedis::start().await.expect("redis");
    let wire = Wire::to(redis.addr()).await.expect("a wire");
    let bed = Outage::begin(&redis.url_via(wire.addr())).await;
    bed.join(1, 0).await.expect("joined");
    wire.cut().await.expect("cut");
    for _ in 0..20 {
        bed.sentence().await;
    }
    wire.mend().await.expect("mended");
    bed.until_it_answers().await;
    assert!(matches!(bed.join(2, 0).await, Err(StoreError::Lost)), "recover first, on every new connection");
    bed.recover(Seen { seq: 1, ..Seen::default() }).await;
    assert_eq!(bed.join(2, 0).await.expect("joined"), [Standing::Waiting(2)]);
}

#[tokio::test]
async fn f2_a_changed_replication_id_moves_numbers_on_and_empties_the_bucket_once() {
    let redis = PrivateRedis::start().await.expect("redis");
    let bed = Outage::begin(&redis.url()).await;
    let mut raw = client(&redis.url()).get_multiplexed_async_connection().await.expect("a connection");
    let mut fail_over = async || {
        for primary in [["127.0.0.1", "1"], ["NO", "ONE"]] {
            redis::cmd("REPLICAOF").arg(&primary).exec_async(&mut raw).await.expect("another id");
        }
    };
    bed.join(1, 0).await.expect("joined");
    fail_over().await;
    assert_eq!(bed.join(2, 0).await.expect("joined"), [Standing::Waiting(2 + SEQ_MARGIN)]);
    assert_eq!(bed.join(3, 0).await.expect("joined"), [Standing::Waiting(3 + SEQ_MARGIN)], "once");
    assert_eq!(bed.tick(0.0).await.expect("ticked"), 0, "no tokens for an interval that may have been paid");
    fail_over().await;
    let tick = || bed.store.tick(&bed.room, bed.epoch, Seen::default(), limits(0.0, BURST, 0), LONG);
    assert!(tick().await.expect("ticked").rolled_back);
    assert!(!tick().await.expect("ticked").rolled_back, "once");
}

#[tokio::test]
async fn f12_a_server_that_refuses_writes_is_explained() {
    let redis = PrivateRedis::start().await.expect("redis");
    let bed = Outage::begin(&redis.url()).await;
    let mut raw = client(&redis.url()).get_multiplexed_async_connection().await.expect("a connection");
    let mut order = async |words: &[&str]| {
        let mut command = redis::Cmd::new();
        command.arg(words).exec_async(&mut raw).await.expect("ordered");
    };
    order(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let sentence = bed.sentence().await;
    assert!(sentence.contains("out of memory") && sentence.contains("maxmemory"), "{sentence}");
    order(&["CONFIG", "SET", "maxmemory", "0"]).await;
    assert_eq!(bed.join(1, 0).await.expect("joined"), [Standing::Waiting(1)], "at once, and nothing was half done");
    order(&["REPLICAOF", "127.0.0.1", "1"]).await;
    order(&["CONFIG", "SET", "replica-serve-stale-data", "yes"]).await;
    let sentence = bed.sentence().await;
    assert!(sentence.contains("replica") && sentence.contains("primary"), "{sentence}");
    assert!(matches!(bed.store.check().await, Err(CheckError::Unfit(text)) if text.contains("replica of 127.0.0.1:1")));
}

#[tokio::test]
async fn refused_at_start_with_a_sentence_each() {
    let redis = PrivateRedis::options().password("correct").start().await.expect("redis");
    let check = |url: String| async move { RedisStore::new(client(&url)).with_limit(DEADLINE).check().await };
    assert_eq!(check(redis.url()).await, Ok(()));
    for wrong in [format!("redis://:hunter2@{}/", redis.addr()), format!("redis://{}/", redis.addr())] {
        let Err(CheckError::Down(sentence)) = check(wrong).await else { panic!("let in") };
        assert!(sentence.contains("user and password") && !sentence.contains("hunter2"), "{sentence}");
    }
    let url = redis.url();
    redis.kill().await.expect("killed");
    let Err(CheckError::Down(sentence)) = check(url).await else { panic!("nothing is there") };
    assert!(sentence.contains("nothing listens at") && sentence.contains("start Redis"), "{sentence}");

    let evicting = PrivateRedis::options().directive("maxmemory-policy", "allkeys-lru").start().await.expect("redis");
    let Err(CheckError::Unfit(sentence)) = check(evicting.url()).await else { panic!("evicts") };
    assert!(sentence.contains("noeviction"), "{sentence}");
}
