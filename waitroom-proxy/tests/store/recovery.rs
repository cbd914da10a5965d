//! After a loss: who holds the truth, and what is given back.

use waitroom_proxy::store::{
    BitKind, BitSpan, Epoch, Recovered, Recovery, SEQ_MARGIN, Seen, Standing, StoreError, Verdict,
};

use crate::bed::{BURST, Bed, FULL, LIFE, LONG, SHORT, is_session, limits, on_both, room_name, seqs_in};

on_both!(
    f3_a_node_that_knows_restores_the_room,
    f3_a_fresh_room_yields_while_it_is_cold,
    a_room_that_is_no_longer_cold_does_not_yield,
    i4_numbers_of_two_lives_are_never_mixed,
    a_higher_generation_takes_over,
    a_repeated_recovery_changes_nothing,
    i1_a_rollback_pays_no_turn_twice,
    i4_numbers_a_node_saw_are_never_given_out_again,
    the_later_order_of_an_operator_wins,
    a_remembered_floor_and_base_are_carried,
    i8_remembered_bits_are_given_back,
    a_room_without_state_is_lost,
);

impl Bed {
    async fn recover(&self, epoch: Epoch, seen: Seen, hold: std::time::Duration) -> Result<Recovered, StoreError> {
        self.store.recover(&self.room, epoch, seen, hold, BURST, 500).await
    }

    /// Another room of the same store, without any state.
    fn without_state(mut self) -> Self {
        self.room = room_name();
        self
    }
}

fn knows(seq: u64, admitted: u64) -> Seen {
    Seen { seq, admitted, watermark: admitted, ..Seen::default() }
}

async fn f3_a_node_that_knows_restores_the_room(bed: Bed) {
    let bed = bed.without_state();
    let seen = Seen { base: 8, floor: 3, pause: 2, ..knows(500, 40) };
    let restored = bed.recover(Epoch { generation: 4, life: LIFE }, seen, LONG).await.expect("restored");
    assert_eq!((restored.how, restored.epoch), (Recovery::Restored, Epoch { generation: 4, life: LIFE }));
    assert_eq!(restored.seen, Seen { seq: 500 + SEQ_MARGIN, ..seen });
    assert!(restored.hold > LONG / 2 && !restored.cold, "{restored:?}");
    let bed = Bed { epoch: restored.epoch, ..bed };
    assert_eq!(
        bed.join(&[(1, 490), (2, 3), (3, 0)]).await,
        [Standing::Waiting(490), Standing::Void(3), Standing::Waiting(501 + SEQ_MARGIN)]
    );
    let ticked = bed.tick_with(limits(FULL, BURST, 0), LONG).await;
    assert_eq!(ticked.granted_now, 0, "people first re-insert themselves");
    assert_eq!(bed.enter(limits(FULL, BURST, 0), LONG, &[9]).await, [Verdict::No]);
    let proven = bed.touch(7, 450, LONG, true).await;
    assert!(is_session(&proven), "sessions go on");
}

async fn f3_a_fresh_room_yields_while_it_is_cold(bed: Bed) {
    let bed = bed.without_state();
    let fresh = bed.recover(Epoch { generation: 1, life: 0 }, Seen::default(), LONG).await.expect("fresh");
    assert_eq!((fresh.how, fresh.epoch.life, fresh.cold, fresh.hold.is_zero()), (Recovery::Fresh, 500, true, true));
    let mut bed = Bed { epoch: fresh.epoch, ..bed };
    bed.line_up(30).await;
    assert_eq!(bed.tick_with(limits(0.0, BURST, 0), LONG).await.granted_now, BURST as u64);
    bed.claim(&[(1, 1, false)]).await;
    bed.end(&[(2, 2)]).await;

    let old = Epoch { generation: 1, life: LIFE };
    let seen = Seen { pause: 4, ..knows(10, 5) };
    let restored = bed.recover(old, seen, LONG).await.expect("takes over, although it saw fewer numbers");
    assert_eq!((restored.how, restored.epoch, restored.cold), (Recovery::Restored, old, false));
    assert_eq!(restored.seen, Seen { seq: 10 + SEQ_MARGIN, ..seen });
    assert!(matches!(bed.try_join(&[(3, 3)]).await, Err(StoreError::Superseded(epoch)) if epoch == old));
    bed.epoch = old;
    let picture = bed.picture().await;
    assert_eq!((picture.waiting, picture.granted, picture.active), (0, 0, 0), "all of the cold life is dropped");
    assert!(picture.spent_bits.bytes.is_empty() && picture.ended_bits.bytes.is_empty());
}

