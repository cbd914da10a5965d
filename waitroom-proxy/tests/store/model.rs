//! Random operations on memory and Redis at once: the same answers, the same insides, and the invariants.
//!
//! Several nodes of differing memory take part; rooms are rolled back, wiped, begun anew and recovered.
//! A failing run names its seed; `STORE_MODEL_SEED` repeats one and prints it, `STORE_MODEL_SEEDS` and
//! `STORE_MODEL_STEPS` make more of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use waitroom_proxy::store::memory::{MemoryStore, RoomImage};
use waitroom_proxy::store::redis::RedisStore;
use waitroom_proxy::store::{
    BitKind, BitSpan, ClaimItem, Detail, Epoch, JoinItem, Limits, RoomName, Seen, Standing, StoreError, TouchItem,
    Verdict, Vid,
};

use crate::bed::{BURST, FULL, LONG, SHORT, client, limits, patient_store, room_name, vid};
use crate::contents::Contents;
use crate::operation::{Answer, Operation, without_times};

#[path = "model/chance.rs"]
mod chance;
#[path = "model/losses.rs"]
mod losses;
#[path = "model/moves.rs"]
mod moves;

use chance::Chance;

const NODES: usize = 3;

/// What one proxy remembers.
#[derive(Clone, Debug)]
struct Node {
    epoch: Epoch,
    seen: Seen,
    spent: BitSpan,
    ended: BitSpan,
}

impl Node {
    fn new() -> Self {
        let epoch = Epoch { generation: 1, life: 0 };
        Self { epoch, seen: Seen::default(), spent: BitSpan::default(), ended: BitSpan::default() }
    }

    fn adopt(&mut self, epoch: Epoch) {
        if self.epoch != epoch {
            *self = Self { epoch, ..Self::new() };
        }
    }

    fn remember(&mut self, seen: Seen) {
        let old = self.seen;
        self.seen = Seen {
            seq: old.seq.max(seen.seq),
            admitted: old.admitted.max(seen.admitted),
            watermark: old.watermark.max(seen.watermark),
            base: old.base.max(seen.base),
            floor: old.floor.max(seen.floor),
            pause: old.pause.max(seen.pause),
        };
    }
}

/// Both stores at an earlier moment.
struct Saved {
    memory: Option<RoomImage>,
    redis: Vec<Option<Vec<u8>>>,
}

struct World {
    chance: Chance,
    step: u64,
    memory: MemoryStore,
    redis: RedisStore,
    raw: MultiplexedConnection,
    url: String,
    room: RoomName,
    nodes: Vec<Node>,
    /// How many visitors there were, and orders of the operator.
    visitors: u64,
    orders: u64,
    /// The latest ticket of each visitor, and who ever had a number.
    tickets: BTreeMap<Vid, (Epoch, u64)>,
    owners: HashMap<(Epoch, u64), Vid>,
    /// Queue tokens that have not run out, and what was spent and ended, as the visitors know it.
    tokens: BTreeMap<Vid, (Epoch, u64)>,
    spent: BTreeSet<(u64, u32, u64)>,
    ended: BTreeSet<(u64, u32, u64)>,
    saved: Option<Saved>,
    /// What both stores hold, as of the last look.
    latest: Option<Contents>,
    /// The stores went back, and nobody has given back yet what they forgot: until then it may seem undone.
    forgetful: bool,
    /// Prints every operation.
    verbose: bool,
    /// How often each kind of operation succeeded, to see that the run was worth something.
    counts: BTreeMap<&'static str, u64>,
}

fn number(epoch: Epoch, seq: u64) -> (u64, u32, u64) {
    (epoch.generation, epoch.life, seq)
}

impl World {
    async fn begin(seed: u64) -> Self {
        let url = testbed::redis::shared().await.url();
        let raw = client(&url).get_multiplexed_async_connection().await.expect("a connection");
        Self {
            chance: Chance::new(seed),
            step: 0,
            memory: MemoryStore::new(),
            redis: patient_store(&url),
            raw,
            url,
            room: room_name(),
            nodes: (0..NODES).map(|_| Node::new()).collect(),
            visitors: 0,
            orders: 0,
            tickets: BTreeMap::new(),
            owners: HashMap::new(),
            tokens: BTreeMap::new(),
            spent: BTreeSet::new(),
            ended: BTreeSet::new(),
            saved: None,
            latest: None,
            forgetful: false,
            verbose: std::env::var_os("STORE_MODEL_SEED").is_some(),
            counts: BTreeMap::new(),
        }
    }

    fn place(&self) -> String {
        format!("STORE_MODEL_SEED={} step {}", self.chance.seed, self.step)
    }

