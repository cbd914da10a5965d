//! Whole rooms on one store, without faults but the one that a test makes: receptions, keepers and their memory.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use std::time::Duration;

use queue_token::{KeyRing, SigningKey};
use tokio::task::JoinSet;
use tokio::time::Instant;
use waitroom_proxy::classify::RouteKind;
use waitroom_proxy::credentials::Credentials;
use waitroom_proxy::mint::Mint;
use waitroom_proxy::reception::{Counter, Held, Reception, Verified};
use waitroom_proxy::room::Room;
use waitroom_proxy::room::settings::RoomSettings;
use waitroom_proxy::seal::Sealer;
use waitroom_proxy::session::Session;
use waitroom_proxy::store::memory::{MemoryStore, RoomImage};
use waitroom_proxy::store::{Epoch, Limits, RoomName, Vid};
use waitroom_proxy::ticket::Ticket;

/// When every test begins, milliseconds since the Unix epoch.
const BEGINNING_MS: u64 = 1_795_161_600_000;
/// As the proxy has it.
const COLD_WAIT: Duration = Duration::from_secs(3);

/// One store for all nodes, and the time.
struct Bed {
    store: Arc<MemoryStore>,
    began: Instant,
    name: RoomName,
}

/// One proxy, as far as the queue goes.
struct Node {
    room: Arc<Room>,
    mint: Mint,
    began: Instant,
    _tasks: JoinSet<()>,
}

fn settings(max_active: u64) -> RoomSettings {
    RoomSettings {
        limits: Limits { rate_per_s: 100.0, burst: 10.0, max_active },
        session_ttl: Duration::from_secs(600),
        session_renewal: false,
        session_max: Duration::from_secs(3_600),
        claim_ttl: Duration::from_secs(120),
        ticket_max_age: Duration::from_secs(86_400),
        abandon_after: Duration::from_secs(90),
        max_streams: 1,
        pass_after: None,
    }
}

fn now_ms(began: Instant) -> u64 {
    BEGINNING_MS + began.elapsed().as_millis() as u64
}

fn life() -> u32 {
    7
}

async fn pass(seconds: f64) {
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
}

impl Bed {
    fn new() -> Self {
        let began = Instant::now();
        let store = MemoryStore::with_clock(move || now_ms(began) * 1_000);
        Self { store: Arc::new(store), began, name: RoomName::new("concert").unwrap() }
    }

    /// A node that has just been started.
    fn node(&self, settings: RoomSettings) -> Node {
        let began = self.began;
        let clock = Arc::new(move || now_ms(began));
        let (room, work) = Room::new(self.name.clone(), settings, self.store.clone(), clock, COLD_WAIT);
        let key = SigningKey::hs256("k1", &[7; 32]).unwrap();
        let sealer = Sealer::new([[9; 32].as_slice()]).unwrap();
        let mint = Mint::new(KeyRing::new(vec![key]).unwrap(), "waitroom".to_owned(), sealer);
        Node { room, mint, began, _tasks: work.spawn(life) }
    }

    fn wipe(&self) {
        self.store.set_image(&self.name, None);
    }

    fn image(&self) -> RoomImage {
        self.store.image(&self.name).unwrap()
    }
}

impl Node {
    async fn poll(&self, shown: Verified) -> Reception {
        self.counter().poll(shown).await
    }

    async fn request(&self, shown: Verified) -> Reception {
        self.counter().receive(RouteKind::Protected, shown).await
    }

    fn counter(&self) -> Counter<'_> {
        Counter { room: &self.room, mint: &self.mint, now_ms: now_ms(self.began) }
    }

    /// Polls until let in.
    async fn until_in(&self, mut ticket: Ticket) -> Session {
        loop {
            match self.poll(showing(ticket)).await {
                Reception::Admitted { minted, .. } => return minted.session,
                Reception::Held(held) => ticket = held.ticket,
                other => panic!("{other:?}"),
            }
            pass(1.0).await;
        }
    }

    /// A request with the cookie of this session, as its proxy reads it.
    async fn browse(&self, session: Session) -> Reception {
        let (name, now_s) = (self.room.name().as_str(), now_ms(self.began) / 1_000);
        let token = self.mint.sign(session, name, now_s).unwrap().token;
        let cookie = session.seal(self.mint.sealer(), name, &token);
        let shown = Credentials { cookie_token: Some(&cookie), ..Credentials::default() };
        let session = self.mint.session(name, &shown, now_s);
        self.request(Verified { session, ticket: None }).await
    }

    fn newcomer(&self) -> Ticket {
        Ticket::pre(self.mint.draw_vid(), now_ms(self.began))
    }
}

fn showing(ticket: Ticket) -> Verified {
    Verified { session: None, ticket: Some(ticket) }
}

fn held(reception: Reception) -> Held {
    match reception {
        Reception::Held(held) => held,
        other => panic!("{other:?}"),
    }
}

