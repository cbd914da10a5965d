//! The line: numbers, tickets, ticks, limits, refusals.

use std::time::Duration;

use waitroom_proxy::rank::RankIndex;
use waitroom_proxy::store::{Epoch, JoinItem, MAX_BATCH, SEQ_MARGIN, Seen, Standing, StoreError, TouchItem, Verdict};

use crate::bed::{BURST, Bed, FULL, LIFE, LONG, SHORT, is_session, limits, on_both, vid};

on_both!(
    i3_turns_are_given_in_order,
    i4_two_visitors_never_share_a_number,
    i6_bits_and_ranks_equal_the_line,
    i9_f5_a_repeated_join_is_the_same_place,
    f5_a_repeated_tick_pays_no_token_twice,
    i2_the_cap_holds_for_turns_and_sessions,
    a_late_claim_keeps_the_place,
    an_older_ticket_wins_over_a_newer_place,
    a_ticket_far_away_keeps_its_place,
    i13_who_was_reaped_comes_back_by_ticket,
    flushed_tickets_are_void_and_sessions_stay,
    a_repeated_flush_spares_those_who_came_since,
    f22_a_reset_voids_everything,
    a_paused_room_gives_nothing,
    the_fast_lane_is_open_only_while_nobody_waits,
    i9_f5_a_repeated_entry_is_the_same_session,
    a_large_line_is_granted_and_swept_in_slices,
    trim_drops_what_is_behind_and_nothing_else,
    refused_calls_write_nothing,
    refused_epochs_name_the_one_that_holds,
);

async fn i3_turns_are_given_in_order(bed: Bed) {
    bed.line_up(10).await;
    let ticked = bed.grant(3).await;
    assert_eq!((ticked.watermark, ticked.admitted, ticked.head, ticked.waiting), (3, 3, Some(4), 7));
    assert_eq!(bed.waiting().await, [4, 5, 6, 7, 8, 9, 10]);
    let who: Vec<(u64, u64)> = (1..=4).map(|who| (who, 0)).collect();
    let standings = [Standing::Granted(1), Standing::Granted(2), Standing::Granted(3), Standing::Waiting(4)];
    assert_eq!(bed.join(&who).await, standings);
    bed.grant(7).await;
    assert_eq!(bed.grant_none().await.head, None);
}

impl Bed {
    /// A tick that finds nobody to give a turn, or no token.
    async fn grant_none(&self) -> waitroom_proxy::store::Ticked {
        let ticked = self.tick_with(limits(FULL, BURST, 0), LONG).await;
        assert_eq!(ticked.granted_now, 0);
        ticked
    }
}

async fn i4_two_visitors_never_share_a_number(bed: Bed) {
    bed.line_up(1).await;
    assert_eq!(bed.join(&[(9, 1)]).await, [Standing::Void(1)], "somebody waits there");
    let both = bed.join(&[(2, 5), (3, 5)]).await;
    assert_eq!(both, [Standing::Waiting(5), Standing::Void(5)], "the first of a batch has it");
    assert_eq!(bed.join(&[(4, 0)]).await, [Standing::Waiting(6 + SEQ_MARGIN)], "a ticket proves that 5 was given out");
}

async fn i6_bits_and_ranks_equal_the_line(bed: Bed) {
    bed.line_up(700).await;
    let gone: Vec<(u64, u64)> = (1..=700).filter(|seq| seq % 3 == 0).map(|seq| (seq, seq)).collect();
    assert_eq!(bed.end(&gone).await, gone.len() as u64);
    let picture = bed.picture().await;
    let index = RankIndex::build(&picture.waiting_bits);
    let waiting: Vec<u64> = (1..=700).filter(|seq| seq % 3 != 0).collect();
    assert_eq!((index.count(), index.first()), (picture.waiting, Some(1)));
    for (place, seq) in waiting.iter().enumerate() {
        assert!(index.contains(*seq) && index.rank(*seq) == place as u64, "{seq}");
    }
}