    /// Reads both stores, compares them, and checks what is always true.
    async fn look(&mut self) {
        let memory = Contents::of_memory(&self.memory, &self.room).await;
        let redis = Contents::of_redis(&self.redis, &mut self.raw, &self.room).await;
        let place = self.place();
        match (&memory, &redis) {
            (Some(memory), Some(redis)) => {
                memory.assert_same(redis, &place);
                memory.assert_sound(&place);
                self.assert_history(memory);
            }
            (None, None) => {}
            _ => panic!("{place}: one has the room, the other has not"),
        }
        self.latest = memory;
    }

    /// I4 and I8 over time: numbers keep their visitors, what was spent or ended does not come back.
    fn assert_history(&self, contents: &Contents) {
        if self.forgetful {
            return;
        }
        let (place, epoch) = (self.place(), contents.picture.epoch);
        for (vid, seq) in &contents.waiting {
            assert!(!self.spent.contains(&number(epoch, *seq)), "{place}: I8: spent {seq} waits again");
            assert!(!self.ended.contains(&number(epoch, *seq)), "{place}: I8: ended {seq} waits again");
            assert!(self.owners.get(&(epoch, *seq)).is_none_or(|owner| owner == vid), "{place}: I4: {seq} of two");
        }
        for (vid, (seq, _)) in contents.granted.iter().chain(&contents.active) {
            // Below the base nobody knows any more what was ended; `trim` is told to keep what tokens can still name.
            let known = *seq >= contents.picture.base;
            let back = known && self.ended.contains(&number(epoch, *seq));
            assert!(!back, "{place}: I8: ended {seq} of {vid} is back");
            assert!(self.owners.get(&(epoch, *seq)).is_none_or(|owner| owner == vid), "{place}: I4: {seq} of two");
        }
    }

    /// Gives one operation to both stores, compares, and lets the node learn from the answer.
    async fn act(&mut self, node: usize, operation: &Operation) -> Result<Answer, StoreError> {
        self.step += 1;
        let place = self.place();
        let before = self.latest.take();
        let answer = self.apply(node, operation, &place).await;
        if self.verbose {
            println!("{place}: node {node} {operation:?}\n  {answer:?}");
        }
        if operation.is_short(SHORT) {
            self.let_it_run_out().await;
        } else if answer.is_ok() && operation.repeats_its_answer() && self.chance.one_in(3) {
            let again = self.apply(node, operation, &place).await;
            let (first, second) = (without_times(&answer), without_times(&again));
            assert_eq!(first, second, "{place}: I9: a repeated {operation:?}");
        }
        self.learn(node, operation, &answer);
        self.look().await;
        if let (Some(before), Some(after)) = (before, &self.latest) {
            self.assert_step(operation, &answer, &before, after);
        }
        answer
    }

    async fn apply(&mut self, node: usize, operation: &Operation, place: &str) -> Result<Answer, StoreError> {
        let Node { epoch, seen, .. } = self.nodes[node].clone();
        let memory = operation.apply(&self.memory, &self.room, epoch, seen).await;
        let redis = operation.apply(&self.redis, &self.room, epoch, seen).await;
        assert_eq!(without_times(&memory), without_times(&redis), "{place}: {operation:?} by {:?}", self.nodes[node]);
        redis
    }

    /// What one operation may and must not do: I2, I3, I5.
    fn assert_step(
        &self,
        operation: &Operation,
        answer: &Result<Answer, StoreError>,
        before: &Contents,
        after: &Contents,
    ) {
        let place = self.place();
        if let (Operation::Tick { limits, .. }, Ok(Answer::Ticked(ticked))) = (operation, answer) {
            let given = usize::try_from(ticked.granted_now).expect("few");
            assert_eq!(before.line[given..], after.line, "{place}: I3: turns are given from the front");
            assert!(ticked.granted_now as f64 <= limits.burst, "{place}: I1: more than the bucket holds");
            let capped = given > 0 && limits.max_active > 0;
            assert!(!capped || ticked.occupied <= limits.max_active, "{place}: I2: {ticked:?} over {limits:?}");
        }
        if operation.may_move_back() || before.picture.epoch != after.picture.epoch {
            return;
        }
        let position = |line: &[u64], seq: u64| line.binary_search(&seq).ok();
        for seq in &after.line {
            if let (Some(was), Some(is)) = (position(&before.line, *seq), position(&after.line, *seq)) {
                assert!(is <= was, "{place}: I5: {seq} moved back from {was} to {is}");
            }
        }
    }

