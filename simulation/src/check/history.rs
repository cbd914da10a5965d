//! What happened in a run, and whether it may: the store's side here, the visitors' side in `page`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;
use waitroom_proxy::store::{Epoch, Limits, Vid};

use super::ledger::{Act, Contents};
use super::world::lock;
use super::{Broken, Witness};

/// A number in one incarnation of the room.
type Number = (u64, u32, u64);

/// Every node writes down what is spent this often, and once it has: what was spent later may be lost with the store.
const SPENT_MEMORY: Duration = Duration::from_secs(12);
/// … and what has ended, with every look.
const ENDED_MEMORY: Duration = Duration::from_secs(3);
/// After an accident it takes this long until everything that is remembered has been given back.
const GIVING_BACK: Duration = Duration::from_secs(10);
/// How old a snapshot may be, with the call that fetches it.
const SNAPSHOT_AGE: Duration = Duration::from_millis(1_300);
/// Numbers that are not exact in binary add up to no more than this.
const ROUNDING: f64 = 1e-3;

/// What happened so far.
pub(super) struct History {
    began: Instant,
    inner: Mutex<Inner>,
}

struct Inner {
    broken: Option<Broken>,
    witness: Witness,
    latest: Option<Contents>,
    owners: BTreeMap<Number, Vid>,
    let_in: BTreeSet<(Number, Vid)>,
    /// Sessions that a token proved after they had been lost.
    proved: BTreeSet<Vid>,
    spent: BTreeMap<Number, Duration>,
    ended: BTreeMap<Number, Duration>,
    /// (when, number): put back in line, out of the line.
    returned: Vec<(Duration, u64)>,
    left: Vec<(Duration, u64)>,
    /// When each number was last heard by a node that is still there.
    heard: BTreeMap<Number, Duration>,
    accidents: Vec<Duration>,
    /// Times in which something was wrong, or still settling.
    troubles: Vec<(Duration, Duration)>,
    /// The fullest bucket that the limits allow, in exact time (I1).
    bucket: Bucket,
    /// Visitors who keep polling, and whether they are in.
    faithful: BTreeMap<u64, bool>,
}

/// A bucket that begins full: it runs dry exactly when a window of some length held more than `rate · t + burst`.
struct Bucket {
    limits: Limits,
    level: f64,
    filled: Duration,
}

impl Bucket {
    fn fill(&mut self, now: Duration) {
        let earned = (now - self.filled).as_secs_f64() * self.limits.rate_per_s;
        // What a step of the store's clock has granted may exceed the burst; it is not earned again.
        self.level = self.level.max((self.level + earned).min(self.limits.burst));
        self.filled = now;
    }
}

fn number(epoch: Epoch, seq: u64) -> Number {
    (epoch.generation, epoch.life, seq)
}

impl History {
    pub(super) fn new(seed: u64, limits: Limits) -> Self {
        let inner = Inner {
            broken: None,
            witness: Witness { seed, ..Witness::default() },
            latest: None,
            owners: BTreeMap::new(),
            let_in: BTreeSet::new(),
            proved: BTreeSet::new(),
            spent: BTreeMap::new(),
            ended: BTreeMap::new(),
            returned: Vec::new(),
            left: Vec::new(),
            heard: BTreeMap::new(),
            accidents: Vec::new(),
            troubles: Vec::new(),
            bucket: Bucket { limits, level: limits.burst, filled: Duration::ZERO },
            faithful: BTreeMap::new(),
        };
        Self { began: Instant::now(), inner: Mutex::new(inner) }
    }

    pub(super) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Notes the first promise that is broken.
    pub(super) fn break_promise(&self, invariant: &'static str, what: String) {
        lock(&self.inner).wrong(self.now(), invariant, what);
    }

    pub(super) fn is_broken(&self) -> bool {
        lock(&self.inner).broken.is_some()
    }

    pub(super) fn outcome(&self, took: Duration) -> Result<Witness, Broken> {
        let mut inner = lock(&self.inner);
        inner.witness.virtual_s = took.as_secs();
        match &inner.broken {
            Some(broken) => Err(broken.clone()),
            None => Ok(inner.witness.clone()),
        }
    }

    /// Changes what the witness counts.
    pub(super) fn count(&self, count: impl FnOnce(&mut Witness)) {
        count(&mut lock(&self.inner).witness);
    }

    pub(super) fn lost_a_call(&self) {
        self.count(|witness| witness.lost_calls += 1);
    }

    /// Something is wrong from now on, for this long with the time to settle; strict promises wait until it is over.
    pub(super) fn trouble(&self, lasting: Duration) {
        let now = self.now();
        lock(&self.inner).troubles.push((now, now + lasting));
    }

