//! What a run loses: last writes, everything, the beginning of another life; and how the room comes back.
//!
//! Before each loss one node learns all there is, and is the first to recover: without that, numbers can be
//! given out twice, which is known and not what is tested here.

use super::*;

const PARTS: [&str; 9] =
    ["waiting", "granted", "active", "waiting.bits", "spent.bits", "ended.bits", "state", "scratch", "seqs"];

impl World {
    pub(super) async fn lose_something(&mut self) {
        let _ = self.act(0, &Operation::Snapshot(Detail::Everything)).await;
        match self.chance.below(8) {
            0..=2 => self.saved = Some(self.save().await),
            3..=5 => {
                let Some(saved) = self.saved.take() else { return };
                self.put_back(saved).await;
                *self.counts.entry("rollbacks").or_default() += 1;
                if self.chance.one_in(2) {
                    // Something else comes before the recovery.
                    let joiners = Operation::Join(self.joiners(self.nodes[0].epoch));
                    let tick = Operation::Tick { limits: limits(0.0, BURST, 0), ttl: LONG };
                    let first = if self.chance.one_in(2) { joiners } else { tick };
                    let _ = self.act(0, &first).await;
                }
                self.recover(0, SHORT).await;
            }
            6 => {
                self.wipe().await;
                *self.counts.entry("wipes").or_default() += 1;
                self.recover(0, SHORT).await;
            }
            _ => self.begin_another_life().await,
        }
        // A proxy that starts anew, too: its connection has recovered nothing yet.
        if self.chance.one_in(4) {
            self.redis = patient_store(&self.url);
            self.recover(0, SHORT).await;
        }
    }

    /// A node that knows nothing comes first after a wipe, and then one that knows.
    async fn begin_another_life(&mut self) {
        self.wipe().await;
        *self.counts.entry("other lives").or_default() += 1;
        let knows = std::mem::replace(&mut self.nodes[0], Node::new());
        let stays = self.chance.one_in(2);
        self.recover(0, if stays { SHORT } else { LONG }).await;
        let other = self.nodes[0].epoch;
        assert_ne!(other.life, knows.epoch.life, "{}", self.place());
        for _ in 0..3 {
            let joiners = Operation::Join(self.joiners(other));
            let _ = self.act(0, &joiners).await;
            let _ = self.act(0, &Operation::Tick { limits: limits(0.0, BURST, 0), ttl: LONG }).await;
        }
        let (old, knew_numbers) = (knows.epoch, knows.seen.seq > 0);
        self.nodes[0] = knows;
        self.recover(0, SHORT).await;
        let holds = self.latest.as_ref().expect("a room").picture.epoch;
        if old.generation > other.generation {
            assert_eq!(holds.generation, old.generation, "{}: a higher generation takes over", self.place());
        } else {
            let expected = if stays || !knew_numbers { other } else { old };
            assert_eq!(holds, expected, "{}: stays {stays}", self.place());
        }
        let _ = self.act(0, &Operation::Snapshot(Detail::Everything)).await;
    }

    /// Recovers, gives back what the node remembers, and looks.
    pub(super) async fn recover(&mut self, node: usize, hold: Duration) {
        let recover = Operation::Recover { hold, burst: BURST, fresh_life: self.life() };
        let remembered = self.nodes[node].clone();
        if self.act(node, &recover).await.is_ok() && self.nodes[node].epoch == remembered.epoch {
            for (kind, bits) in [(BitKind::Spent, remembered.spent), (BitKind::Ended, remembered.ended)] {
                let _ = self.act(node, &Operation::MergeBits(kind, bits)).await;
            }
        }
        self.forgetful = false;
        let _ = self.act(node, &Operation::Snapshot(Detail::Everything)).await;
    }

    fn keys(&self) -> [String; 9] {
        PARTS.map(|part| format!("queue:{{{}}}:{part}", self.room))
    }

    async fn save(&mut self) -> Saved {
        let mut redis = Vec::new();
        for key in self.keys() {
            redis.push(redis::cmd("DUMP").arg(key).query_async(&mut self.raw).await.expect("a dump"));
        }
        Saved { memory: self.memory.image(&self.room), redis }
    }

    async fn put_back(&mut self, saved: Saved) {
        self.wipe_redis().await;
        for (key, dump) in self.keys().iter().zip(saved.redis) {
            if let Some(dump) = dump {
                let restore = redis::cmd("RESTORE").arg(key).arg(0).arg(dump).exec_async(&mut self.raw).await;
                restore.expect("restored");
            }
        }
        self.memory.set_image(&self.room, saved.memory);
        self.forgetful = true;
        self.look().await;
    }

    async fn wipe(&mut self) {
        self.wipe_redis().await;
        self.memory.set_image(&self.room, None);
        self.look().await;
        // Numbers of a life that is over must not be mixed with what is restored from before it.
        self.saved = None;
    }

    async fn wipe_redis(&mut self) {
        redis::cmd("DEL").arg(&self.keys()[..]).exec_async(&mut self.raw).await.expect("deleted");
    }
}