async fn i9_f5_a_repeated_join_is_the_same_place(bed: Bed) {
    let first = bed.join(&[(1, 0), (2, 0), (3, 77), (2, 0)]).await;
    assert_eq!(first[1], first[3], "twice in one batch");
    assert_eq!(bed.join(&[(1, 0), (2, 0), (3, 77), (2, 0)]).await, first);
    assert_eq!(bed.picture().await.waiting, 3);
}

async fn f5_a_repeated_tick_pays_no_token_twice(bed: Bed) {
    bed.line_up(100).await;
    // The fresh bucket is full; at rate 0 nothing is added.
    assert_eq!(bed.tick_with(limits(0.0, BURST, 0), LONG).await.granted_now, BURST as u64);
    let again = bed.tick_with(limits(0.0, BURST, 0), LONG).await;
    assert_eq!((again.granted_now, again.admitted, again.rolled_back), (0, BURST as u64, false));
}

async fn i2_the_cap_holds_for_turns_and_sessions(bed: Bed) {
    bed.line_up(40).await;
    let capped = |cap| limits(FULL, BURST, cap);
    let ticked = bed.tick_with(capped(5), LONG).await;
    assert_eq!((ticked.granted_now, ticked.occupied), (5, 5));
    assert!(bed.claim(&[(1, 1, false), (2, 2, false)]).await.iter().all(is_session));
    assert_eq!(bed.tick_with(capped(6), LONG).await.granted_now, 1);
    assert_eq!(bed.tick_with(capped(6), LONG).await.granted_now, 0);
    assert_eq!(bed.tick_with(capped(3), LONG).await.granted_now, 0, "a lowered cap takes nothing back");
    assert_eq!(bed.end(&[(1, 1), (2, 2)]).await, 2);
    assert_eq!(bed.tick_with(capped(5), LONG).await.granted_now, 1);
}

async fn a_late_claim_keeps_the_place(bed: Bed) {
    bed.line_up(3).await;
    assert_eq!(bed.tick_with(limits(FULL, 2.0, 0), SHORT).await.granted_now, 2);
    bed.let_it_run_out().await;
    assert_eq!(bed.claim(&[(1, 1, false)]).await, [Verdict::No], "the turn is over");
    let back = bed.join(&[(1, 1), (2, 0)]).await;
    assert_eq!(back, [Standing::Waiting(1), Standing::Waiting(2)], "by ticket, and by what the store still knows");
    assert_eq!(bed.waiting().await, [1, 2, 3]);
    assert_eq!(bed.grant(1).await.head, Some(2));
}

async fn an_older_ticket_wins_over_a_newer_place(bed: Bed) {
    bed.line_up(2).await;
    assert_eq!(bed.store.reap(&bed.room, bed.epoch, &[1]).await.expect("reaped"), 1);
    assert_eq!(bed.join(&[(1, 0)]).await, [Standing::Waiting(3)], "came back without the ticket");
    assert_eq!(bed.join(&[(1, 1)]).await, [Standing::Waiting(1)], "and then with it");
    assert_eq!(bed.waiting().await, [1, 2]);
    assert_eq!(bed.join(&[(1, 3)]).await, [Standing::Waiting(1)], "a newer one moves nobody back");
}

async fn a_ticket_far_away_keeps_its_place(bed: Bed) {
    // Spent numbers near 0: their bits must not be taken for those of numbers near the ticket.
    assert!(bed.enter(limits(0.0, BURST, 0), LONG, &[91, 92, 93]).await.iter().all(is_session));
    let far = (1 << 52) + 12_345;
    let standings = bed.join(&[(1, far), (2, far - 1_000), (3, 0)]).await;
    assert_eq!(
        standings,
        [Standing::Waiting(far), Standing::Waiting(far - 1_000), Standing::Waiting(far + SEQ_MARGIN + 1)]
    );
    let picture = bed.picture().await;
    assert!(picture.base > 0 && picture.base.is_multiple_of(8) && picture.base <= far - 1_000, "{}", picture.base);
    assert!(picture.waiting_bits.bytes.len() < 20_000, "{}", picture.waiting_bits.bytes.len());
    assert!(picture.spent_bits.bytes.is_empty(), "spent numbers that far behind are void by the base");
    assert_eq!(bed.grant(2).await.watermark, far);
    assert!(is_session(&bed.claim(&[(1, far, false)]).await[0]));
    // And back to numbers that no longer fit into the window beside it.
    let refused = bed.try_join(&[(4, 1 << 40), (3, 0)]).await;
    assert!(matches!(refused, Ok(ref standings) if standings[0] == Standing::Void(1 << 40)), "{refused:?}");
}