    /// Whether nothing was wrong for this long.
    pub(super) fn calm_for(&self, past: Duration) -> bool {
        let now = self.now();
        lock(&self.inner).calm(now.saturating_sub(past), now)
    }

    /// The limits as any node may have them from now on.
    pub(super) fn set_limits(&self, limits: Limits) {
        let (now, mut inner) = (self.now(), lock(&self.inner));
        inner.bucket.fill(now);
        inner.bucket.limits = limits;
    }

    /// The store's clock has jumped ahead: one burst more, once.
    pub(super) fn forgive_a_burst(&self) {
        let (now, mut inner) = (self.now(), lock(&self.inner));
        inner.bucket.fill(now);
        inner.bucket.level += inner.bucket.limits.burst;
    }

    pub(super) fn expect(&self, visitor: u64) {
        lock(&self.inner).faithful.insert(visitor, false);
    }

    pub(super) fn came_in(&self, visitor: u64) {
        let mut inner = lock(&self.inner);
        inner.witness.admitted += 1;
        if let Some(inside) = inner.faithful.get_mut(&visitor) {
            *inside = true;
        }
    }

    /// Those who kept polling and are not in.
    pub(super) fn still_outside(&self) -> Vec<u64> {
        lock(&self.inner).faithful.iter().filter(|(_, inside)| !**inside).map(|(visitor, _)| *visitor).collect()
    }

    /// A node has heard whoever waits at this number.
    pub(super) fn heard(&self, epoch: Epoch, seq: u64) {
        let now = self.now();
        lock(&self.inner).heard.insert(number(epoch, seq), now);
    }

    /// Whether this visitor was ever given a turn or a session with this number.
    pub(super) fn was_let_in(&self, epoch: Epoch, seq: u64, vid: Vid) -> bool {
        lock(&self.inner).let_in.contains(&(number(epoch, seq), vid))
    }

    /// Whether the store has been told that the session of this number is over, and nothing that was lost since
    /// can have taken that back.
    pub(super) fn surely_ended(&self, epoch: Epoch, seq: u64) -> bool {
        let (now, inner) = (self.now(), lock(&self.inner));
        inner.ended.get(&number(epoch, seq)).is_some_and(|at| !inner.excused(*at, now, ENDED_MEMORY))
    }

    pub(super) fn surely_spent(&self, epoch: Epoch, seq: u64) -> bool {
        let (now, inner) = (self.now(), lock(&self.inner));
        inner.spent.get(&number(epoch, seq)).is_some_and(|at| !inner.excused(*at, now, SPENT_MEMORY))
    }

    /// The positions that somebody at this number may be told now, by a node that is in touch with the store.
    pub(super) fn possible_positions(&self, seq: u64) -> Option<(u64, u64)> {
        let (now, inner) = (self.now(), lock(&self.inner));
        let line = &inner.latest.as_ref()?.line;
        line.binary_search(&seq).ok()?;
        let exact = line.partition_point(|ahead| *ahead < seq) as u64 + 1;
        let since = now.saturating_sub(SNAPSHOT_AGE);
        let ahead = |moves: &[(Duration, u64)]| {
            moves.iter().rev().take_while(|(at, _)| *at >= since).filter(|(_, moved)| *moved < seq).count() as u64
        };
        Some((exact.saturating_sub(ahead(&inner.returned)), exact + ahead(&inner.left)))
    }

    /// By how much the position of this number may have risen since it was told this long ago: by those who came
    /// back, and by those whose leaving the first answer knew of and this one, of another node, does not yet.
    pub(super) fn possible_rise(&self, seq: u64, past: Duration) -> u64 {
        let (now, inner) = (self.now(), lock(&self.inner));
        let (then, unseen) = (now.saturating_sub(past), now.saturating_sub(SNAPSHOT_AGE));
        let ahead = |moves: &[(Duration, u64)], from: Duration, to: Duration| {
            let recent = moves.iter().rev().take_while(|(at, _)| *at >= from);
            recent.filter(|(at, moved)| *at <= to && *moved < seq).count() as u64
        };
        ahead(&inner.returned, then.saturating_sub(SNAPSHOT_AGE), now) + ahead(&inner.left, unseen, then)
    }

    /// Takes in what the store holds after an operation, and checks it against what it held before.
    pub(super) fn looked(&self, act: Act, after: Option<Contents>) {
        let now = self.now();
        let mut inner = lock(&self.inner);
        if act == Act::Loss {
            inner.accidents.push(now);
        }
        let before = inner.latest.take();
        if let Some(after) = &after {
            inner.note(now, after);
            if let Some(before) = before.as_ref().filter(|before| before.epoch() == after.epoch()) {
                inner.compare(act, now, before, after);
            }
        }
        inner.latest = after;
    }
}

