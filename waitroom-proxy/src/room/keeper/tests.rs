//! A keeper's rounds, one at a time, on the embedded store with a clock of the test's own.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc::Receiver;

use super::super::{Ending, RoomSettings, RoomWork};
use super::*;
use crate::classify::RouteKind;
use crate::decide::{Decision, Door, Shown, decide};
use crate::session::Session;
use crate::store::memory::MemoryStore;
use crate::store::{ClaimItem, JoinItem, Limits, RoomName, Standing, TouchItem, Verdict, Vid};

const BEGINNING_US: u64 = 1_795_161_600_000_000;
const DAY: Duration = Duration::from_secs(86_400);

/// One store, and the time by it.
struct Bed {
    store: Arc<MemoryStore>,
    now_us: Arc<AtomicU64>,
    name: RoomName,
}

/// A node whose keeper works when the test says so.
struct Node {
    room: Arc<Room>,
    keeper: Keeper,
    ends: Receiver<Ending>,
}

fn settings() -> RoomSettings {
    RoomSettings {
        limits: Limits { rate_per_s: 50.0, burst: 2.0, max_active: 0 },
        session_ttl: Duration::from_secs(60),
        session_renewal: true,
        session_max: Duration::from_secs(3_600),
        claim_ttl: Duration::from_secs(120),
        ticket_max_age: DAY,
        abandon_after: Duration::from_secs(90),
        max_streams: 1,
        pass_after: None,
    }
}

fn vid(number: u8) -> Vid {
    Vid([number; 12])
}

impl Bed {
    fn new() -> Self {
        let now_us = Arc::new(AtomicU64::new(BEGINNING_US));
        let shown = now_us.clone();
        let store = Arc::new(MemoryStore::with_clock(move || shown.load(Ordering::Relaxed)));
        Self { store, now_us, name: RoomName::new("concert").unwrap() }
    }

    /// Starts a node, which begins the room or gets to know it.
    async fn node(&self, settings: RoomSettings) -> Node {
        let shown = self.now_us.clone();
        let clock: Clock = Arc::new(move || shown.load(Ordering::Relaxed) / 1_000);
        let (_, work) = Room::new(self.name.clone(), settings, self.store.clone(), clock, Duration::ZERO);
        let RoomWork { room, store, clock, cold_wait, ends, .. } = work;
        let work = KeeperWork { room: room.clone(), store, clock, cold_wait };
        let mut node = Node { room, keeper: Keeper::new(work, || rand::random::<u32>().max(1)), ends };
        node.round().await;
        node
    }

    fn pass(&self, time: Duration) {
        self.now_us.fetch_add(time.as_micros() as u64, Ordering::Relaxed);
    }

    fn wipe(&self) {
        self.store.set_image(&self.name, None);
    }

    async fn join(&self, epoch: Epoch, who: u8, seq: u64) -> Standing {
        let batch = [JoinItem { vid: vid(who), seq }];
        self.store.join(&self.name, epoch, Seen::default(), &batch).await.unwrap()[0]
    }

    /// Gives a session to a visitor who comes with this ticket, or with none; answers with the number.
    async fn let_in(&self, epoch: Epoch, who: u8, ticket: u64) -> u64 {
        self.join(epoch, who, ticket).await;
        self.pass(Duration::from_secs(1));
        let limits = Limits { rate_per_s: 50.0, burst: 50.0, max_active: 0 };
        self.store.tick(&self.name, epoch, Seen::default(), limits, DAY).await.unwrap();
        let batch = [ClaimItem { vid: vid(who), seq: ticket, proof: false }];
        match self.store.claim(&self.name, epoch, DAY, false, &batch).await.unwrap()[0] {
            Verdict::Session { seq, .. } => seq,
            other => panic!("{other:?}"),
        }
    }
}

impl Node {
    async fn round(&mut self) {
        self.keeper.round().await.unwrap();
    }

    /// A round with a look at everything.
    async fn look(&mut self) {
        (self.keeper.last_snapshot, self.keeper.last_everything) = (None, None);
        self.round().await;
    }

    fn epoch(&self) -> Epoch {
        self.room.view().epoch
    }

    fn forwards(&self, who: u8, seq: u64) -> bool {
        let epoch = self.epoch();
        let session = Session { epoch, vid: vid(who), seq, began_s: 0, expires_s: u64::MAX, provisional: false };
        let shown = Shown { session: Some(session), ticket: None };
        matches!(decide(RouteKind::Protected, shown, &self.room.view(), Door::Guarded), Decision::Forward(_))
    }
}

#[tokio::test]
async fn i12_a_renewed_session_outlives_any_number_of_others() {
    let bed = Bed::new();
    let mut node = bed.node(settings()).await;
    let epoch = node.epoch();
    let early = bed.let_in(epoch, 1, 0).await;
    node.look().await;
    // More than half a million later, while the first one still shops.
    bed.let_in(epoch, 2, 700_000).await;
    let renewed = [TouchItem { vid: vid(1), seq: early, ttl: DAY, proof: true, began_ms: 0 }];
    for rate_per_s in [50.0, 0.0] {
        node.room.set_settings(RoomSettings { limits: Limits { rate_per_s, ..settings().limits }, ..settings() });
        bed.pass(Duration::from_secs(3_000 / 2));
        node.look().await;
        let touched = bed.store.touch(&bed.name, epoch, &renewed).await.unwrap();
        assert!(matches!(touched[0], Verdict::Session { .. }), "{touched:?}");
        assert!(node.forwards(1, early), "base {}", node.room.view().seen.base);
    }
    // Nobody of that time can be inside any more: the bitmaps are shortened.
    for _ in 0..64 {
        bed.pass(Duration::from_secs(60));
        node.look().await;
    }
    node.look().await;
    let base = node.room.view().seen.base;
    assert!((500_000..=600_000).contains(&base), "{base}");
}