async fn i13_who_was_reaped_comes_back_by_ticket(bed: Bed) {
    bed.line_up(5).await;
    assert_eq!(bed.store.reap(&bed.room, bed.epoch, &[1, 2, 4, 99]).await.expect("reaped"), 3);
    assert_eq!(bed.store.reap(&bed.room, bed.epoch, &[1, 2, 4, 99]).await.expect("reaped"), 0);
    assert_eq!(bed.grant(1).await.watermark, 3, "the silent block nobody");
    assert_eq!(bed.join(&[(1, 1)]).await, [Standing::Waiting(1)]);
    assert_eq!(bed.waiting().await, [1, 5]);
}

async fn flushed_tickets_are_void_and_sessions_stay(bed: Bed) {
    bed.line_up(6).await;
    bed.grant(2).await;
    assert!(is_session(&bed.claim(&[(1, 1, false)]).await[0]));
    assert_eq!(bed.store.flush(&bed.room, bed.epoch, Seen::default(), "order-1").await.expect("flushed"), (6, 5));
    assert_eq!(bed.join(&[(3, 3), (2, 2), (1, 1)]).await, [Standing::Void(3), Standing::Void(2), Standing::Active(1)]);
    assert_eq!(bed.join(&[(3, 0)]).await, [Standing::Waiting(7)]);
}

async fn a_repeated_flush_spares_those_who_came_since(bed: Bed) {
    bed.line_up(2).await;
    let flush = || bed.store.flush(&bed.room, bed.epoch, Seen::default(), "order-1");
    assert_eq!(flush().await.expect("flushed"), (2, 2));
    bed.join(&[(3, 0)]).await;
    assert_eq!(flush().await.expect("flushed"), (2, 0));
    assert_eq!(bed.waiting().await, [3]);
}

async fn f22_a_reset_voids_everything(mut bed: Bed) {
    bed.line_up(50).await;
    assert_eq!(bed.tick_with(limits(0.0, BURST, 0), LONG).await.granted_now, BURST as u64);
    bed.claim(&[(1, 1, false)]).await;
    let next = bed.store.reset(&bed.room, bed.epoch).await.expect("reset");
    assert_eq!(next, Epoch { generation: bed.epoch.generation + 1, life: bed.epoch.life });
    let repeated = bed.store.reset(&bed.room, bed.epoch).await;
    assert!(matches!(repeated, Err(StoreError::Superseded(epoch)) if epoch == next), "{repeated:?}");
    assert!(matches!(bed.try_join(&[(1, 1)]).await, Err(StoreError::Superseded(_))));
    bed.epoch = next;
    let picture = bed.picture().await;
    assert_eq!((picture.waiting, picture.granted, picture.active, picture.seq, picture.floor), (0, 0, 0, 1, 1));
    assert!(picture.spent_bits.bytes.is_empty() && picture.ended_bits.bytes.is_empty());
    assert_eq!(bed.join(&[(1, 0)]).await, [Standing::Waiting(2)]);
    assert_eq!(bed.tick_with(limits(0.0, BURST, 0), LONG).await.granted_now, 0, "no second burst");
}

