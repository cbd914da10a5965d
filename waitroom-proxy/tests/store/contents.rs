//! All that a store keeps of a room, read from its insides, and what must be true of it at any time.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use redis::aio::MultiplexedConnection;
use waitroom_proxy::store::memory::MemoryStore;
use waitroom_proxy::store::{Detail, QueueStore, RoomName, RoomPicture, StoreError, Vid};

use crate::bed::seqs_in;

/// Stores that hold the same may differ by this much in times: they were written one after the other.
const CLOCKS_APART_MS: u64 = 10_000;

/// A visitor's number, and until when the turn or session lasts.
type Until = BTreeMap<Vid, (u64, u64)>;

/// The line, the turns and the sessions with their scores; the numbers; whether the scratch key is there.
type Insides = (Vec<(String, u64)>, Vec<(String, u64)>, Vec<(String, u64)>, HashMap<String, String>, bool);

#[derive(Clone, Debug)]
pub(crate) struct Contents {
    pub(crate) waiting: BTreeMap<Vid, u64>,
    pub(crate) granted: Until,
    pub(crate) active: Until,
    /// When each session began, ms.
    pub(crate) began: BTreeMap<Vid, u64>,
    /// The numbers in line, first to last.
    pub(crate) line: Vec<u64>,
    pub(crate) picture: RoomPicture,
}

impl Contents {
    pub(crate) async fn of_memory(store: &MemoryStore, room: &RoomName) -> Option<Self> {
        let image = store.image(room)?;
        let picture = store.snapshot(room, None, Detail::Everything).await.expect("a picture");
        let [waiting, spent, ended] = image.bits();
        assert_eq!(waiting, seqs_in(&picture.waiting_bits));
        assert_eq!(spent, seqs_in(&picture.spent_bits));
        assert_eq!(ended, seqs_in(&picture.ended_bits));
        let (waiting, granted, active, began) = (image.waiting(), image.granted(), image.active(), image.began());
        Some(Self { waiting, granted, active, began, line: image.line(), picture })
    }

    pub(crate) async fn of_redis(
        store: &dyn QueueStore,
        raw: &mut MultiplexedConnection,
        room: &RoomName,
    ) -> Option<Self> {
        let picture = match store.snapshot(room, None, Detail::Everything).await {
            Err(StoreError::Lost) => return None,
            answer => answer.expect("a picture"),
        };
        let key = |part: &str| format!("queue:{{{room}}}:{part}");
        let (line, granted, active, seqs, scratch): Insides = redis::pipe()
            .cmd("ZRANGE")
            .arg(key("waiting"))
            .arg(0)
            .arg(-1)
            .arg("WITHSCORES")
            .cmd("ZRANGE")
            .arg(key("granted"))
            .arg(0)
            .arg(-1)
            .arg("WITHSCORES")
            .cmd("ZRANGE")
            .arg(key("active"))
            .arg(0)
            .arg(-1)
            .arg("WITHSCORES")
            .cmd("HGETALL")
            .arg(key("seqs"))
            .cmd("EXISTS")
            .arg(key("scratch"))
            .query_async(raw)
            .await
            .expect("the insides");
        assert!(!scratch, "the scratch key is gone after every script");
        let named = granted.iter().chain(&active).map(|(vid, _)| vid).collect::<BTreeSet<_>>();
        assert_eq!(named, seqs.keys().collect(), "`seqs` has exactly those with a turn or a session");
        let who = |name: &str| Vid::parse(name).expect("a vid");
        let until = |members: &[(String, u64)]| -> Until {
            members.iter().map(|(vid, until)| (who(vid), (numbered(&seqs[vid]).0, *until))).collect()
        };
        let began = |(vid, _): &(String, u64)| (who(vid), numbered(&seqs[vid]).1.expect("a session has a beginning"));
        assert!(granted.iter().all(|(vid, _)| numbered(&seqs[vid]).1.is_none()), "a turn has not begun");
        Some(Self {
            waiting: line.iter().map(|(vid, seq)| (who(vid), *seq)).collect(),
            granted: until(&granted),
            active: until(&active),
            began: active.iter().map(began).collect(),
            line: line.iter().map(|(_, seq)| *seq).collect(),
            picture,
        })
    }

