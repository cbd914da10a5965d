//! Sessions: claims, touches, ends, and what a replayed token can do.

use waitroom_proxy::store::{Standing, TouchItem, Verdict};

use crate::bed::{BURST, Bed, FULL, LONG, SHORT, beginning, expiry, is_session, limits, on_both, seqs_in, vid};

on_both!(
    i9_f5_a_repeated_claim_is_the_same_session,
    a_claim_without_its_number_still_finds_the_turn,
    who_waits_is_told_so,
    a_spent_ticket_joins_at_the_tail,
    a_session_is_extended_and_never_shortened,
    i8_an_ended_session_stays_ended_with_any_proof,
    i8_a_proof_below_the_base_is_refused,
    a_proof_brings_back_what_the_store_lost,
    a_late_end_spares_the_next_ticket,
    leaving_the_line_or_a_turn_is_for_good,
    a_session_begins_once,
    a_proof_brings_the_beginning_along,
);

async fn i9_f5_a_repeated_claim_is_the_same_session(bed: Bed) {
    bed.line_up(2).await;
    bed.grant(2).await;
    let first = bed.claim(&[(1, 1, false), (2, 2, false)]).await;
    assert!(first.iter().all(is_session));
    assert_eq!(bed.claim(&[(1, 1, false), (2, 2, false)]).await, first);
    assert_eq!(seqs_in(&bed.picture().await.spent_bits), [1, 2]);
}

async fn a_claim_without_its_number_still_finds_the_turn(bed: Bed) {
    bed.line_up(3).await;
    bed.grant(3).await;
    let claimed = bed.claim(&[(2, 0, false)]).await;
    assert!(matches!(claimed[0], Verdict::Session { seq: 2, .. }), "{claimed:?}");
}

async fn who_waits_is_told_so(bed: Bed) {
    bed.line_up(2).await;
    assert_eq!(bed.claim(&[(2, 2, false), (9, 9, false)]).await, [Verdict::Waiting(2), Verdict::No]);
}

async fn a_spent_ticket_joins_at_the_tail(bed: Bed) {
    bed.line_up(4).await;
    bed.grant(1).await;
    let short = bed.try_claim(SHORT, false, &[(1, 1, false)]).await.expect("claimed");
    assert!(is_session(&short[0]));
    bed.let_it_run_out().await;
    assert_eq!(bed.claim(&[(1, 1, false)]).await, [Verdict::No], "the session is over");
    assert_eq!(bed.join(&[(1, 1)]).await, [Standing::Void(1)]);
    assert_eq!(bed.join(&[(1, 0)]).await, [Standing::Waiting(5)]);
}

async fn a_session_is_extended_and_never_shortened(bed: Bed) {
    bed.line_up(1).await;
    bed.grant(1).await;
    let ends = expiry(bed.try_claim(LONG, false, &[(1, 1, false)]).await.expect("claimed")[0]);
    assert_eq!(expiry(bed.touch(1, 1, SHORT, false).await), ends);
    assert_eq!(expiry(bed.try_claim(SHORT, true, &[(1, 1, false)]).await.expect("claimed")[0]), ends);
    assert_eq!(
        expiry(bed.try_claim(LONG * 3, false, &[(1, 1, false)]).await.expect("claimed")[0]),
        ends,
        "not renewed"
    );
    let longer = expiry(bed.try_claim(LONG * 2, true, &[(1, 1, false)]).await.expect("claimed")[0]);
    assert!(longer >= ends + LONG.as_millis() as u64, "{longer} {ends}");
    let longest = expiry(bed.touch(1, 1, LONG * 3, false).await);
    assert!(longest >= longer + LONG.as_millis() as u64, "{longest} {longer}");
}

async fn i8_an_ended_session_stays_ended_with_any_proof(bed: Bed) {
    bed.seat(2).await;
    assert_eq!(bed.end(&[(1, 1)]).await, 1);
    assert_eq!(bed.end(&[(1, 1)]).await, 0, "a repeat");
    for proof in [false, true] {
        assert_eq!(bed.touch(1, 1, LONG, proof).await, Verdict::No);
        assert_eq!(bed.claim(&[(1, 1, proof)]).await, [Verdict::No]);
    }
    assert_eq!(bed.join(&[(1, 1)]).await, [Standing::Void(1)]);
    assert_eq!(seqs_in(&bed.picture().await.ended_bits), [1], "every proxy reads it in its next picture");
    // An end that arrives although the store has lost the session still counts.
    assert_eq!(bed.end(&[(7, 7)]).await, 0);
    assert_eq!(bed.claim(&[(7, 7, true)]).await, [Verdict::No]);
}

async fn i8_a_proof_below_the_base_is_refused(bed: Bed) {
    bed.line_up(100).await;
    bed.grant(90).await;
    bed.store.trim(&bed.room, bed.epoch, 0, 1).await.expect("trimmed");
    let base = bed.counters().await.base;
    assert_eq!(base, 88);
    assert_eq!(bed.claim(&[(300, 87, true)]).await, [Verdict::No]);
    assert_eq!(bed.touch(300, 87, LONG, true).await, Verdict::No);
    assert!(is_session(&bed.claim(&[(300, 88, true)]).await[0]));
}

