//! No request waits longer than 200 ms for a store that does not answer, however many questions it has. By virtual
//! time: the clock stands still while anybody works.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use queue_token::{KeyRing, SigningKey};
use testbed::redis::PrivateRedis;
use testbed::wire::Wire;
use tokio::task::JoinSet;
use tokio::time::Instant;
use waitroom_proxy::classify::RouteKind;
use waitroom_proxy::mint::{Mint, ShownSession};
use waitroom_proxy::reception::{Counter, Held, Reception, Verified};
use waitroom_proxy::room::Room;
use waitroom_proxy::room::settings::RoomSettings;
use waitroom_proxy::seal::Sealer;
use waitroom_proxy::store::QueueStore;
use waitroom_proxy::store::redis::RedisStore;
use waitroom_proxy::ticket::Ticket;

use crate::bed::{LONG, client, limits, room_name, vid};
use crate::slow::{SlowStore, Way};

const MOST: Duration = Duration::from_millis(200);
/// The runtime's timers count whole milliseconds, and begin in the middle of one.
const ROUNDED: Duration = Duration::from_millis(1);
/// Most of the time there is, for the first of two questions.
const LATE: Way = Way::LateNo(Duration::from_millis(150));
/// Nothing takes this long, unless it hangs.
const DEADLINE: Duration = Duration::from_secs(60);

#[expect(clippy::disallowed_methods, reason = "tickets that are good now")]
fn now_ms() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_millis() as u64
}

/// A proxy's room, without HTTP.
struct Site {
    room: Arc<Room>,
    mint: Mint,
    _tasks: JoinSet<()>,
}

impl Site {
    async fn open(store: Arc<dyn QueueStore>, rate: f64) -> Self {
        let settings = RoomSettings {
            limits: limits(rate, 1.0, 0),
            session_ttl: LONG,
            session_renewal: true,
            session_max: LONG * 2,
            claim_ttl: LONG,
            ticket_max_age: LONG,
            abandon_after: LONG,
            max_streams: 1,
            pass_after: None,
        };
        let (room, work) = Room::new(room_name(), settings, store, Arc::new(now_ms), Duration::ZERO);
        let key = SigningKey::hs256("k1", &[7; 32]).expect("a key");
        let ring = KeyRing::new(vec![key]).expect("a ring");
        let sealer = Sealer::new([[9; 32].as_slice()]).expect("a sealer");
        let site = Self { room, mint: Mint::new(ring, "waitroom".to_owned(), sealer), _tasks: work.spawn(|| 77) };
        site.until("the room is known", || site.room.view().known).await;
        site
    }

    /// Has the keeper look until it is so.
    async fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let looking = async {
            while !is_so() {
                self.room.look_now(MOST).await;
            }
        };
        tokio::time::timeout(DEADLINE, looking).await.unwrap_or_else(|_| panic!("{what}"));
    }

    async fn receive(&self, shown: Verified) -> Reception {
        let counter = Counter { room: &self.room, mint: &self.mint, now_ms: now_ms() };
        counter.receive(RouteKind::Protected, shown).await
    }

    /// What a request is told, and that it did not wait for too long.
    async fn bounded(&self, what: &str, shown: Verified) -> Reception {
        let began = Instant::now();
        let reception = self.receive(shown).await;
        let waited = began.elapsed();
        assert!(waited <= MOST + ROUNDED, "{what} waited for {waited:?}");
        reception
    }
}

fn ticket(ticket: Ticket) -> Verified {
    Verified { ticket: Some(ticket), session: None }
}

fn newcomer(who: u64) -> Verified {
    ticket(Ticket::pre(vid(who), now_ms()))
}

fn held(reception: Reception) -> Held {
    match reception {
        Reception::Held(held) => held,
        other => panic!("not held: {other:?}"),
    }
}

