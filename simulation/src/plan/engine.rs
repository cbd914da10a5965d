//! The course of a sale, tick by tick: the store, the view, the decisions, estimates and poll intervals of the proxy,
//! and a crowd. One node acts for all; what several cost more is reckoned afterwards.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use waitroom_proxy::admission::{self, HabitMeter};
use waitroom_proxy::classify::RouteKind;
use waitroom_proxy::decide::{Decision, Door, Shown, decide};
use waitroom_proxy::silence::{Due, Hearing, Pace, Rounds};
use waitroom_proxy::status::Eta;
use waitroom_proxy::store::memory::MemoryStore;
use waitroom_proxy::store::{
    ClaimItem, Detail, Epoch, JoinItem, Lane, Limits, MAX_BATCH, QueueStore, Report, RoomName, Seen, Standing,
    StoreError, Verdict, Vid,
};
use waitroom_proxy::ticket::Ticket;
use waitroom_proxy::view::RoomView;

use super::Sale;
use super::crowd::{Person, Where, arrivals};
use super::wheel::Wheel;
use crate::chance::Chance;

/// Nothing lasts longer: tickets are good for a day.
const LONGEST_MS: u64 = 86_400_000;
/// Longest pause between two polls, jitter included.
const LONGEST_POLL_MS: u64 = 36_000;
/// Defaults of the config.
const CLAIM_TTL: Duration = Duration::from_secs(120);
const ABANDON_AFTER: Duration = Duration::from_secs(90);
/// Sessions are ended by the site; none lasts as long as this.
const SESSION_TTL: Duration = Duration::from_secs(2 * 86_400);
/// When the run begins, by the store's clock.
const BEGINNING_MS: u64 = 1_795_161_600_000;

/// What an operator does, and when.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Order {
    Rate(f64),
    Pause,
    Resume,
    /// Ticks come this late, ms: what has become of the room's processor or the way to the store.
    Starve(u64),
}

/// Hears what happens.
pub(crate) trait Teller {
    /// A waiting visitor was told this.
    fn told(&mut self, who: u32, now_ms: u64, eta: Option<Eta>);
    /// A visitor was let in.
    fn admitted(&mut self, who: u32, now_ms: u64, arrived_ms: u64);
    /// A second has passed.
    fn second(&mut self, second: &Second);
    /// An operator did something.
    fn ordered(&mut self, _order: Order, _now_ms: u64) {}
}

/// What happened in a second, and how things stand at its end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Second {
    pub(crate) now_ms: u64,
    pub(crate) waiting: u64,
    pub(crate) inside: u64,
    /// Numbers from the first in line to the last given out: the bits that proxies fetch.
    pub(crate) span: u64,
    /// Numbers since the bitmaps' base.
    pub(crate) numbers: u64,
    pub(crate) pages: u64,
    pub(crate) polls: u64,
    pub(crate) joins: u64,
    pub(crate) grants: u64,
    pub(crate) claims: u64,
    pub(crate) ends: u64,
    pub(crate) reaped: u64,
    pub(crate) ticks: u64,
}

/// What it all came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) admitted: u64,
    pub(crate) gave_up: u64,
    pub(crate) granted: u64,
}

/// A sale under way.
pub(crate) struct Engine {
    sale: Sale,
    limits: Limits,
    orders: Vec<(u64, Order)>,
    store: MemoryStore,
    clock_us: Arc<AtomicU64>,
    room: RoomName,
    view: RoomView,
    habits: HabitMeter,
    people: Vec<Person>,
    next: usize,
    polls: Wheel,
    visits: BinaryHeap<Reverse<(u64, u32)>>,
    silence: [Silence; 2],
    chance: Chance,
    step_ms: u64,
    /// At least so long between two ticks.
    tick_every_ms: u64,
    now_ms: u64,
    second: Second,
    counts: Counts,
    /// To be asked of the store at the end of the step.
    joining: Vec<u32>,
    claiming: Vec<u32>,
    ending: Vec<u32>,
}

/// Who was heard of in one lane, and what was reported of it.
struct Silence {
    lane: Lane,
    rounds: Rounds,
    heard: Vec<u8>,
    reports: BTreeMap<u64, Report>,
    reported: Option<u64>,
}

fn vid(who: u32) -> Vid {
    let mut vid = [0; 12];
    vid[..4].copy_from_slice(&who.to_be_bytes());
    Vid(vid)
}

/// The embedded store answers at once, and these calls are in order: anything else is a fault of this program.
fn answer<T>(call: impl Future<Output = Result<T, StoreError>>) -> T {
    match call.now_or_never() {
        Some(Ok(answer)) => answer,
        Some(Err(error)) => unreachable!("the embedded store refused: {error}"),
        None => unreachable!("the embedded store waits for nothing"),
    }
}