    fn learn(&mut self, node: usize, operation: &Operation, answer: &Result<Answer, StoreError>) {
        let epoch = self.nodes[node].epoch;
        match (operation, answer) {
            (_, Err(StoreError::Superseded(epoch))) => self.nodes[node].adopt(*epoch),
            (Operation::Join(batch), Ok(Answer::Standings(standings))) => {
                for (item, standing) in batch.iter().zip(standings) {
                    if let Standing::Waiting(seq) | Standing::Granted(seq) | Standing::Active(seq) = standing {
                        self.own(item.vid, epoch, *seq);
                        self.nodes[node].seen.seq = self.nodes[node].seen.seq.max(*seq);
                    }
                }
            }
            (Operation::Enter { batch, ttl, .. }, Ok(Answer::Verdicts(verdicts))) => {
                self.learn_sessions(epoch, batch.iter().map(|vid| (*vid, *ttl)), verdicts);
            }
            (Operation::Claim { batch, ttl, .. }, Ok(Answer::Verdicts(verdicts))) => {
                self.learn_sessions(epoch, batch.iter().map(|item| (item.vid, *ttl)), verdicts);
            }
            (Operation::Touch(batch), Ok(Answer::Verdicts(verdicts))) => {
                self.learn_sessions(epoch, batch.iter().map(|item| (item.vid, item.ttl)), verdicts);
            }
            (Operation::End(batch), Ok(_)) => {
                self.ended.extend(batch.iter().filter(|item| item.seq > 0).map(|item| number(epoch, item.seq)));
            }
            (_, Ok(Answer::Picture(picture))) => {
                self.nodes[node].adopt(picture.epoch);
                self.nodes[node].remember(picture.seen());
                if matches!(operation, Operation::Snapshot(Detail::Everything)) {
                    self.nodes[node].spent = picture.spent_bits.clone();
                    self.nodes[node].ended = picture.ended_bits.clone();
                }
            }
            (_, Ok(Answer::Recovered(recovered))) => {
                self.nodes[node].adopt(recovered.epoch);
                self.nodes[node].remember(recovered.seen);
            }
            (_, Ok(Answer::Flushed((floor, _)))) => {
                let seen = Seen { seq: *floor, floor: *floor, ..self.nodes[node].seen };
                self.nodes[node].remember(seen);
            }
            (Operation::SetPaused(_), Ok(Answer::Count(pause))) => {
                let seen = Seen { pause: *pause, ..self.nodes[node].seen };
                self.nodes[node].remember(seen);
            }
            (_, Ok(Answer::Epoch(epoch))) => self.nodes[node].adopt(*epoch),
            _ => {}
        }
        if answer.is_ok() {
            let debug = format!("{operation:?}");
            let name = chance::NAMES.iter().find(|name| debug.starts_with(**name)).unwrap_or(&"other");
            *self.counts.entry(name).or_default() += 1;
        }
    }

    fn learn_sessions(&mut self, epoch: Epoch, who: impl Iterator<Item = (Vid, Duration)>, verdicts: &[Verdict]) {
        for ((vid, ttl), verdict) in who.zip(verdicts) {
            if let Verdict::Session { seq, .. } = verdict {
                self.own(vid, epoch, *seq);
                self.spent.insert(number(epoch, *seq));
                if ttl == SHORT {
                    self.tokens.remove(&vid);
                } else {
                    self.tokens.insert(vid, (epoch, *seq));
                }
            }
        }
    }

    fn own(&mut self, vid: Vid, epoch: Epoch, seq: u64) {
        let owner = *self.owners.entry((epoch, seq)).or_insert(vid);
        assert_eq!(owner, vid, "{}: I4: {seq} given to two visitors", self.place());
        self.tickets.insert(vid, (epoch, seq));
    }

    async fn let_it_run_out(&mut self) {
        let now = |time: (u64, u64)| time.0 * 1_000 + time.1 / 1_000;
        let time = redis::cmd("TIME");
        let until = now(time.query_async(&mut self.raw).await.expect("the time")) + 3;
        while now(time.query_async(&mut self.raw).await.expect("the time")) < until {}
    }
}

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[tokio::test]
async fn memory_and_redis_do_the_same_and_keep_the_invariants() {
    let first = from_env("STORE_MODEL_SEED", 1);
    let seeds = from_env("STORE_MODEL_SEEDS", if std::env::var_os("STORE_MODEL_SEED").is_some() { 1 } else { 8 });
    let steps = from_env("STORE_MODEL_STEPS", 200);
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    for seed in first..first + seeds {
        let mut world = World::begin(seed).await;
        world.run(steps).await;
        for (name, count) in world.counts {
            *counts.entry(name).or_default() += count;
        }
    }
    println!("{counts:?}");
}