async fn a_room_that_is_no_longer_cold_does_not_yield(bed: Bed) {
    bed.line_up(3).await;
    bed.let_it_run_out().await;
    let other = Epoch { generation: 1, life: LIFE + 1 };
    let answer = bed.recover(other, knows(10, 5), LONG).await;
    assert!(matches!(answer, Err(StoreError::Superseded(epoch)) if epoch == bed.epoch), "{answer:?}");
    let nothing_known = bed.recover(other, Seen::default(), LONG).await;
    assert!(matches!(nothing_known, Err(StoreError::Superseded(_))), "{nothing_known:?}");
    assert_eq!(bed.waiting().await, [1, 2, 3]);
}

async fn i4_numbers_of_two_lives_are_never_mixed(bed: Bed) {
    let bed = bed.without_state();
    let fresh = bed.recover(Epoch { generation: 1, life: 0 }, Seen::default(), LONG).await.expect("fresh");
    let old = Epoch { generation: 1, life: LIFE };
    // A ticket of the old life shows up before a node that knows it: refused, not taken for one of the new life.
    let stranger = Bed { epoch: old, store: bed.store.clone(), room: bed.room.clone(), ..Bed::memory().await };
    assert!(matches!(stranger.try_join(&[(1, 1)]).await, Err(StoreError::Superseded(epoch)) if epoch == fresh.epoch));
    assert!(matches!(stranger.try_claim(LONG, false, &[(1, 1, true)]).await, Err(StoreError::Superseded(_))));
}

async fn a_higher_generation_takes_over(mut bed: Bed) {
    bed.line_up(5).await;
    let higher = Epoch { generation: 3, life: LIFE };
    let restored = bed.recover(higher, knows(500, 9), LONG).await.expect("restored");
    assert_eq!((restored.how, restored.seen.seq, restored.epoch), (Recovery::Restored, 500 + SEQ_MARGIN, higher));
    let lower = bed.recover(bed.epoch, knows(9_999, 9), LONG).await;
    assert!(matches!(lower, Err(StoreError::Superseded(epoch)) if epoch == higher), "{lower:?}");
    bed.epoch = higher;
    assert_eq!(bed.picture().await.waiting, 0);
    let unknowing = bed.recover(Epoch { generation: 9, life: 0 }, Seen::default(), SHORT).await.expect("fresh");
    assert_eq!((unknowing.how, unknowing.epoch), (Recovery::Fresh, Epoch { generation: 9, life: 500 }));
    bed.epoch = unknowing.epoch;
    bed.line_up(1).await;
    assert_eq!(bed.tick_with(limits(0.0, BURST, 0), LONG).await.granted_now, 0, "no second burst");
}

async fn a_repeated_recovery_changes_nothing(bed: Bed) {
    bed.line_up(5).await;
    bed.let_it_run_out().await;
    let seen = bed.picture().await.seen();
    let first = bed.recover(bed.epoch, seen, LONG).await.expect("merged");
    assert_eq!((first.how, first.seen, first.hold.is_zero()), (Recovery::Merged, seen, true));
    assert_eq!(bed.recover(bed.epoch, first.seen, LONG).await.expect("merged"), first);
    let unknowing = bed.recover(Epoch { life: 0, ..bed.epoch }, Seen::default(), LONG).await.expect("merged");
    assert_eq!((unknowing.how, unknowing.epoch, unknowing.seen), (Recovery::Merged, bed.epoch, seen));
}

async fn i1_a_rollback_pays_no_turn_twice(bed: Bed) {
    bed.line_up(50).await;
    let saw = Seen { admitted: 9, ..Seen::default() };
    let ticked = bed.store.tick(&bed.room, bed.epoch, saw, limits(0.0, BURST, 0), LONG).await.expect("ticked");
    assert_eq!((ticked.granted_now, ticked.rolled_back, ticked.admitted), (0, true, 9), "noticed by a tick");
    let again = bed.store.tick(&bed.room, bed.epoch, saw, limits(0.0, BURST, 0), LONG).await.expect("ticked");
    assert_eq!((again.granted_now, again.rolled_back), (0, false));

    let bed = fresh_room(bed).await;
    bed.line_up(50).await;
    bed.recover(bed.epoch, knows(50, 9), LONG).await.expect("merged");
    let ticked = bed.tick_with(limits(0.0, BURST, 0), LONG).await;
    assert_eq!((ticked.granted_now, ticked.rolled_back), (0, false), "noticed by a recovery, which a tick cannot see");
}

async fn fresh_room(bed: Bed) -> Bed {
    let bed = bed.without_state();
    let fresh = bed.recover(Epoch { generation: 1, life: 0 }, Seen::default(), SHORT).await.expect("fresh");
    Bed { epoch: fresh.epoch, ..bed }
}