impl Engine {
    /// A sale about to begin; `orders` by second.
    pub(crate) fn new(sale: &Sale, orders: Vec<(u64, Order)>) -> Self {
        let clock_us = Arc::new(AtomicU64::new(BEGINNING_MS * 1_000));
        let shown = clock_us.clone();
        let store = MemoryStore::with_clock(move || shown.load(Ordering::Relaxed));
        let room = crate::room_name();
        let limits = Limits { rate_per_s: sale.rate_per_s, burst: sale.burst, max_active: sale.max_active };
        let unknown = Epoch { generation: 1, life: 0 };
        answer(store.recover(&room, unknown, Seen::default(), Duration::from_secs(1), limits.burst, 1));
        let mut chance = Chance::new(sale.seed, 7);
        let people = arrivals(sale, &mut chance);
        let period = admission::tick_period(limits.rate_per_s, limits.burst);
        let step_ms = (period.as_millis() as u64).clamp(5, 50);
        let silence = [Lane::Head, Lane::Line].map(|lane| Silence::new(lane, BEGINNING_MS));
        Self {
            sale: sale.clone(),
            limits,
            orders,
            view: RoomView::from_picture(&answer(store.snapshot(&room, None, Detail::Polls)), None),
            store,
            clock_us,
            room,
            habits: HabitMeter::default(),
            people,
            next: 0,
            polls: Wheel::new(step_ms, LONGEST_POLL_MS),
            visits: BinaryHeap::new(),
            silence,
            chance,
            step_ms,
            tick_every_ms: step_ms,
            now_ms: 0,
            second: Second::default(),
            counts: Counts::default(),
            joining: Vec::new(),
            claiming: Vec::new(),
            ending: Vec::new(),
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Runs until nobody waits any more; when that was, in seconds.
    pub(crate) fn run(&mut self, teller: &mut impl Teller) -> Option<f64> {
        let mut since = None;
        while self.now_ms < LONGEST_MS {
            self.step(teller);
            let over = self.next == self.people.len() && self.view.waiting == 0;
            since = if over { since.or(Some(self.now_ms)) } else { None };
            // Those with a turn take it up with their next poll.
            if since.is_some_and(|since| self.now_ms > since + LONGEST_POLL_MS) {
                return since.map(|ms| ms as f64 / 1_000.0);
            }
        }
        None
    }

    fn step(&mut self, teller: &mut impl Teller) {
        self.now_ms += self.step_ms;
        self.clock_us.store((BEGINNING_MS + self.now_ms) * 1_000, Ordering::Relaxed);
        self.obey(teller);
        self.arrive(teller);
        for who in self.polls.take() {
            self.poll(who, teller);
        }
        self.visits_end();
        self.ask_the_store(teller);
        if self.now_ms % self.tick_every_ms < self.step_ms {
            self.tick();
        }
        if self.now_ms / 1_000 != (self.now_ms - self.step_ms) / 1_000 {
            self.look();
            self.second.now_ms = self.now_ms;
            teller.second(&self.second);
            self.second = Second::default();
        }
    }

    fn obey(&mut self, teller: &mut impl Teller) {
        while let Some((_, order)) = self.orders.first().copied().filter(|(at_s, _)| at_s * 1_000 <= self.now_ms) {
            self.orders.remove(0);
            match order {
                Order::Rate(rate) => {
                    self.limits.rate_per_s = rate;
                    self.habits.rate_changed();
                }
                Order::Starve(every_ms) => self.tick_every_ms = every_ms,
                Order::Pause | Order::Resume => {
                    let paused = order == Order::Pause;
                    answer(self.store.set_paused(&self.room, self.view.epoch, self.view.seen, paused));
                }
            }
            teller.ordered(order, self.now_ms);
        }
    }

    /// The first request, and the poll that the page sends at once: straight in, or in line.
    fn arrive(&mut self, teller: &mut impl Teller) {
        let mut straight = Vec::new();
        while self.people.get(self.next).is_some_and(|person| person.arrived_ms <= self.now_ms) {
            let who = self.next as u32;
            self.next += 1;
            self.second.pages += 1;
            let nothing = Shown { session: None, ticket: None };
            match decide(RouteKind::Protected, nothing, &self.view, Door::Guarded) {
                Decision::Enter => straight.push(who),
                _ => self.joining.push(who),
            }
        }
        for batch in straight.chunks(MAX_BATCH) {
            let vids: Vec<Vid> = batch.iter().map(|who| vid(*who)).collect();
            let (epoch, seen) = (self.view.epoch, self.view.seen);
            let verdicts = answer(self.store.enter(&self.room, epoch, seen, self.limits, SESSION_TTL, &vids));
            for (who, verdict) in batch.iter().zip(verdicts) {
                match verdict {
                    Verdict::Session { seq, .. } => {
                        self.counts.granted += 1;
                        self.begin_visit(*who, seq, teller);
                    }
                    _ => self.joining.push(*who),
                }
            }
        }
    }

    fn poll(&mut self, who: u32, teller: &mut impl Teller) {
        let person = &mut self.people[who as usize];
        if person.place != Where::Waiting {
            return;
        }
        if person.gives_up_ms <= self.now_ms {
            self.counts.gave_up += 1;
            person.place = Where::Gone;
            if !person.silent {
                self.ending.push(who);
            }
            return;
        }
        self.second.polls += 1;
        let ticket = Ticket {
            epoch: self.view.epoch,
            vid: vid(who),
            seq: person.seq,
            arrived_ms: person.arrived_ms,
            renewed_ms: 0,
        };
        let shown = Shown { session: None, ticket: Some(ticket) };
        match decide(RouteKind::Protected, shown, &self.view, Door::Guarded) {
            Decision::Wait(ticket, position) => self.tell(who, ticket.seq, position, teller),
            Decision::Claim(_) => self.claiming.push(who),
            Decision::Join(_) => self.joining.push(who),
            _ => self.polls.put(self.now_ms + 5_000, who),
        }
    }

    /// A position, an estimate, and when to ask again.
    fn tell(&mut self, who: u32, seq: u64, position: u64, teller: &mut impl Teller) {
        self.silence.iter_mut().for_each(|silence| silence.hear(seq));
        let eta = admission::estimate(position, &self.view.flow(self.limits));
        let pause = admission::poll_after(eta, position, self.limits.rate_per_s, self.chance.unit());
        self.polls.put(self.now_ms + pause.as_millis() as u64, who);
        teller.told(who, self.now_ms, eta);
    }

    fn ask_the_store(&mut self, teller: &mut impl Teller) {
        let claiming = std::mem::take(&mut self.claiming);
        for batch in claiming.chunks(MAX_BATCH) {
            self.claim(batch, teller);
        }
        let joining = std::mem::take(&mut self.joining);
        for batch in joining.chunks(MAX_BATCH) {
            self.join(batch, teller);
        }
        let ending = std::mem::take(&mut self.ending);
        for batch in ending.chunks(MAX_BATCH) {
            self.second.ends += batch.len() as u64;
            let items: Vec<JoinItem> = self.items(batch);
            answer(self.store.end(&self.room, self.view.epoch, &items));
        }
    }

    fn items(&self, batch: &[u32]) -> Vec<JoinItem> {
        batch.iter().map(|who| JoinItem { vid: vid(*who), seq: self.people[*who as usize].seq }).collect()
    }

    fn join(&mut self, batch: &[u32], teller: &mut impl Teller) {
        self.second.joins += batch.len() as u64;
        let items = self.items(batch);
        let standings = answer(self.store.join(&self.room, self.view.epoch, self.view.seen, &items));
        for (who, standing) in batch.iter().zip(standings) {
            match standing {
                Standing::Waiting(seq) => {
                    let position = self.view.position_of_joined(seq);
                    let (sale, now_ms) = (&self.sale, self.now_ms);
                    let person = &mut self.people[*who as usize];
                    if person.place == Where::Coming {
                        person.makes_up_the_mind(sale, position, now_ms, &mut self.chance);
                    }
                    (person.place, person.seq) = (Where::Waiting, seq);
                    self.tell(*who, seq, position, teller);
                }
                Standing::Granted(_) | Standing::Active(_) => self.claiming.push(*who),
                Standing::Void(_) => self.people[*who as usize].place = Where::Gone,
            }
        }
    }

    fn claim(&mut self, batch: &[u32], teller: &mut impl Teller) {
        self.second.claims += batch.len() as u64;
        let item = |who: &u32| ClaimItem { vid: vid(*who), seq: self.people[*who as usize].seq, proof: false };
        let items: Vec<ClaimItem> = batch.iter().map(item).collect();
        let verdicts = answer(self.store.claim(&self.room, self.view.epoch, SESSION_TTL, false, &items));
        for (who, verdict) in batch.iter().zip(verdicts) {
            match verdict {
                Verdict::Session { seq, .. } => self.begin_visit(*who, seq, teller),
                // Joined after the last snapshot.
                Verdict::Waiting(seq) => self.tell(*who, seq, self.view.position_of_joined(seq), teller),
                // The turn ran out before it was taken up: back in line at the old number.
                Verdict::No => self.joining.push(*who),
            }
        }
    }

    fn begin_visit(&mut self, who: u32, seq: u64, teller: &mut impl Teller) {
        let person = &mut self.people[who as usize];
        (person.place, person.seq) = (Where::Inside, seq);
        self.counts.admitted += 1;
        let stays_ms = (self.chance.exponential(self.sale.visit_s) * 1_000.0) as u64;
        self.visits.push(Reverse((self.now_ms + stays_ms, who)));
        teller.admitted(who, self.now_ms, self.people[who as usize].arrived_ms);
    }

    fn visits_end(&mut self) {
        while let Some(Reverse((_, who))) = self.visits.peek().copied().filter(|Reverse((at, _))| *at <= self.now_ms) {
            self.visits.pop();
            self.people[who as usize].place = Where::Gone;
            self.ending.push(who);
        }
    }

    fn tick(&mut self) {
        let (epoch, seen) = (self.view.epoch, self.view.seen);
        let ticked = answer(self.store.tick(&self.room, epoch, seen, self.limits, CLAIM_TTL));
        self.habits.note(&ticked);
        self.view = self.view.after_tick(&ticked, None).with_habits(self.habits.habits());
        self.counts.granted += ticked.granted_now;
        self.second.grants += ticked.granted_now;
        self.second.ticks += 1;
    }

    /// Once a second: a snapshot, and who has gone silent.
    fn look(&mut self) {
        let picture = answer(self.store.snapshot(&self.room, Some(self.view.epoch), Detail::Polls));
        let now_ms = picture.now_ms;
        let (head, to) = (self.view.head.unwrap_or(picture.seq), picture.seq + 1);
        let next_few = ((self.limits.rate_per_s * ABANDON_AFTER.as_secs_f64() * 3.0) as u64).max(1_000);
        let mut silent = Vec::new();
        for silence in &mut self.silence {
            let to = if silence.lane == Lane::Line { to } else { to.min(head + next_few) };
            silent.extend(silence.judge(now_ms, head, to, &picture.waiting_bits));
        }
        silent.sort_unstable();
        silent.dedup();
        for batch in silent.chunks(MAX_BATCH) {
            self.second.reaped += answer(self.store.reap(&self.room, picture.epoch, batch));
        }
        self.second.waiting = picture.waiting;
        self.second.inside = picture.granted + picture.active;
        self.second.span = picture.seq.saturating_sub(head);
        self.second.numbers = picture.seq - picture.base;
        self.view = RoomView::from_picture(&picture, None).with_habits(self.habits.habits());
        // Shortened as the line moves on; the proxy keeps some numbers below the head.
        let keep = (self.limits.rate_per_s * 1_200.0 + 100_000.0) as u64;
        if now_ms / 1_000 % 10 == 0 {
            answer(self.store.trim(&self.room, picture.epoch, keep, 524_288));
        }
    }
}

impl Silence {
    fn new(lane: Lane, now_ms: u64) -> Self {
        let rounds = Rounds::new(Pace::new(lane, ABANDON_AFTER), now_ms);
        Self { lane, rounds, heard: Vec::new(), reports: BTreeMap::new(), reported: None }
    }

    fn hear(&mut self, seq: u64) {
        let at = (seq / 8) as usize;
        if at >= self.heard.len() {
            self.heard.resize(at + 1, 0);
        }
        self.heard[at] |= 0x80 >> (seq % 8);
    }

    /// Reports what was heard when a bucket has ended, and judges it when it is due.
    fn judge(&mut self, now_ms: u64, head: u64, to: u64, waiting: &waitroom_proxy::store::BitSpan) -> Vec<u64> {
        let pace = self.rounds.pace();
        if let Some(ended) = pace.ended(now_ms).filter(|ended| self.reported < Some(*ended)) {
            let first = head / 8 * 8;
            let from = ((first / 8) as usize).min(self.heard.len());
            self.reports.insert(ended, Report { first, to, bytes: self.heard[from..].to_vec() });
            self.reported = Some(ended);
            self.heard.fill(0);
        }
        let Due::Fetch(buckets) = self.rounds.due(now_ms) else { return Vec::new() };
        let Some(last) = buckets.last().copied() else { return Vec::new() };
        let mut hearing = Hearing::Missing;
        for bucket in buckets {
            hearing = self.rounds.hear(bucket, vec![self.reports.remove(&bucket)]);
        }
        if hearing == Hearing::Missing { Vec::new() } else { self.rounds.judge(last, waiting) }
    }
}