async fn a_paused_room_gives_nothing(bed: Bed) {
    let order = |paused, seen_pause| {
        let seen = Seen { pause: seen_pause, ..Seen::default() };
        let (store, room, epoch) = (bed.store.clone(), bed.room.clone(), bed.epoch);
        async move { store.set_paused(&room, epoch, seen, paused).await.expect("ordered") }
    };
    assert_eq!((order(true, 0).await, order(true, 0).await), (1, 1), "a repeat changes nothing");
    assert_eq!(bed.enter(limits(FULL, BURST, 0), LONG, &[9]).await, [Verdict::No]);
    bed.line_up(3).await;
    assert_eq!(bed.grant_none().await.pause, 1);
    assert_eq!(order(false, 5).await, 6, "a later order that this store forgot still counts");
    assert_eq!(bed.grant(3).await.pause, 6);
}

async fn the_fast_lane_is_open_only_while_nobody_waits(bed: Bed) {
    let lane = limits(0.0, BURST, 3);
    let entered = bed.enter(lane, LONG, &[1, 2, 3, 4, 5]).await;
    assert_eq!(entered.iter().filter(|verdict| is_session(verdict)).count(), 3, "the cap");
    assert_eq!(
        bed.enter(limits(0.0, BURST, 0), LONG, &(10..100).collect::<Vec<_>>())
            .await
            .iter()
            .filter(|v| is_session(v))
            .count(),
        17,
        "the tokens"
    );
    let picture = bed.picture().await;
    assert_eq!((picture.admitted, picture.active, picture.watermark), (20, 20, 20));
    assert_eq!(crate::bed::seqs_in(&picture.spent_bits), (1..=20).collect::<Vec<_>>(), "entering spends the number");
    bed.join(&[(200, 0)]).await;
    assert_eq!(bed.enter(limits(FULL, BURST, 0), LONG, &[300]).await, [Verdict::No], "somebody waits");
    assert!(is_session(&bed.enter(limits(FULL, BURST, 0), LONG, &[1]).await[0]), "who is in stays in");
}

async fn i9_f5_a_repeated_entry_is_the_same_session(bed: Bed) {
    let lane = limits(0.0, BURST, 0);
    let first = bed.enter(lane, LONG, &[1, 2, 1]).await;
    assert_eq!(first[0], first[2]);
    assert_eq!(bed.enter(lane, LONG, &[1, 2, 1]).await, first);
    assert_eq!(bed.counters().await.admitted, 2, "no second token");
    let provisional = bed.enter(lane, SHORT, &[3]).await;
    assert!(is_session(&provisional[0]));
    bed.let_it_run_out().await;
    assert_eq!(bed.join(&[(3, 3)]).await, [Standing::Void(3)], "spent: to the tail");
    assert_eq!(bed.join(&[(3, 0)]).await, [Standing::Waiting(4)]);
}

async fn a_large_line_is_granted_and_swept_in_slices(bed: Bed) {
    bed.line_up(6_000).await;
    let ticked = bed.tick_with(limits(FULL, 6_000.0, 0), LONG).await;
    assert_eq!((ticked.granted_now, ticked.waiting, ticked.head), (5_000, 1_000, Some(5_001)));
    assert_eq!(bed.tick_with(limits(FULL, 6_000.0, 0), LONG).await.granted_now, 1_000);
    let everybody: Vec<(u64, u64, bool)> = (1..=6_000).map(|who| (who, who, false)).collect();
    for batch in everybody.chunks(1_000) {
        assert!(bed.try_claim(SHORT, false, batch).await.expect("claimed").iter().all(is_session));
    }
    bed.let_it_run_out().await;
    assert_eq!(bed.grant_none().await.occupied, 0, "the overdue do not count, swept or not");
    assert_eq!(bed.counters().await.active, 1_000);
    bed.grant_none().await;
    assert_eq!(bed.counters().await.active, 0);
}

async fn trim_drops_what_is_behind_and_nothing_else(bed: Bed) {
    bed.line_up(100).await;
    bed.grant(80).await;
    assert!(is_session(&bed.claim(&[(75, 75, false)]).await[0]));
    let trim = |keep, at_least| bed.store.trim(&bed.room, bed.epoch, keep, at_least);
    assert_eq!(trim(0, 1_000).await.expect("trimmed"), 0, "too little to gain");
    assert_eq!(trim(10, 50).await.expect("trimmed"), 64);
    assert_eq!(trim(10, 1).await.expect("trimmed"), 64, "again");
    let picture = bed.picture().await;
    assert_eq!(bed.waiting().await, (81..=100).collect::<Vec<_>>());
    assert_eq!(crate::bed::seqs_in(&picture.spent_bits), [75]);
    assert_eq!(bed.join(&[(500, 63), (501, 64)]).await, [Standing::Void(63), Standing::Waiting(64)]);
}