async fn i4_numbers_a_node_saw_are_never_given_out_again(bed: Bed) {
    bed.line_up(2).await;
    let saw = Seen { seq: 5, ..Seen::default() };
    let batch = [waitroom_proxy::store::JoinItem { vid: crate::bed::vid(9), seq: 0 }];
    let joined = bed.store.join(&bed.room, bed.epoch, saw, &batch).await.expect("joined");
    assert_eq!(joined, [Standing::Waiting(6 + SEQ_MARGIN)]);
    assert_eq!(bed.join(&[(10, 0)]).await, [Standing::Waiting(7 + SEQ_MARGIN)], "once");
    let flushed = bed.store.flush(&bed.room, bed.epoch, Seen { seq: 200_000, ..saw }, "n").await.expect("flushed");
    assert_eq!(flushed, (200_000 + SEQ_MARGIN, 4), "numbers the store forgot are flushed, too");
}

async fn the_later_order_of_an_operator_wins(bed: Bed) {
    bed.line_up(1).await;
    let merged = bed.recover(bed.epoch, Seen { pause: 3, ..knows(1, 0) }, LONG).await.expect("merged");
    assert_eq!(merged.seen.pause, 3);
    let merged = bed.recover(bed.epoch, Seen { pause: 2, ..knows(1, 0) }, LONG).await.expect("merged");
    assert_eq!(merged.seen.pause, 3);
    assert_eq!(bed.tick_with(limits(FULL, BURST, 0), LONG).await.granted_now, 0);
    // Paused in a room that was begun anew meanwhile: still paused when a node that knows takes it over.
    let higher = Epoch { generation: 2, life: LIFE };
    assert_eq!(bed.recover(higher, knows(50, 0), LONG).await.expect("restored").seen.pause, 3);
}

async fn a_remembered_floor_and_base_are_carried(bed: Bed) {
    bed.line_up(40).await;
    bed.grant(3).await;
    let merged = bed.recover(bed.epoch, Seen { base: 8, floor: 20, ..knows(40, 3) }, LONG).await.expect("merged");
    assert_eq!((merged.seen.base, merged.seen.floor, merged.seen.seq), (8, 20, 40));
    let picture = bed.picture().await;
    assert_eq!((bed.waiting().await, picture.granted), ((21..=40).collect(), 0));
    assert_eq!(bed.join(&[(1, 1), (20, 20)]).await, [Standing::Void(1), Standing::Void(20)]);
    let far = bed.recover(bed.epoch, Seen { floor: 900, ..knows(40, 3) }, LONG).await.expect("merged");
    assert_eq!(far.seen.seq, 900 + SEQ_MARGIN, "no new number may be void");
    assert!(bed.waiting().await.is_empty());
}

async fn i8_remembered_bits_are_given_back(bed: Bed) {
    bed.seat(3).await;
    bed.join(&[(4, 0), (5, 0), (6, 0), (7, 0)]).await;
    bed.grant(1).await;
    let give = |kind, first, bytes: Vec<u8>| {
        let (store, room, epoch) = (bed.store.clone(), bed.room.clone(), bed.epoch);
        async move { store.merge_bits(&room, epoch, kind, &BitSpan { first, bytes }).await }
    };
    assert_eq!(give(BitKind::Spent, 0, vec![0b0000_0110, 0, 0]).await.expect("merged"), 2, "5 and 6, who wait");
    assert_eq!(bed.waiting().await, [7]);
    assert_eq!(give(BitKind::Ended, 0, vec![0b0100_1000]).await.expect("merged"), 2, "1 has a session, 4 a turn");
    assert_eq!(give(BitKind::Ended, 0, vec![0b0100_1000]).await.expect("merged"), 0, "again");
    assert_eq!(bed.claim(&[(1, 1, true), (4, 4, true)]).await, [Verdict::No, Verdict::No]);
    assert_eq!(bed.join(&[(5, 5), (4, 4), (2, 0)]).await, [Standing::Void(5), Standing::Void(4), Standing::Active(2)]);
    assert_eq!(give(BitKind::Spent, 16, vec![0, 1]).await.expect("merged"), 1);
    let picture = bed.picture().await;
    assert_eq!(seqs_in(&picture.spent_bits), [1, 2, 3, 5, 6, 31]);
    assert_eq!(picture.seq, 31 + SEQ_MARGIN, "somebody had number 31");
    assert!(
        matches!(give(BitKind::Spent, 4, vec![1]).await, Err(StoreError::Refused(text)) if text.starts_with("ARG"))
    );
    assert!(
        matches!(give(BitKind::Ended, 1 << 40, vec![1]).await, Err(StoreError::Refused(text)) if text.starts_with("SPAN"))
    );
    assert_eq!(give(BitKind::Ended, 1 << 40, vec![0]).await.expect("nothing in it"), 0);
}

async fn a_room_without_state_is_lost(bed: Bed) {
    let bed = bed.without_state();
    assert!(matches!(bed.try_join(&[(1, 0)]).await, Err(StoreError::Lost)));
    let snapshot = bed.store.snapshot(&bed.room, None, waitroom_proxy::store::Detail::Polls).await;
    assert!(matches!(snapshot, Err(StoreError::Lost)), "{snapshot:?}");
    assert!(matches!(bed.store.reset(&bed.room, bed.epoch).await, Err(StoreError::Lost)));
}
