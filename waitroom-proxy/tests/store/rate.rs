//! I1: in every window, admissions ≤ rate · t + burst, whatever the clock, the nodes and the losses.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use waitroom_proxy::store::memory::MemoryStore;
use waitroom_proxy::store::{Epoch, JoinItem, QueueStore, RoomName, Seen, Verdict};

use crate::bed::{BURST, LIFE, LONG, SHORT, limits, patient_store, room_name, vid};

/// What happens between two looks.
#[derive(Clone, Debug)]
enum Event {
    /// Time passes, µs.
    Pass(u64),
    /// The clock of the host steps back, µs, while real time stands still.
    StepBack(u64),
    Tick,
    Enter(u64),
    /// Everybody in line leaves, so that the fast lane opens.
    Drain,
    Join(u64),
    Save,
    /// The last writes are lost; the node remembers what it saw.
    RollBack,
    /// A new generation; the bucket goes on.
    Reset,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        6 => (1_u64..300_000).prop_map(Event::Pass),
        1 => (1_u64..5_000_000).prop_map(Event::StepBack),
        6 => Just(Event::Tick),
        3 => (1_u64..30).prop_map(Event::Enter),
        1 => Just(Event::Drain),
        3 => (1_u64..60).prop_map(Event::Join),
        1 => Just(Event::Save),
        1 => Just(Event::RollBack),
        1 => Just(Event::Reset),
    ];
    proptest::collection::vec(event, 1..120)
}

/// One room on a clock of the test's own.
struct Run {
    store: MemoryStore,
    clock: Arc<AtomicU64>,
    room: RoomName,
    epoch: Epoch,
    seen: Seen,
    /// Time that really passed, µs, and how many were admitted at which moment.
    elapsed_us: u64,
    admitted: Vec<(u64, u64)>,
    visitors: u64,
}

impl Run {
    async fn begin(burst: f64) -> Self {
        let clock = Arc::new(AtomicU64::new(1_700_000_000_000_000));
        let read = Arc::clone(&clock);
        let store = MemoryStore::with_clock(move || read.load(Ordering::SeqCst));
        let room = room_name();
        let nothing = Epoch { generation: 1, life: 0 };
        let begun = store.recover(&room, nothing, Seen::default(), SHORT, burst, LIFE).await.expect("fresh");
        Self {
            store,
            clock,
            room,
            epoch: begun.epoch,
            seen: begun.seen,
            elapsed_us: 0,
            admitted: Vec::new(),
            visitors: 0,
        }
    }

    async fn go(&mut self, events: &[Event], rate: f64, burst: f64) {
        let mut saved = None;
        for event in events {
            match event {
                Event::Pass(us) => {
                    self.elapsed_us += us;
                    self.clock.fetch_add(*us, Ordering::SeqCst);
                }
                Event::StepBack(us) => drop(self.clock.fetch_sub(*us, Ordering::SeqCst)),
                Event::Tick => self.tick(rate, burst).await,
                Event::Enter(count) => self.enter(*count, rate, burst).await,
                Event::Join(count) => self.join(*count).await,
                Event::Drain => {
                    let nonce = format!("{}-{}", self.visitors, self.elapsed_us);
                    self.store.flush(&self.room, self.epoch, self.seen, &nonce).await.expect("flushed");
                    self.look().await;
                }
                Event::Save => saved = self.store.image(&self.room).map(|image| (self.epoch, image)),
                Event::RollBack => {
                    if let Some((epoch, image)) = saved.clone().filter(|(epoch, _)| *epoch == self.epoch) {
                        self.epoch = epoch;
                        self.store.set_image(&self.room, Some(image));
                    }
                }
                Event::Reset => {
                    // As after every reconnect: a reset takes the bucket as it finds it.
                    let recover = self.store.recover(&self.room, self.epoch, self.seen, SHORT, burst, LIFE);
                    recover.await.expect("merged");
                    self.epoch = self.store.reset(&self.room, self.epoch).await.expect("reset");
                    self.seen = Seen::default();
                    self.look().await;
                }
            }
        }
    }