async fn refused_calls_write_nothing(bed: Bed) {
    bed.line_up(3).await;
    let before = bed.picture().await;
    let many = vec![(1, 1); MAX_BATCH + 1];
    let claims = vec![(1, 1, false); MAX_BATCH + 1];
    let touches = [TouchItem { vid: vid(1), seq: 1, ttl: Duration::ZERO, proof: true, began_ms: 0 }];
    let far = [JoinItem { vid: vid(2), seq: 2 }, JoinItem { vid: vid(1), seq: 1 << 40 }];
    let bad_rate = limits(f64::NAN, 1.0, 0);
    let (store, room, epoch, seen) = (&bed.store, &bed.room, bed.epoch, Seen::default());
    let refusals = [
        ("BATCH", bed.try_join(&many).await.map(drop)),
        ("BATCH", bed.try_join(&[]).await.map(drop)),
        ("BATCH", bed.try_claim(LONG, false, &claims).await.map(drop)),
        ("ARG", bed.try_join(&[(7, 0), (8, 1 << 53)]).await.map(drop)),
        ("ARG", bed.try_claim(LONG, false, &[(1, 0, true)]).await.map(drop)),
        ("ARG", bed.try_claim(Duration::ZERO, false, &[(1, 1, false)]).await.map(drop)),
        ("ARG", store.touch(room, epoch, &touches).await.map(drop)),
        ("ARG", store.reap(room, epoch, &[2, 0]).await.map(drop)),
        ("ARG", store.flush(room, epoch, seen, "").await.map(drop)),
        ("ARG", store.tick(room, epoch, seen, bad_rate, LONG).await.map(drop)),
        ("ARG", store.enter(room, epoch, seen, bad_rate, LONG, &[vid(5)]).await.map(drop)),
        ("ARG", store.recover(room, epoch, Seen { base: 4, ..seen }, LONG, 1.0, 5).await.map(drop)),
        ("ARG", store.recover(room, epoch, seen, LONG, 1.0, 0).await.map(drop)),
        ("SPAN", store.end(room, epoch, &far).await.map(drop)),
        ("SPAN", bed.try_claim(LONG, false, &[(1, 1 << 40, true)]).await.map(drop)),
        ("SPAN", bed.try_join(&[(7, 0), (2, 1 << 40), (8, 1)]).await.map(drop)),
    ];
    for (at, (code, refusal)) in refusals.into_iter().enumerate() {
        assert!(matches!(&refusal, Err(StoreError::Refused(text)) if text.starts_with(code)), "{at}: {refusal:?}");
    }
    let after = bed.picture().await;
    assert_eq!((after.seq, after.base, after.waiting_bits), (before.seq, before.base, before.waiting_bits));
    assert_eq!((after.granted, after.active, after.spent_bits), (0, 0, before.spent_bits));
}

async fn refused_epochs_name_the_one_that_holds(mut bed: Bed) {
    let holds = bed.epoch;
    assert_eq!(holds, Epoch { generation: 1, life: LIFE });
    for other in [Epoch { generation: 2, ..holds }, Epoch { life: LIFE + 1, ..holds }] {
        bed.epoch = other;
        assert!(matches!(bed.try_join(&[(1, 0)]).await, Err(StoreError::Superseded(epoch)) if epoch == holds));
        let snapshot = bed.store.snapshot(&bed.room, Some(other), waitroom_proxy::store::Detail::Polls).await;
        assert!(matches!(snapshot, Err(StoreError::Superseded(epoch)) if epoch == holds));
    }
    bed.epoch = holds;
    assert_eq!(bed.picture().await.seq, 0, "nothing was written");
}