/// A session as a cookie shows it.
fn session(reception: Reception) -> Verified {
    match reception {
        Reception::Admitted { minted, .. } => {
            let session = Some(ShownSession { session: minted.session, token: minted.token, by_header: false });
            Verified { session, ticket: None }
        }
        other => panic!("not admitted: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn f4_no_chain_of_questions_waits_longer_than_one() {
    let store = Arc::new(SlowStore::default());
    let site = Site::open(store.clone(), 1_000.0).await;
    let inside = session(site.receive(Verified::default()).await);

    store.set([("enter", Way::Never)]);
    assert!(!held(site.bounded("enter", Verified::default()).await).blind, "a pre-ticket, for the next try");
    store.set([("touch", LATE), ("enter", Way::Never)]);
    held(site.bounded("touch, and enter", inside.clone()).await);
    store.set([("touch", Way::Never)]);
    let kept = site.bounded("touch", inside).await;
    assert!(matches!(kept, Reception::Admitted { .. }), "sessions go on: {kept:?}");

    // One who was given a turn, and whose claim is refused.
    store.set([]);
    let granted = held(site.receive(newcomer(1)).await).ticket;
    site.until("a turn", || site.room.view().seen.watermark >= granted.seq).await;
    store.set([("claim", Way::Never)]);
    assert!(held(site.bounded("claim", ticket(granted)).await).blind);
    store.set([("claim", LATE), ("join", Way::Never)]);
    assert!(held(site.bounded("claim, and join", ticket(granted)).await).blind);
}

#[tokio::test(start_paused = true)]
async fn f4_whoever_comes_behind_a_dying_call_does_not_wait_for_two() {
    let store = Arc::new(SlowStore::default());
    let site = Site::open(store.clone(), 0.001).await;
    let inside = session(site.receive(Verified::default()).await);
    store.set([("join", Way::Never), ("touch", Way::Never)]);
    let join = async |after_ms, who| {
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        held(site.bounded("join", newcomer(who)).await).blind
    };
    assert_eq!(tokio::join!(join(0, 1), join(20, 2), join(190, 3)), (true, true, true));
    let touch = async |after_ms| {
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        site.bounded("touch", inside.clone()).await
    };
    tokio::join!(touch(0), touch(20));
}

#[tokio::test(start_paused = true)]
async fn a_join_that_succeeded_is_told_also_when_the_look_after_it_fails() {
    let store = Arc::new(SlowStore::default());
    let site = Site::open(store.clone(), 0.001).await;
    site.receive(Verified::default()).await;
    for (who, way) in [(1, Way::Fails), (2, Way::Never)] {
        store.set([("snapshot", way)]);
        let told = held(site.bounded("join", newcomer(who)).await);
        assert!(!told.blind && told.ticket.seq > who && told.position.is_some(), "{told:?}");
    }
}

#[tokio::test]
async fn f4_a_real_server_that_falls_silent_holds_nobody_up_and_what_it_did_is_found_later() {
    let redis = PrivateRedis::start().await.expect("redis");
    let wire = Wire::to(redis.addr()).await.expect("a wire");
    let site = Site::open(Arc::new(RedisStore::new(client(&redis.url_via(wire.addr())))), 0.001).await;
    let mut inside = Verified::default();
    let enter = async {
        while inside.session.is_none() {
            if let Reception::Admitted { minted, .. } = site.receive(Verified::default()).await {
                let session = Some(ShownSession { session: minted.session, token: minted.token, by_header: false });
                inside = Verified { session, ticket: None };
            }
        }
    };
    tokio::time::timeout(DEADLINE, enter).await.expect("the fast lane");

    wire.blackhole().await.expect("silent");
    // Nothing comes over the wire now, so time passes only as far as the code itself waits.
    tokio::time::pause();
    let join = async |after_ms, who| {
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        assert!(held(site.bounded("join", newcomer(who)).await).blind);
    };
    let touch = async {
        let kept = site.bounded("touch", inside).await;
        assert!(matches!(kept, Reception::Admitted { .. }), "sessions go on: {kept:?}");
    };
    // Some come behind a call that dies, some while a new connection is tried in vain, some when that is over.
    tokio::join!(touch, join(0, 1), join(5, 2), join(150, 3), join(210, 4), join(420, 5), join(900, 6), join(3_000, 7));

    tokio::time::resume();
    wire.mend().await.expect("mended");
    let found = async {
        loop {
            if let Some(position) = held(site.receive(newcomer(1)).await).position {
                return position;
            }
            tokio::task::yield_now().await;
        }
    };
    let position = tokio::time::timeout(DEADLINE, found).await.expect("in line");
    let again = held(site.receive(newcomer(1)).await);
    assert!(position >= 1 && again.position.is_some(), "i9: {again:?}");
}