    async fn tick(&mut self, rate: f64, burst: f64) {
        let limits = limits(rate, burst, 0);
        let ticked = self.store.tick(&self.room, self.epoch, self.seen, limits, LONG).await.expect("ticked");
        self.admitted.push((self.elapsed_us, ticked.granted_now));
        self.look().await;
    }

    async fn enter(&mut self, count: u64, rate: f64, burst: f64) {
        let batch: Vec<_> = (0..count).map(|more| vid(self.visitors + more)).collect();
        self.visitors += count;
        let limits = limits(rate, burst, 0);
        let verdicts =
            self.store.enter(&self.room, self.epoch, self.seen, limits, LONG, &batch).await.expect("entered");
        let entered = verdicts.iter().filter(|verdict| matches!(verdict, Verdict::Session { .. })).count() as u64;
        self.admitted.push((self.elapsed_us, entered));
        self.look().await;
    }

    async fn join(&mut self, count: u64) {
        let batch: Vec<_> = (0..count).map(|more| JoinItem { vid: vid(self.visitors + more), seq: 0 }).collect();
        self.visitors += count;
        self.store.join(&self.room, self.epoch, self.seen, &batch).await.expect("joined");
        self.look().await;
    }

    async fn look(&mut self) {
        let detail = waitroom_proxy::store::Detail::Counters;
        let now = self.store.snapshot(&self.room, None, detail).await.expect("a picture").seen();
        // A node does not forget what it saw when the store does.
        let seq = self.seen.seq.max(now.seq);
        self.seen = Seen { seq, admitted: self.seen.admitted.max(now.admitted), ..now };
    }
}

proptest! {
    #[test]
    fn i1_admissions_in_every_window_are_bounded(events in events(), rate in 0.0_f64..500.0, burst in 1_u32..40) {
        let burst = f64::from(burst);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let mut run = runtime.block_on(Run::begin(burst));
        runtime.block_on(run.go(&events, rate, burst));
        for (at, (from_us, _)) in run.admitted.iter().enumerate() {
            let mut total = 0;
            for (to_us, admitted) in &run.admitted[at..] {
                total += admitted;
                let allowed = rate * (to_us - from_us) as f64 / 1e6 + burst;
                // Tokens are kept to six decimals.
                prop_assert!(total as f64 <= allowed + 1e-3, "{} admitted, {} allowed", total, allowed);
            }
        }
    }
}

/// Four nodes tick one room of a real server as fast as they can.
#[tokio::test]
async fn i1_many_nodes_on_one_redis_share_one_bucket() {
    const RATE: f64 = 3_000.0;
    let url = testbed::redis::shared().await.url();
    let store = patient_store(&url);
    let room = room_name();
    let nothing = Epoch { generation: 1, life: 0 };
    let begun = store.recover(&room, nothing, Seen::default(), SHORT, BURST, LIFE).await.expect("fresh");
    let start_ms =
        store.snapshot(&room, None, waitroom_proxy::store::Detail::Counters).await.expect("a picture").now_ms;
    let everybody: Vec<JoinItem> = (1..=5_000).map(|who| JoinItem { vid: vid(who), seq: 0 }).collect();
    for batch in everybody.chunks(1_000) {
        store.join(&room, begun.epoch, Seen::default(), batch).await.expect("joined");
    }
    let nodes = (0..4).map(|_| {
        let (room, store) = (room.clone(), patient_store(&url));
        tokio::spawn(async move {
            let nothing = Seen::default();
            store.recover(&room, begun.epoch, nothing, SHORT, BURST, LIFE).await.expect("merged");
            let mut given = 0;
            for _ in 0..200 {
                let ticked =
                    store.tick(&room, begun.epoch, nothing, limits(RATE, BURST, 0), LONG).await.expect("ticked");
                given += ticked.granted_now;
            }
            given
        })
    });
    let mut given = 0;
    for node in nodes.collect::<Vec<_>>() {
        given += node.await.expect("a node");
    }
    let picture = store.snapshot(&room, None, waitroom_proxy::store::Detail::Counters).await.expect("a picture");
    // The clock is cut to milliseconds at both ends.
    let allowed = RATE * (picture.now_ms - start_ms + 2) as f64 / 1e3 + BURST;
    assert!(given > 0 && given == picture.admitted && given as f64 <= allowed, "{given} of {allowed}");
}