    /// Panics, with `place`, unless both hold the same.
    pub(crate) fn assert_same(&self, other: &Self, place: &str) {
        assert_eq!(self.waiting, other.waiting, "{place}: who waits");
        assert_eq!(self.line, other.line, "{place}: the line");
        for (name, one, two) in [("turns", &self.granted, &other.granted), ("sessions", &self.active, &other.active)] {
            let seqs = |until: &Until| until.iter().map(|(vid, (seq, _))| (*vid, *seq)).collect::<Vec<_>>();
            assert_eq!(seqs(one), seqs(two), "{place}: {name}");
            for (vid, (_, until)) in one {
                assert!(until.abs_diff(two[vid].1) < CLOCKS_APART_MS, "{place}: {name} of {vid}");
            }
        }
        for (vid, began) in &self.began {
            assert!(began.abs_diff(other.began[vid]) < CLOCKS_APART_MS, "{place}: the beginning of {vid}");
        }
        assert_eq!(timeless(&self.picture), timeless(&other.picture), "{place}: the picture");
    }

    /// What is true of a room at any moment.
    pub(crate) fn assert_sound(&self, place: &str) {
        let line: BTreeSet<u64> = self.waiting.values().copied().collect();
        assert_eq!(line.len(), self.waiting.len(), "{place}: I4: two visitors wait at one number");
        assert_eq!(line.iter().copied().collect::<Vec<_>>(), self.line, "{place}: I4: the line");
        assert_eq!(self.line, seqs_in(&self.picture.waiting_bits), "{place}: I6: bits and line differ");
        assert_eq!(self.line.len() as u64, self.picture.waiting, "{place}: I6");
        let inside = self.granted.keys().chain(self.active.keys()).collect::<BTreeSet<_>>();
        assert_eq!(inside.len(), self.granted.len() + self.active.len(), "{place}: I7: a turn and a session");
        assert!(!self.waiting.keys().any(|vid| inside.contains(vid)), "{place}: I7: waits and is inside");
        let spent: BTreeSet<u64> = seqs_in(&self.picture.spent_bits).into_iter().collect();
        let ended: BTreeSet<u64> = seqs_in(&self.picture.ended_bits).into_iter().collect();
        assert!(line.is_disjoint(&spent), "{place}: I8: a spent ticket waits");
        assert!(line.is_disjoint(&ended), "{place}: I8: an ended ticket waits");
        for (vid, (seq, _)) in &self.active {
            assert!(*seq < self.picture.base || spent.contains(seq), "{place}: I8: session of {vid} not spent");
            assert!(!ended.contains(seq), "{place}: I8: ended session of {vid} is back");
        }
        let lowest = self.picture.base.max(self.picture.floor + 1);
        assert!(self.line.first().is_none_or(|first| *first >= lowest), "{place}: a void ticket waits");
        assert!(self.line.last().is_none_or(|last| *last <= self.picture.seq), "{place}: a number not yet given waits");
    }
}

/// What a field of `seqs` says: the number, and the beginning of a session.
fn numbered(text: &str) -> (u64, Option<u64>) {
    let number = |text: &str| text.parse().expect("a whole number");
    match text.split_once(':') {
        Some((seq, began_ms)) => (number(seq), Some(number(began_ms))),
        None => (number(text), None),
    }
}

/// A picture without its times.
pub(crate) fn timeless(picture: &RoomPicture) -> RoomPicture {
    let hold = if picture.hold.is_zero() { picture.hold } else { std::time::Duration::MAX };
    RoomPicture { now_ms: 0, hold, ..picture.clone() }
}