/// Sessions without renewal say nothing to the store by themselves; it must not give their places away after a loss.
#[tokio::test(start_paused = true)]
async fn i2_after_a_wipe_those_inside_are_counted() {
    const INSIDE: u64 = 8;
    let bed = Bed::new();
    let (one, two) = (bed.node(settings(INSIDE)), bed.node(settings(INSIDE)));
    pass(5.0).await;
    let mut inside = Vec::new();
    for _ in 0..INSIDE {
        inside.push(one.until_in(one.newcomer()).await);
    }
    let mut waiting = Vec::new();
    for _ in 0..INSIDE {
        waiting.push(held(two.poll(showing(two.newcomer())).await).ticket);
    }
    pass(5.0).await;
    bed.wipe();
    pass(5.0).await;
    // Everybody comes back while nobody is let in, to either node; the sessions not for longer than before.
    for (at, session) in inside.iter().enumerate() {
        let node = if at % 2 == 0 { &one } else { &two };
        for _ in 0..3 {
            assert!(matches!(node.browse(*session).await, Reception::Admitted { news: false, .. }));
        }
    }
    for ticket in &waiting {
        held(two.poll(showing(*ticket)).await);
    }
    pass(1.0).await;
    let counted = bed.image().active();
    for session in &inside {
        let (seq, until_ms) = counted[&session.vid];
        assert_eq!((seq, until_ms), (session.seq, session.expires_s * 1_000), "counted, and no longer than it lasts");
    }
    for _ in 0..10 {
        pass(20.0).await;
        for ticket in &waiting {
            held(two.poll(showing(*ticket)).await);
        }
    }
    let view = one.room.view().clone();
    assert!(view.hold.is_zero() && !view.stale, "turns are given again");
    let image = bed.image();
    let (active, granted, waiting_now) = (image.active().len(), image.granted().len(), image.waiting().len());
    assert_eq!((active as u64, granted, waiting_now as u64), (INSIDE, 0, INSIDE), "nobody above the cap");
    // When they end, the others follow.
    pass(600.0).await;
    for ticket in waiting {
        two.until_in(ticket).await;
    }
}

/// All proxies restarted, and the store is empty: only tickets know what there was.
#[tokio::test(start_paused = true)]
async fn i4_nobody_is_given_a_number_that_a_ticket_of_before_may_have() {
    let bed = Bed::new();
    let (one, two) = (bed.node(settings(0)), bed.node(settings(0)));
    let before = Epoch { generation: 1, life: 99 };
    let ticket = |seq, vid| Ticket { epoch: before, vid: Vid([vid; 12]), seq, arrived_ms: BEGINNING_MS };
    let (first, late, far) = (ticket(10, 1), ticket(900_000, 2), ticket(5_000_000, 3));
    pass(5.0).await;
    // A number near the front is the first that is heard of.
    held(one.poll(showing(first)).await);
    pass(2.0).await;
    assert_eq!(one.room.view().epoch, before, "restored from one ticket");
    let mut newcomer = two.newcomer();
    let told = held(two.poll(showing(newcomer)).await);
    assert!(told.blind && told.ticket.is_pre(), "no number before everybody had time to come back: {told:?}");
    // Within a minute those who wait have polled.
    pass(50.0).await;
    assert_eq!(held(two.poll(showing(far)).await).ticket.seq, far.seq);
    pass(12.0).await;
    newcomer = held(one.poll(showing(newcomer)).await).ticket;
    assert!(newcomer.seq > far.seq, "{}", newcomer.seq);
    assert_eq!(held(two.poll(showing(late)).await).ticket.seq, late.seq, "back from a longer absence");
}

/// Who comes back after the minute is behind nobody's number either, in a line as long as is promised.
#[tokio::test(start_paused = true)]
async fn i4_a_million_numbers_behind_the_only_ticket_stay_free() {
    let bed = Bed::new();
    let node = bed.node(settings(0));
    let before = Epoch { generation: 1, life: 99 };
    // An old room: its numbers are far beyond what a bitmap from 0 would hold.
    let first = 1 << 30;
    let ticket = |seq, vid| Ticket { epoch: before, vid: Vid([vid; 12]), seq, arrived_ms: BEGINNING_MS };
    pass(5.0).await;
    held(node.poll(showing(ticket(first, 1))).await);
    pass(70.0).await;
    let newcomer = held(node.poll(showing(node.newcomer())).await).ticket;
    assert!(newcomer.seq > first + 1_000_000, "{}", newcomer.seq);
    for (seq, vid) in [(first, 1), (first + 999_999, 2)] {
        assert_eq!(held(node.poll(showing(ticket(seq, vid))).await).ticket.seq, seq);
    }
    node.until_in(ticket(first, 1)).await;
}

/// A client that drops the token and shows its spent ticket elsewhere gets the session it has, not a new one.
#[tokio::test(start_paused = true)]
async fn i9_a_session_has_one_beginning_at_every_proxy() {
    let bed = Bed::new();
    let renewed = RoomSettings { session_renewal: true, ..settings(0) };
    let (one, two) = (bed.node(renewed.clone()), bed.node(renewed.clone()));
    pass(5.0).await;
    let ticket = held(one.poll(showing(one.newcomer())).await).ticket;
    let first = one.until_in(ticket).await;
    let mut latest = first;
    let end_s = first.began_s + renewed.session_max.as_secs();
    let mut node = 0;
    // Kept alive from proxy to proxy, each time by the ticket alone.
    while now_ms(bed.began) / 1_000 < end_s - 100 {
        pass(100.0).await;
        node = 1 - node;
        let at = if node == 0 { &one } else { &two };
        let Reception::Admitted { minted, .. } = at.poll(showing(ticket)).await else { panic!("thrown out") };
        assert_eq!((minted.session.vid, minted.session.began_s), (first.vid, first.began_s));
        assert!(minted.session.expires_s <= end_s, "{}", minted.session.expires_s);
        latest = minted.session;
        if let Reception::Admitted { minted, .. } = at.browse(latest).await {
            assert_eq!(minted.session.began_s, first.began_s);
            latest = minted.session;
        }
    }
    assert_eq!(latest.expires_s, end_s);
    pass(200.0).await;
    let over = held(two.poll(showing(ticket)).await);
    assert_ne!(over.ticket.vid, first.vid, "over for good: somebody new");
}