async fn a_proof_brings_back_what_the_store_lost(bed: Bed) {
    bed.line_up(3).await;
    // Their sessions were lost with the last writes; the first two have waited since.
    let claimed = bed.claim(&[(1, 1, true), (40, 40, true)]).await;
    assert!(matches!(claimed[..], [Verdict::Session { seq: 1, .. }, Verdict::Session { seq: 40, .. }]), "{claimed:?}");
    assert!(is_session(&bed.touch(2, 2, LONG, true).await));
    assert_eq!(bed.touch(3, 3, LONG, false).await, Verdict::No, "waiting is no session");
    assert_eq!(bed.waiting().await, [3]);
    let picture = bed.picture().await;
    assert_eq!((picture.active, seqs_in(&picture.spent_bits)), (3, vec![1, 2, 40]));
}

async fn a_late_end_spares_the_next_ticket(bed: Bed) {
    bed.line_up(2).await;
    bed.grant(2).await;
    bed.claim(&[(2, 2, false)]).await;
    assert_eq!(bed.end(&[(1, 7), (2, 8)]).await, 0, "of tickets they no longer have");
    assert_eq!(bed.join(&[(1, 0), (2, 0)]).await, [Standing::Granted(1), Standing::Active(2)]);
    assert_eq!(bed.end(&[(1, 0), (2, 2)]).await, 2);
    assert_eq!(seqs_in(&bed.picture().await.ended_bits), [1, 2, 7, 8]);
}

async fn leaving_the_line_or_a_turn_is_for_good(bed: Bed) {
    bed.line_up(4).await;
    bed.grant(1).await;
    assert_eq!(bed.end(&[(1, 1), (3, 3), (4, 0)]).await, 3);
    assert_eq!(bed.waiting().await, [2]);
    assert_eq!(bed.join(&[(1, 1), (3, 3), (4, 4)]).await, [Standing::Void(1), Standing::Void(3), Standing::Void(4)]);
    let ticked = bed.tick_with(limits(FULL, BURST, 0), LONG).await;
    assert_eq!((ticked.granted_now, ticked.watermark, ticked.occupied), (1, 2, 1));
}

async fn a_session_begins_once(bed: Bed) {
    bed.line_up(1).await;
    bed.grant(1).await;
    let began = beginning(bed.claim(&[(1, 1, false)]).await[0]);
    assert!(began > 1_600_000_000_000, "by the store's clock: {began}");
    bed.let_it_run_out().await;
    assert_eq!(beginning(bed.claim(&[(1, 1, false)]).await[0]), began, "claimed again");
    assert_eq!(beginning(bed.claim(&[(1, 0, false)]).await[0]), began, "without the number");
    assert_eq!(beginning(bed.try_claim(LONG * 2, true, &[(1, 1, false)]).await.expect("claimed")[0]), began);
    assert_eq!(beginning(bed.touch(1, 1, LONG * 3, true).await), began, "extended");
    let entered = beginning(bed.enter(limits(FULL, BURST, 0), LONG, &[2]).await[0]);
    assert!(entered > began, "{entered}");
    bed.let_it_run_out().await;
    assert_eq!(beginning(bed.enter(limits(FULL, BURST, 0), LONG, &[2]).await[0]), entered);
    assert_eq!(beginning(bed.claim(&[(2, 2, false)]).await[0]), entered, "with the ticket alone, at another node");
    assert_eq!(bed.join(&[(1, 1), (2, 0)]).await, [Standing::Active(1), Standing::Active(2)]);
}

async fn a_proof_brings_the_beginning_along(bed: Bed) {
    bed.seat(1).await;
    let touch = |who, seq, proof, began_ms| {
        let (store, room, epoch) = (bed.store.clone(), bed.room.clone(), bed.epoch);
        let batch = [TouchItem { vid: vid(who), seq, ttl: LONG, proof, began_ms }];
        async move { beginning(store.touch(&room, epoch, &batch).await.expect("touched")[0]) }
    };
    assert_eq!(touch(5, 5, true, 12_345).await, 12_345, "lost by the store");
    assert_eq!(touch(5, 5, true, 99_999).await, 12_345, "the earlier one counts");
    let known = touch(1, 1, false, 12_345).await;
    assert!(known > 12_345, "without proof it is nobody's word");
    assert_eq!(touch(1, 1, true, 12_345).await, 12_345);
    let ahead = touch(6, 6, true, known + 1_000_000_000).await;
    assert!((known..known + 1_000_000_000).contains(&ahead), "not in the future: {ahead}");
    assert_eq!(bed.end(&[(5, 5), (1, 0)]).await, 2, "their numbers are still known");
    assert_eq!(seqs_in(&bed.picture().await.ended_bits), [1, 5]);
}