impl Inner {
    fn wrong(&mut self, now: Duration, invariant: &'static str, what: String) {
        let seed = self.witness.seed;
        let at_ms = now.as_millis() as u64;
        let until_then = self.witness.faults.join(", ");
        self.broken.get_or_insert(Broken { seed, at_ms, invariant, what, until_then });
    }

    fn calm(&self, from: Duration, to: Duration) -> bool {
        !self.troubles.iter().any(|(began, ended)| *began <= to && *ended >= from)
    }

    /// Whether an accident may have undone, for good or for now, what happened at this time.
    fn excused(&self, at: Duration, now: Duration, memory: Duration) -> bool {
        self.accidents
            .iter()
            .any(|accident| *accident >= at && (at + memory >= *accident || now <= *accident + GIVING_BACK))
    }

    /// What is true of a room at any moment, and of its numbers for ever.
    fn note(&mut self, now: Duration, contents: &Contents) {
        if let Some((invariant, what)) = contents.unsound() {
            self.wrong(now, invariant, what);
        }
        let epoch = contents.epoch();
        for (seq, vid) in contents.owners() {
            let owner = *self.owners.entry(number(epoch, seq)).or_insert(vid);
            if owner != vid {
                self.wrong(now, "I4", format!("number {seq} belongs to {owner} and to {vid}"));
            }
        }
        for (seq, vid) in contents.inside() {
            self.let_in.insert((number(epoch, seq), vid));
        }
        // Not what the store calls spent: what must be, since somebody has come in with it.
        for (seq, _) in contents.active.values() {
            self.spent.entry(number(epoch, *seq)).or_insert(now);
        }
        for seq in &contents.ended {
            self.ended.entry(number(epoch, *seq)).or_insert(now);
        }
        let over = |seq: &u64| {
            let known = |over: &BTreeMap<Number, Duration>, memory| {
                over.get(&number(epoch, *seq)).is_some_and(|at| !self.excused(*at, now, memory))
            };
            known(&self.spent, SPENT_MEMORY) || known(&self.ended, ENDED_MEMORY)
        };
        if let Some(seq) = contents.line.iter().copied().find(over) {
            self.wrong(now, "I8", format!("the ticket {seq} was spent or ended, and waits again"));
        }
    }

    /// What one operation may change.
    fn compare(&mut self, act: Act, now: Duration, before: &Contents, after: &Contents) {
        for seq in after.returned_since(before) {
            self.returned.push((now, seq));
            self.witness.returned += 1;
        }
        for seq in after.left_since(before) {
            self.left.push((now, seq));
        }
        match act {
            Act::Tick => {
                if let Some((invariant, what)) = after.out_of_order(before) {
                    self.wrong(now, invariant, what);
                }
                self.let_in(now, after.let_in_since(before));
                self.check_cap(now, after);
            }
            Act::Enter => {
                self.let_in(now, after.let_in_since(before));
                self.check_cap(now, after);
            }
            Act::Claim | Act::Touch => self.proved.extend(after.proved_since(before)),
            Act::Reap => {
                for seq in after.left_since(before) {
                    self.reaped(now, after.epoch(), seq);
                }
            }
            Act::Join | Act::End | Act::Flush | Act::Reset | Act::Pause | Act::Recover | Act::Loss => {}
        }
    }

    fn let_in(&mut self, now: Duration, count: u64) {
        self.witness.granted += count;
        self.bucket.fill(now);
        self.bucket.level -= count as f64;
        if self.bucket.level < -ROUNDING {
            let Limits { rate_per_s, burst, .. } = self.bucket.limits;
            let over = -self.bucket.level;
            self.wrong(now, "I1", format!("{over:.2} more than {rate_per_s}/s · t + {burst} in some window"));
        }
    }

    fn check_cap(&mut self, now: Duration, after: &Contents) {
        let cap = self.bucket.limits.max_active;
        self.proved.retain(|vid| after.active.contains_key(vid));
        let (occupied, proved) = (after.occupied(), self.proved.len() as u64);
        if cap > 0 && occupied > cap + proved {
            self.wrong(now, "I2", format!("{occupied} inside, {proved} of them proved, and the cap is {cap}"));
        }
    }

    fn reaped(&mut self, now: Duration, epoch: Epoch, seq: u64) {
        self.witness.reaped += 1;
        let Some(heard) = self.heard.get(&number(epoch, seq)).copied() else { return };
        let silence = now - heard;
        if silence < Duration::from_secs(35) && self.calm(now.saturating_sub(Duration::from_secs(200)), now) {
            self.wrong(now, "F29", format!("{seq} was taken out of the line {silence:?} after it was heard"));
        }
    }
}