/// What the second of two nodes knows alone is given back although the first has restored the room already.
#[tokio::test]
async fn i8_every_node_gives_back_what_it_remembers_after_a_wipe() {
    for sees_it_by in ["a tick", "a look"] {
        let bed = Bed::new();
        let (mut one, mut two) = (bed.node(settings()).await, bed.node(settings()).await);
        let epoch = one.epoch();
        let spent = bed.let_in(epoch, 1, 0).await;
        two.room.note_spent(epoch, spent);
        let ended = bed.let_in(epoch, 2, 0).await;
        one.look().await;
        two.look().await;
        bed.store.end(&bed.name, epoch, &[JoinItem { vid: vid(2), seq: ended }]).await.unwrap();
        two.room.end(epoch, vid(2), ended);
        bed.wipe();
        one.round().await;
        assert!(!one.room.view().hold.is_zero());
        match sees_it_by {
            "a tick" => two.round().await,
            _ => {
                assert!(!two.keeper.look().await.unwrap(), "what only this node remembers is not forgotten");
                two.keeper.recover_with_memory().await.unwrap();
            }
        }
        assert_eq!(bed.join(epoch, 1, spent).await, Standing::Void(spent), "by {sees_it_by}");
        let proof = [TouchItem { vid: vid(2), seq: ended, ttl: DAY, proof: true, began_ms: 0 }];
        assert_eq!(bed.store.touch(&bed.name, epoch, &proof).await.unwrap(), [Verdict::No], "by {sees_it_by}");
        // Once: the next rounds are like any other.
        assert!(two.keeper.look().await.unwrap() && one.keeper.look().await.unwrap());
    }
}

/// An ended session that a batch server's look has shown, and the keeper's not yet, is still remembered.
#[tokio::test]
async fn i8_an_ending_is_remembered_until_the_keeper_has_seen_it() {
    let bed = Bed::new();
    let mut node = bed.node(settings()).await;
    let epoch = node.epoch();
    let ended = bed.let_in(epoch, 1, 0).await;
    node.look().await;
    node.room.end(epoch, vid(1), ended);
    bed.store.end(&bed.name, epoch, &[JoinItem { vid: vid(1), seq: ended }]).await.unwrap();
    let picture = bed.store.snapshot(&bed.name, None, Detail::Polls).await.unwrap();
    node.room.set_view(RoomView::from_picture(&picture, None));
    bed.wipe();
    node.round().await;
    let proof = [TouchItem { vid: vid(1), seq: ended, ttl: DAY, proof: true, began_ms: 0 }];
    assert_eq!(bed.store.touch(&bed.name, epoch, &proof).await.unwrap(), [Verdict::No]);
}

#[tokio::test]
async fn i4_spent_numbers_of_a_former_generation_are_not_those_of_the_next() {
    let bed = Bed::new();
    let mut node = bed.node(settings()).await;
    for who in 1..=3 {
        bed.let_in(node.epoch(), who, 0).await;
    }
    node.look().await;
    let epoch = bed.store.reset(&bed.name, node.epoch()).await.unwrap();
    // A look may be the first to see the new generation; then the store loses it.
    node.keeper.last_snapshot = None;
    assert!(node.keeper.look().await.unwrap());
    assert_eq!(node.epoch(), epoch);
    bed.wipe();
    node.round().await;
    assert_eq!(bed.join(epoch, 9, 3).await, Standing::Waiting(3), "a number of somebody else, who has waited");
}

#[tokio::test]
async fn f12_heartbeats_that_cannot_be_kept_are_no_outage() {
    let bed = Bed::new();
    // No store keeps a report for three hundred thousand years: it refuses it, as one that is out of memory does.
    let abandon_after = Duration::from_secs(10_000_000_000_000);
    let limits = Limits { rate_per_s: 0.0, burst: 0.0, max_active: 0 };
    let mut node = bed.node(RoomSettings { abandon_after, limits, ..settings() }).await;
    bed.join(node.epoch(), 1, 0).await;
    node.look().await;
    assert!(node.keeper.chore_trouble.is_some(), "refused");
    node.round().await;
    let view = node.room.view();
    assert_eq!((view.waiting, view.stale, node.room.silent_for(u64::MAX)), (1, false, None));
}

#[tokio::test]
async fn i22_leaving_again_and_again_tells_the_store_once() {
    let bed = Bed::new();
    let mut node = bed.node(settings()).await;
    let epoch = node.epoch();
    for seq in [7, 0] {
        for _ in 0..3 {
            node.room.end(epoch, vid(1), seq);
        }
        let told = node.ends.try_recv().unwrap();
        assert_eq!((told.seq, node.ends.try_recv().is_err()), (seq, true));
        node.room.forget_leaving(&[told]);
    }
    // Who came back without a number and leaves again is told of again; what has ended is over, also once it is seen.
    node.room.end(epoch, vid(1), 0);
    assert_eq!(node.ends.try_recv().unwrap().seq, 0);
    bed.store.end(&bed.name, epoch, &[JoinItem { vid: vid(1), seq: 7 }]).await.unwrap();
    node.look().await;
    assert!(!node.room.ended_here(epoch, 7) && node.room.view().has_ended(7));
    node.room.end(epoch, vid(1), 7);
    assert!(node.ends.try_recv().is_err());
}
