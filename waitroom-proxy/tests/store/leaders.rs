//! F8: two nodes that both believe to have the lease reap, tick and trim one room of a real server at once.

use testbed::redis::PrivateRedis;
use waitroom_proxy::store::{Epoch, NodeId, QueueStore as _, RoomName, Seen, Standing};

use crate::bed::{Bed, LONG, SHORT, limits, patient_store, seqs_in};

const RATE: f64 = 200.0;
const BURST: f64 = 20.0;
const CAP: u64 = 300;

/// Numbers of sessions that are over, so that there is something to trim, and of those in line behind them.
const OVER: u64 = 1_000;
const LAST: u64 = 4_000;

/// Every third in line has gone silent.
fn is_silent(seq: u64) -> bool {
    seq.is_multiple_of(3)
}

/// How many turns one of the two gave, and how many it took out of the line.
#[derive(Debug, Default)]
struct Led {
    given: u64,
    reaped: u64,
    base: u64,
}

async fn lead(url: String, room: RoomName, epoch: Epoch) -> Led {
    let store = patient_store(&url);
    store.recover(&room, epoch, Seen::default(), SHORT, BURST, 1).await.expect("merged");
    let silent: Vec<u64> = (OVER + 1..=LAST).filter(|seq| is_silent(*seq)).collect();
    let mut led = Led::default();
    for some in silent.chunks(10) {
        let ticked = store.tick(&room, epoch, Seen::default(), limits(RATE, BURST, CAP), LONG).await.expect("ticked");
        led.given += ticked.granted_now;
        led.reaped += store.reap(&room, epoch, some).await.expect("reaped");
        led.base = store.trim(&room, epoch, OVER / 2, 8).await.expect("trimmed");
    }
    led
}

#[tokio::test]
async fn f8_i1_i2_two_leaders_at_once_double_nothing_and_take_out_nobody_who_was_heard() {
    let redis = PrivateRedis::start().await.expect("a server");
    let bed = Bed::on(patient_store(&redis.url())).await;
    bed.seat(OVER).await;
    bed.end(&(1..=OVER).map(|who| (who, who)).collect::<Vec<_>>()).await;
    let line: Vec<(u64, u64)> = (OVER + 1..=LAST).map(|who| (who, 0)).collect();
    for batch in line.chunks(1_000) {
        bed.join(batch).await;
    }
    // The first one's lease runs out while it is busy, and it does not notice.
    for node in [NodeId(1), NodeId(2)] {
        let lease = bed.store.live_nodes(&bed.room, bed.epoch, node, SHORT).await.expect("an answer");
        assert!(lease.is_some(), "{node:?} leads");
        bed.let_it_run_out().await;
    }
    let before = bed.counters().await;
    let lead = || tokio::spawn(lead(redis.url(), bed.room.clone(), bed.epoch));
    let (one, two) = tokio::join!(lead(), lead());
    let (one, two) = (one.expect("led"), two.expect("led"));
    let after = bed.picture().await;

    let given = one.given + two.given;
    assert_eq!(after.admitted - before.admitted, given, "no turn is given twice");
    let allowed = RATE * (after.now_ms - before.now_ms + 2) as f64 / 1e3 + BURST;
    assert!(given > 0 && given as f64 <= allowed, "i1: {given} of {allowed}");
    assert!(after.granted + after.active <= CAP, "i2: {after:?}");
    assert!(one.base.max(two.base) > 0 && after.base <= OVER, "trimmed, and not into the line: {after:?}");

    // Everybody is exactly where they should be: i3, i4, i6.
    let waiting = seqs_in(&after.waiting_bits);
    assert_eq!(waiting.len() as u64, after.waiting, "i6");
    assert!(!waiting.iter().any(|seq| is_silent(*seq)), "whoever is silent is out of the line");
    let mut granted = [0, 0];
    for batch in line.chunks(1_000) {
        let with_tickets: Vec<(u64, u64)> = batch.iter().map(|(who, _)| (*who, *who)).collect();
        for ((seq, _), standing) in batch.iter().zip(bed.join(&with_tickets).await) {
            match standing {
                Standing::Granted(same) if same == *seq => granted[usize::from(is_silent(*seq))] += 1,
                Standing::Waiting(same) if same == *seq => {
                    assert_eq!(waiting.contains(seq), !is_silent(*seq), "number {seq} was wrongly taken out");
                }
                other => panic!("i4: number {seq} is {other:?}"),
            }
        }
    }
    assert_eq!(granted[0] + granted[1], given);
    let silent = (OVER + 1..=LAST).filter(|seq| is_silent(*seq)).count() as u64;
    assert_eq!(one.reaped + two.reaped, silent - granted[1], "each was taken out once");
}
